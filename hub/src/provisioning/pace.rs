//! When the files are taken in. Pure: looks and moments in, a decision out.

use streamflow_model::Span;
use tokio::time::Instant as Clock;

use super::folder::Look;

/// What could not be taken in whole is tried again after so many looks,
const AGAIN_LOOKS: i64 = 15;
/// and after so long at most.
const AGAIN: Span = Span::from_secs(30);

/// What is to be done with the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// They are as they were, or still being written.
    Wait,
    /// There are none any more. Perhaps a disk is not mounted yet, or they are just being replaced: only who asks may mean it.
    Lost,
    /// They are taken in.
    Take,
    /// They are the same, but not all of them could be taken in.
    Again,
}

/// What was seen, and what of it is taken in.
#[derive(Debug)]
pub struct Pace {
    pause: Span,
    before: Option<Look>,
    applied: Option<Look>,
    again_at: Option<Clock>,
}

impl Pace {
    /// Looks come at this `interval`.
    pub fn new(interval: Span) -> Self {
        Self {
            pause: Span::from_ms(interval.ms().saturating_mul(AGAIN_LOOKS)).min(AGAIN),
            before: None,
            applied: None,
            again_at: None,
        }
    }

    /// The next look. `asked`: by a person, who does not wait. `held`: something that files held is at work.
    pub fn turn(&mut self, look: &Look, asked: bool, held: bool, now: Clock) -> Turn {
        // A file that is being written is waited for, but not by whoever asks, nor at the start.
        let settled = asked || self.applied.is_none() || self.before.as_ref() == Some(look);
        self.before = Some(look.clone());
        let same = self.applied.as_ref() == Some(look);
        if asked {
            return Turn::Take;
        }
        if same {
            let again = self.again_at.is_some_and(|at| at <= now);
            return if again { Turn::Again } else { Turn::Wait };
        }
        if look.is_empty() && held {
            return Turn::Lost;
        }
        if settled { Turn::Take } else { Turn::Wait }
    }

    /// They were taken in; `whole`: nothing is left to be tried again.
    pub fn taken(&mut self, look: Look, whole: bool, now: Clock) {
        self.applied = Some(look);
        self.again_at = (!whole).then(|| now + self.pause.std());
    }
}

#[cfg(test)]
mod tests {
    use std::{path::PathBuf, time::SystemTime};

    use super::*;

    fn look(files: &[&str]) -> Look {
        let files = files.iter();
        files
            .map(|name| (PathBuf::from(name), (SystemTime::UNIX_EPOCH, 1)))
            .collect()
    }

    #[test]
    fn files_are_taken_at_the_start_and_when_they_have_settled() {
        let (mut pace, now) = (Pace::new(Span::from_secs(2)), Clock::now());
        assert_eq!(pace.turn(&look(&["a"]), false, false, now), Turn::Take);
        pace.taken(look(&["a"]), true, now);
        assert_eq!(pace.turn(&look(&["a"]), false, true, now), Turn::Wait);
        assert_eq!(pace.turn(&look(&["a", "b"]), false, true, now), Turn::Wait);
        assert_eq!(pace.turn(&look(&["a", "b", "c"]), false, true, now), Turn::Wait);
        assert_eq!(pace.turn(&look(&["a", "b", "c"]), false, true, now), Turn::Take);
        pace.taken(look(&["a", "b", "c"]), true, now);
        assert_eq!(
            pace.turn(&look(&["d"]), true, true, now),
            Turn::Take,
            "whoever asks does not wait"
        );
    }

    #[test]
    fn an_empty_folder_takes_nothing_away_unless_somebody_asks_for_it() {
        let (mut pace, now) = (Pace::new(Span::from_secs(2)), Clock::now());
        let none = look(&[]);
        assert_eq!(
            pace.turn(&none, false, true, now),
            Turn::Lost,
            "the disk is not mounted yet"
        );
        assert_eq!(pace.turn(&none, false, true, now), Turn::Lost);
        assert_eq!(pace.turn(&look(&["a"]), false, true, now), Turn::Take);
        pace.taken(look(&["a"]), true, now);
        for _ in 0..3 {
            assert_eq!(
                pace.turn(&none, false, true, now),
                Turn::Lost,
                "they are being replaced"
            );
        }
        assert_eq!(
            pace.turn(&look(&["a"]), false, true, now),
            Turn::Wait,
            "here they are again"
        );
        assert_eq!(pace.turn(&none, true, true, now), Turn::Take);
        pace.taken(none.clone(), true, now);
        assert_eq!(pace.turn(&none, false, true, now), Turn::Wait);
        let mut fresh = Pace::new(Span::from_secs(2));
        assert_eq!(
            fresh.turn(&none, false, false, now),
            Turn::Take,
            "there is nothing to lose"
        );
    }

    #[test]
    fn what_is_refused_is_tried_again_after_a_while() {
        let (mut pace, now) = (Pace::new(Span::from_secs(2)), Clock::now());
        pace.turn(&look(&["a"]), false, false, now);
        pace.taken(look(&["a"]), false, now);
        let later = now + AGAIN.std();
        assert_eq!(
            pace.turn(&look(&["a"]), false, true, later - Span::from_ms(1).std()),
            Turn::Wait
        );
        assert_eq!(pace.turn(&look(&["a"]), false, true, later), Turn::Again);
        pace.taken(look(&["a"]), true, later);
        assert_eq!(pace.turn(&look(&["a"]), false, true, later + AGAIN.std()), Turn::Wait);
    }
}
