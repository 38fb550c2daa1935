//! Configuration sections `[quic]` and `[ingest]`.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use streamflow_model::Span;

/// Section `[quic]`: the door of agents.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuicOptions {
    /// Where agents connect; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Further names and addresses in the hub's certificate. Agents do not need them: they check a fixed name.
    pub names: Vec<String>,
    /// Connected agents at most; more are refused.
    pub max_connections: usize,
    /// Connections without a certificate at most, all of them enrolling.
    pub max_enrolling: usize,
    /// Unacknowledged frames that an agent may have under way.
    pub window_frames: u32,
    /// Unacknowledged bytes that an agent may have under way.
    pub window_bytes: u64,
    /// Handshake, and first message after it.
    pub handshake_timeout: Span,
    /// A connection without any packet for this long is closed.
    pub idle_timeout: Span,
    /// How long an agent's certificate is valid; agents renew after half of it.
    pub certificate_ttl: Span,
}

impl Default for QuicOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 4433)),
            names: Vec::new(),
            max_connections: 4096,
            max_enrolling: 64,
            window_frames: 64,
            window_bytes: 8 * 1024 * 1024,
            handshake_timeout: Span::from_secs(5),
            idle_timeout: Span::from_secs(30),
            certificate_ttl: Span::from_secs(7 * 86_400),
        }
    }
}

/// Section `[ingest]`: the HTTP and WebSocket door.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Largest body, before and after decompression.
    pub max_body_bytes: usize,
    /// Bytes of all bodies in work at a time; requests beyond wait a moment, then get 503.
    pub max_pending_bytes: usize,
    /// How long an id given by a client is remembered.
    pub dedup_window: Span,
    /// Ids remembered at most; the oldest are forgotten first, and counted.
    pub dedup_ids: usize,
    /// Newest frames of the log from which ids are read back at the start; ids of older ones are forgotten by a restart.
    pub dedup_restore_frames: u64,
    /// Open WebSocket connections at most.
    pub max_websockets: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_body_bytes: 10 * 1024 * 1024,
            max_pending_bytes: 64 * 1024 * 1024,
            dedup_window: Span::from_secs(600),
            dedup_ids: 1_000_000,
            dedup_restore_frames: 1000,
            max_websockets: 1024,
        }
    }
}
