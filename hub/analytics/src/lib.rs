//! Windows, rules and live views over the log.
//!
//! The [`engine`] is pure: batches and `now` in, verdicts out. It works on dictionary ids and number columns and reads only the columns that a rule names.
//! The [`service`] around it follows the log from its checkpoint, hands verdicts to alerting, and saves a checkpoint only once they are durable there, so that a
//! restart continues from the checkpoint and arrives at the same windows and verdicts.

mod absence;
pub mod aggregation;
mod anomaly;
pub mod backtest;
mod band;
mod checkpoint;
pub mod engine;
pub mod evidence;
mod follow;
mod heartbeats;
mod metrics;
pub mod options;
mod pattern;
mod plugin_rule;
pub mod realtime;
mod refill;
pub mod rollup;
mod routes;
pub mod service;
mod tally;
mod views;

pub use heartbeats::Heartbeats;
pub use options::Options;
pub use plugin_rule::{PluginBacktest, PluginRules, PluginTried};
pub use rollup::{EdgeLink, History, Placer, Rollups};
pub use service::{Analytics, AnalyticsHandle};
