//! The one way out: every request of a plugin goes through here, to addresses that are checked at the moment of connecting.
//!
//! Invariants: the address that was checked is the address that is connected to; redirects are not followed; no proxy is taken
//! from the environment; a name that cannot be resolved is refused.

mod address;
mod allow;
mod call;
mod client;
mod connect;

pub use allow::{AllowError, Denied, EgressOptions, Policy};
pub use call::CallError;
pub use client::{Answer, Egress, EgressBuildError, EgressError};
pub(crate) use client::{MAX_BODY, MAX_TIMEOUT};
pub(crate) use connect::Connector;
#[cfg(test)]
pub(crate) use connect::Lookup;

#[cfg(test)]
mod tests;
