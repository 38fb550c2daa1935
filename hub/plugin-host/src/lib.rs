//! Runs plugins: WebAssembly components under limits, with only the rights that their manifests declare.
//!
//! Invariants: no call without a deadline and a memory limit; no import that the manifest does not entitle to; no request that goes
//! round [`egress`]; a fault costs its call and its instance, nothing else.

mod channel;
pub mod egress;
mod health;
mod host;
mod meters;
mod notice;
mod options;
mod plugin;
mod routes;
mod sandbox;
mod schema;
mod secrets;
mod shelf;

pub use channel::{ChannelError, ChannelSender, DeliverError};
pub use egress::EgressOptions;
pub use host::{HostError, PluginHost};
pub use notice::Notice;
pub use options::{Limits, Options, SecretOptions};
pub use plugin::{PluginInfo, PluginState};
