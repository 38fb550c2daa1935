//! The hub watches itself: what it sees of its agents, plugins, channels, disk, log and certificates becomes alerts like all others.
//!
//! [`judge`] is pure: facts and `now` in, findings out, with memory for what has to last or to differ by a margin. [`verdicts`] turns
//! findings into what alerting takes. [`task`] gathers the facts.

mod check;
mod facts;
mod judge;
mod options;
mod routes;
mod task;
mod verdicts;

pub use check::rules;
pub use options::Options;
pub use routes::routes;
pub use task::{SelfWatch, Sources};
