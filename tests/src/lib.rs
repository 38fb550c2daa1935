//! Black-box tests: the real binaries, started as a user would, driven through their public interface.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test speaks by failing, and to the person who runs it"
)]

pub mod agent;
pub mod api;
pub mod binaries;
mod compiled;
pub mod hub;
pub mod process;
pub mod receiver;
pub mod relay;
pub mod small_disk;
pub mod wait;

pub use agent::{Agent, AgentConfig};
pub use api::Api;
pub use hub::{Hub, HubConfig};
pub use receiver::Receiver;
pub use small_disk::SmallDisk;
pub use wait::{eventually, eventually_some};
