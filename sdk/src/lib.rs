//! For plugin authors: what a plugin implements, what it may call, and a fake host for its tests.
//!
//! A rule looks at events and raises alerts. It implements [`Rule`] and names itself with [`export_rule!`]:
//! ```
//! use streamflow_sdk::{Alert, Events, Rule, export_rule};
//!
//! #[derive(serde::Deserialize)]
//! struct Config {
//!     threshold: f64,
//! }
//!
//! struct TooHot(Config);
//!
//! impl Rule for TooHot {
//!     type Config = Config;
//!     type State = ();
//!
//!     fn init(config: Config) -> Result<Self, String> {
//!         Ok(Self(config))
//!     }
//!
//!     fn on_events(&mut self, events: &Events, _state: &mut ()) -> Result<Vec<Alert>, String> {
//!         let values = events.floats("data.value")?;
//!         let hot = events.rows().filter(|row| values.get(*row).is_some_and(|value| value > self.0.threshold));
//!         Ok(hot.map(|row| Alert::firing(events.source(row), "too hot").row(row)).collect())
//!     }
//! }
//!
//! export_rule!(TooHot);
//! ```
//! A transform changes events where they arise, on the agents. It implements [`Transform`] and names itself with [`export_transform!`]:
//! ```
//! use streamflow_sdk::{Events, Output, Transform, export_transform};
//!
//! #[derive(serde::Deserialize)]
//! struct Config {
//!     below: f64,
//! }
//!
//! struct Celsius(Config);
//!
//! impl Transform for Celsius {
//!     type Config = Config;
//!
//!     fn init(config: Config) -> Result<Self, String> {
//!         Ok(Self(config))
//!     }
//!
//!     fn apply(&mut self, events: &Events) -> Result<Output, String> {
//!         let fahrenheit = events.floats("data.fahrenheit")?;
//!         let celsius = |row| fahrenheit.get(row).map(|value| (value - 32.0) / 1.8);
//!         let mut output = Output::unchanged(events);
//!         output.keep(|row| celsius(row).is_none_or(|value| value >= self.0.below));
//!         output.set_floats("data.celsius", celsius);
//!         Ok(output)
//!     }
//! }
//!
//! export_transform!(Celsius);
//! ```
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

// So that what is derived inside this crate finds it by the name that plugins use.
extern crate self as streamflow_sdk;

#[doc(hidden)]
pub mod bindings;
mod channel;
mod events;
pub mod group;
mod host;
pub mod http;
pub mod keyed;
pub mod log;
pub mod mail;
pub mod message;
mod rule;
pub mod schema;
pub mod series;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
mod transform;
pub mod window;

pub use channel::{Channel, Failure, Level, Notice, State};
#[doc(hidden)]
pub use channel::{Slot, deliver, empty_slot, init};
pub use events::{Booleans, Dict, Events, Floats, Integers, Severity, Texts};
#[doc(hidden)]
pub use rule::glue;
pub use rule::{Alert, Rule};
pub use schema::Schema;
#[doc(hidden)]
pub use transform::glue as transform_glue;
pub use transform::{Output, Transform};
