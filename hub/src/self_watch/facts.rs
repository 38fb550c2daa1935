//! What the hub knows of itself at one moment.

use streamflow_model::{AgentStatus, Instant, Span};

/// All facts of one look.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// When, by a clock that does not jump, ms.
    pub now: i64,
    /// When, by the machine's clock.
    pub wall: Instant,
    /// Agents, those taken off the allow-list among them.
    pub agents: Vec<AgentStatus>,
    /// Plugins in quarantine: name and reason.
    pub quarantined: Vec<(String, String)>,
    /// Channels.
    pub channels: Vec<ChannelFact>,
    /// The disk under `data_dir`.
    pub disk: Option<Room>,
    /// The store, when its size is limited.
    pub store: Option<Room>,
    /// Whether the store has refused events for want of room.
    pub full: bool,
    /// The log.
    pub log: Option<LogFact>,
    /// The hub's own certificates: name and end.
    pub certificates: Vec<(String, Instant)>,
    /// So long before its end an agent's certificate should be another; agents renew after half of its time.
    pub agent_certificate_before: Option<Span>,
}

/// How a channel does.
#[derive(Debug, Clone, Default)]
pub struct ChannelFact {
    /// Its name.
    pub name: String,
    /// Its breaker is closed.
    pub works: bool,
    /// Failed attempts in a row.
    pub failures: u32,
    /// Notifications that wait.
    pub waiting: usize,
    /// Notifications given up since the hub started.
    pub given_up: u64,
    /// Whether the last one was given up, and none was delivered since; `None` when it is not known since the start.
    pub failing: Option<bool>,
}

/// Bytes of something that can be full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Taken.
    pub used: u64,
    /// Left.
    pub free: u64,
}

impl Room {
    /// How full it is.
    #[expect(clippy::cast_precision_loss, reason = "a share of bytes, shown with one digit")]
    pub fn percent(self) -> f64 {
        let whole = self.used.saturating_add(self.free);
        if whole == 0 {
            return 0.0;
        }
        self.used as f64 * 100.0 / whole as f64
    }
}

/// Places in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogFact {
    /// The last that is stored.
    pub written: u64,
    /// The last that is evaluated.
    pub evaluated: u64,
}
