//! Windows, rules and live views over the log.
//!
//! The [`engine`] is pure: batches and `now` in, verdicts out. It works on dictionary ids and number columns and reads only the columns that a rule names.
//! The [`service`] around it follows the log from its checkpoint, hands verdicts to alerting, and saves a checkpoint only once they are durable there, so that a
//! restart continues from the checkpoint and arrives at the same windows and verdicts.

pub mod aggregation;
mod checkpoint;
pub mod engine;
mod follow;
mod metrics;
pub mod options;
mod plugin_rule;
pub mod realtime;
mod routes;
pub mod service;

pub use options::Options;
pub use plugin_rule::PluginRules;
pub use service::{Analytics, AnalyticsHandle};
