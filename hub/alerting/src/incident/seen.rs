//! How far a group has been heard of, so that a verdict counts once, however often it is replayed.

use serde::{Deserialize, Serialize};
use streamflow_model::Signal;

/// The newest verdict that was taken in.
///
/// Verdicts on the same question are ordered by window. A rule that asks something else begins anew; a rule that only tells
/// others, or waits longer, does not, although its version grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Seen {
    /// Fingerprint of the question; 0 fits any, as in documents of earlier versions.
    asks: u64,
    /// End of the newest window, in event time, ms.
    pub(crate) window_end: i64,
    revision: u32,
    /// A closed window outranks the same one while it runs, and the end of all windows outranks both.
    rank: u8,
}

impl Seen {
    pub(crate) fn of(signal: &Signal, asks: u64) -> Self {
        let rank = if signal.value.is_none() {
            2
        } else {
            u8::from(!signal.running)
        };
        Self {
            asks,
            window_end: signal.window_end,
            revision: signal.revision,
            rank,
        }
    }

    /// Whether the other verdict is this one, or an older one about the same question.
    pub(crate) fn covers(self, other: Self) -> bool {
        let place = |seen: Self| (seen.window_end, seen.revision, seen.rank);
        (self.asks == 0 || self.asks == other.asks) && place(other) <= place(self)
    }

    /// As if this window had been seen to its very end.
    pub(crate) const fn to_the_end(self) -> Self {
        Self {
            revision: u32::MAX,
            rank: u8::MAX,
            ..self
        }
    }
}
