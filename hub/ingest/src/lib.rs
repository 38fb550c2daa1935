//! The two doors through which events come in: QUIC for agents, HTTP and WebSocket for everybody else.
//!
//! Both end in the same columnar frames in the same log, and both answer only when a frame is durable. Nothing here
//! looks at single events of agents: a frame is checked and handed on as it came.

mod admission;
pub mod agents;
mod body;
mod builders;
mod cloud_event;
mod dedup;
mod door;
mod drill;
mod edge;
pub mod enroll;
mod events;
mod ingest;
mod intake;
mod media;
mod metrics;
mod options;
pub mod pki;
mod quic;
mod reserved;
mod roster;
mod seen;
mod uplink;
mod websocket;

pub use drill::{DrillHeard, OrderError};
pub use ingest::{Ingest, IngestError, IngestHandle};
pub use intake::RejectedEvent;
pub use options::{Options, QuicOptions};
