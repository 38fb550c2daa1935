//! Runs plugins: WebAssembly components under limits, with only the rights that their manifests declare.

mod channel;
mod notice;

pub use channel::{ChannelError, ChannelSender, DeliverError};
pub use notice::Notice;
