//! Alerting rules that are written for Prometheus, evaluated over what the hub keeps.
//!
//! [`watch`] is pure and does what Prometheus does: each series of an expression's result is an alert, pending for `for` and then
//! firing. The alerts go on by the way on which those of a Prometheus come in, so they live like all others.

mod running;
mod task;
mod watch;

pub use task::{PromGroupView, PromRules, PromSource};
