//! What every stage counts: read by `status`, by heartbeats and by `/metrics`.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Only ever grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts more.
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// The count.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why events were given up. Events that a filter turned away are not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// The spool was full and its policy is to drop.
    SpoolFull,
    /// The hub refused their batch for good.
    HubRejected,
    /// A line was longer than allowed and the policy is to drop.
    LineTooLong,
    /// A line could not become an event in any form.
    LineRejected,
    /// A part of the spool cannot be read.
    Damaged,
    /// A transform failed on their batch and its policy is to drop.
    TransformFailed,
    /// The agent stopped while they waited for room or for a transform, and their source cannot be read again.
    Stopped,
}

impl DropReason {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::SpoolFull,
        Self::HubRejected,
        Self::LineTooLong,
        Self::LineRejected,
        Self::Damaged,
        Self::TransformFailed,
        Self::Stopped,
    ];

    /// Name for people and programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SpoolFull => "spool_full",
            Self::HubRejected => "hub_rejected",
            Self::LineTooLong => "line_too_long",
            Self::LineRejected => "line_rejected",
            Self::Damaged => "damaged",
            Self::TransformFailed => "transform_failed",
            Self::Stopped => "stopped",
        }
    }
}

/// Something that went wrong, in words for two readers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mishap {
    /// What the hub hears: nothing of an event stands in it.
    pub told: String,
    /// In full, for this host alone: what a plugin says of its failure may hold the very text that it was to take out.
    pub words: String,
}

/// Counts of one source.
#[derive(Debug, Default)]
pub struct SourceCounters {
    /// Name in the configuration.
    pub name: String,
    /// `file` or `host`.
    pub kind: &'static str,
    /// Events read.
    pub events: Counter,
    /// Bytes read.
    pub bytes: Counter,
    /// Events that a filter turned away.
    pub filtered: Counter,
    /// Events that metrics of the hub counted here and that, as they say, are not sent.
    pub not_kept: Counter,
    /// Files or figures that could not be read.
    pub errors: Counter,
    /// Lines that are not what `format` says and were kept as text.
    pub malformed: Counter,
    /// Lines with bytes that are not UTF-8 and were replaced.
    pub invalid_utf8: Counter,
    /// Lines cut to `max_line_bytes`.
    pub truncated: Counter,
    /// Files open now.
    pub files: AtomicU64,
    last_error: Mutex<Option<Mishap>>,
}

impl SourceCounters {
    /// Of one source.
    pub fn new(name: &str, kind: &'static str) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            kind,
            ..Self::default()
        })
    }

    /// Counts an error and remembers it. The hub hears of it in the same words, so nothing of an event may stand in them.
    pub fn error(&self, message: String) {
        self.mishap(Mishap {
            told: message.clone(),
            words: message,
        });
    }

    /// Counts an error of which the hub hears less than this host.
    pub fn mishap(&self, mishap: Mishap) {
        self.errors.add(1);
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(mishap);
    }

    fn last_mishap(&self) -> Option<Mishap> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The last error in full, for this host.
    pub fn last_error(&self) -> Option<String> {
        self.last_mishap().map(|mishap| mishap.words)
    }

    /// The last error as the hub hears of it.
    pub fn last_error_told(&self) -> Option<String> {
        self.last_mishap().map(|mishap| mishap.told)
    }
}

/// Counts of the whole agent.
#[derive(Debug, Default)]
pub struct Counters {
    dropped: [Counter; DropReason::ALL.len()],
    /// Stretches of the spool that cannot be read.
    pub damaged: Counter,
    /// Frames sent, resends included.
    pub frames_sent: Counter,
    /// Bytes of them.
    pub bytes_sent: Counter,
    /// Events that the hub has acknowledged.
    pub events_acked: Counter,
    /// Connections to the hub made.
    pub connections: Counter,
    /// Whether a session is open.
    pub connected: AtomicBool,
}

impl Counters {
    /// Counts events that were given up.
    pub fn dropped(&self, reason: DropReason, events: u64) {
        self.dropped[reason as usize].add(events);
    }

    /// Reasons and counts, zeros included.
    pub fn drops(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL.into_iter().zip(self.dropped.iter().map(Counter::get))
    }
}
