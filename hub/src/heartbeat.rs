//! A dead man's switch: while the hub is healthy it calls an outside URL; whoever is there raises the alarm when the calls cease.
//!
//! A hub that has stopped, hangs or cannot write says nothing by itself. So the call is made only after the log has taken a write,
//! the engine has moved, and the task that delivers notifications has taken a turn.

mod options;
mod task;
mod vital;

pub use options::Options;
pub use task::{HeartbeatTask, Organs};
