//! Whether the hub is healthy. Pure: signs of life and `now` in, what is wrong out.

use std::time::{Duration, Instant};

/// The engine takes a turn every second; a turn that takes this long is no life.
const LONGEST_TURN: Duration = Duration::from_secs(60);
/// An engine that has something to read must read some of it within this time.
const LONGEST_STAND: Duration = Duration::from_secs(60);

/// Signs of life, as they were just asked for.
#[derive(Debug, Clone)]
pub struct Signs {
    /// A write to the store became durable, or why not. Answers the log's last position.
    pub store: Result<u64, String>,
    /// The task that owns alerts and deliveries has taken a turn, or why not.
    pub alerting: Result<(), String>,
    /// When the engine's last turn began.
    pub engine_turned: Option<Instant>,
    /// How far the engine is in the log.
    pub engine_at: u64,
}

/// Where the engine was seen last.
#[derive(Debug)]
pub struct Vital {
    place: u64,
    since: Instant,
    started: Instant,
}

impl Vital {
    /// The hub has just started.
    pub const fn new(now: Instant) -> Self {
        Self {
            place: 0,
            since: now,
            started: now,
        }
    }

    /// What is wrong; nothing when the hub is healthy.
    pub fn examine(&mut self, signs: &Signs, now: Instant) -> Vec<String> {
        let mut wrong = Vec::new();
        if let Err(reason) = &signs.store {
            wrong.push(format!("the store takes no writes: {reason}"));
        }
        if let Err(reason) = &signs.alerting {
            wrong.push(format!("alerts are not delivered: {reason}"));
        }
        let turned = signs.engine_turned.unwrap_or(self.started);
        if now.saturating_duration_since(turned) > LONGEST_TURN {
            wrong.push("the engine takes no turns".to_owned());
        }
        let behind = signs.store.as_ref().is_ok_and(|written| *written > signs.engine_at);
        if signs.engine_at != self.place || !behind {
            (self.place, self.since) = (signs.engine_at, now);
        }
        if now.saturating_duration_since(self.since) > LONGEST_STAND {
            wrong.push("the engine reads nothing of the log, although there is something to read".to_owned());
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signs(now: Instant, written: u64, engine_at: u64) -> Signs {
        Signs {
            store: Ok(written),
            alerting: Ok(()),
            engine_turned: Some(now),
            engine_at,
        }
    }

    #[test]
    fn every_organ_must_live() {
        let start = Instant::now();
        let mut vital = Vital::new(start);
        assert!(vital.examine(&signs(start, 5, 5), start).is_empty());
        let ill = Signs {
            store: Err("full".to_owned()),
            alerting: Err("stopped".to_owned()),
            ..signs(start, 0, 5)
        };
        assert_eq!(vital.examine(&ill, start).len(), 2);
        let still = Signs {
            engine_turned: None,
            ..signs(start, 5, 5)
        };
        assert!(
            vital.examine(&still, start + LONGEST_TURN).is_empty(),
            "it may still start"
        );
        assert_eq!(vital.examine(&still, start + 2 * LONGEST_TURN).len(), 1);
    }

    #[test]
    fn an_engine_that_is_behind_must_move_and_one_that_is_not_need_not() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut vital = Vital::new(start);
        let mut look = |seconds, written, engine_at| {
            vital
                .examine(&signs(at(seconds), written, engine_at), at(seconds))
                .len()
        };
        assert_eq!(look(600, 5, 5), 0, "nothing to read");
        assert_eq!(look(660, 9, 5), 0);
        assert_eq!(look(661, 9, 5), 1, "it stands");
        assert_eq!(look(662, 9, 6), 0, "it moves, and may be behind");
        assert_eq!(look(720, 99, 7), 0);
    }
}
