//! How the hub's roles talk to one another inside one process.
//!
//! The log's tail carries committed batches from storage to everything derived from them. It is bounded; a reader that falls behind
//! is told how many it missed and reads them from the store instead, so nobody waits for a slow reader and nothing is lost.

pub mod drills;
pub mod meters;
pub mod signals;
pub mod tail;

pub use drills::Drills;
pub use tail::{Committed, Content, LogTail, TailReader, TailRecvError};
