//! The agent: reads what happens on a host, keeps it safe on disk, and delivers it to the hub exactly once.
//!
//! Stages, each with bounded queues between: `source` → `process` → `batch` → `spool` → `uplink`. A source's thread reads a block of its file,
//! pushes the lines into columns, and hands over whole batches; there is no work per event between threads.

pub mod batch;
pub mod cli;
pub mod clock;
pub mod config;
pub mod counters;
pub mod drill;
pub mod edge;
pub mod enroll;
pub mod folder;
pub mod identity;
pub mod metrics;
pub mod pipeline;
pub mod process;
pub mod source;
pub mod spool;
pub mod status;
pub mod transform;
pub mod uplink;
