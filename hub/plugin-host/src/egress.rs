//! The one way out: every request of a plugin goes through here, to addresses that are checked at the moment of connecting.
//!
//! Invariants: the address that was checked is the address that is connected to; redirects are not followed; no proxy is taken
//! from the environment; a name that cannot be resolved is refused.

mod address;
mod allow;
mod client;
mod connect;

pub use allow::{AllowError, Denied, EgressOptions, Policy};
pub use client::{Answer, Egress, EgressBuildError, EgressError, tls};
pub(crate) use client::{MAX_BODY, MAX_TIMEOUT};
#[cfg(test)]
pub(crate) use connect::Lookup;

#[cfg(test)]
mod tests;
