//! For plugin authors: what a plugin implements, what it may call, and a fake host for its tests.
//!
//! A channel implements [`Channel`] and names itself with [`export_channel!`]:
//! ```
//! use streamflow_sdk::{Channel, Failure, Notice, export_channel, http};
//!
//! #[derive(serde::Deserialize)]
//! struct Config {
//!     url: String,
//! }
//!
//! struct Hook(Config);
//!
//! impl Channel for Hook {
//!     type Config = Config;
//!
//!     fn init(config: Config) -> Result<Self, String> {
//!         Ok(Self(config))
//!     }
//!
//!     fn deliver(&mut self, notice: &Notice, _attempt: u32) -> Result<String, Failure> {
//!         http::Request::post(&self.0.url).text(&notice.title).send()?.accepted()?;
//!         Ok(notice.id.clone())
//!     }
//! }
//!
//! export_channel!(Hook);
//! ```
//! Compiled for the machine at hand, the same code runs against [`testing::FakeHost`].

#[doc(hidden)]
pub mod bindings;
mod channel;
mod host;
pub mod http;
pub mod log;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

pub use channel::{Channel, Failure, Level, Notice, State};
#[doc(hidden)]
pub use channel::{Slot, deliver, empty_slot, init};
