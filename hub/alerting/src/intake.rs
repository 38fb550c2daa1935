//! Verdicts that have come and wait for their turn.
//!
//! While there are few, they are taken as they came: what came in one message is of one moment, and told of together. Of very many the rules
//! take turns, so that ten thousand verdicts of one rule do not hold up the alert of another. Those of one rule keep their order,
//! those of two rules do not: while so many wait, an alert that another one would inhibit may be told of before that one is taken in, also when both came in one
//! message. Who inhibits whom is decided by labels that alerts have only in the book, so nothing here could take those first. The one that inhibits mutes the
//! other as soon as it is there, and what comes later of that is held back.
//!
//! Pure, and bounded by who asks [`Intake::has_room`] before it takes the next message.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
};

use streamflow_model::Signal;
use tokio::sync::oneshot;

/// As many verdicts are few: as they came, all in one turn, of which the changes become durable together.
const AT_ONCE: usize = 1000;
/// Of more, so many are of one turn: who comes in between waits for no more than that.
const IN_TURNS: usize = 512;
/// Verdicts that may wait here; the others wait with who sends them.
const ROOM: usize = 16_384;

/// The verdicts.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    /// As they came.
    messages: VecDeque<(u64, Vec<Signal>)>,
    /// Those of so many that rules take turns.
    rules: BTreeMap<String, VecDeque<(u64, Signal)>>,
    /// The rule whose turn was last.
    last: String,
    waiting: usize,
    came: u64,
    /// Who waits until everything before is durable.
    flushes: VecDeque<(u64, oneshot::Sender<()>)>,
}

impl Intake {
    /// Whether the next message may come.
    pub(crate) const fn has_room(&self) -> bool {
        self.waiting < ROOM
    }

    /// Whether nothing waits.
    pub(crate) const fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// A message has come.
    pub(crate) fn push(&mut self, signals: Vec<Signal>) {
        if signals.is_empty() {
            return;
        }
        self.came += 1;
        self.waiting += signals.len();
        self.messages.push_back((self.came, signals));
    }

    /// Somebody wants to know when everything that came before is durable.
    pub(crate) fn flush(&mut self, done: oneshot::Sender<()>) {
        self.flushes.push_back((self.came, done));
    }

    /// The verdicts of the next turn, moment by moment.
    pub(crate) fn turn(&mut self) -> Vec<Vec<Signal>> {
        if self.rules.is_empty() && self.waiting <= AT_ONCE {
            self.waiting = 0;
            return self.messages.drain(..).map(|(_, signals)| signals).collect();
        }
        for (came, signals) in self.messages.drain(..) {
            for signal in signals {
                match self.rules.get_mut(&signal.rule_id) {
                    Some(of_rule) => of_rule.push_back((came, signal)),
                    None => drop(
                        self.rules
                            .insert(signal.rule_id.clone(), VecDeque::from([(came, signal)])),
                    ),
                }
            }
        }
        let taken = self.in_turns(IN_TURNS);
        self.waiting -= taken.len();
        vec![taken]
    }

    fn in_turns(&mut self, most: usize) -> Vec<Signal> {
        let mut taken = Vec::with_capacity(most.min(self.waiting));
        while taken.len() < most && !self.rules.is_empty() {
            let share = ((most - taken.len()) / self.rules.len()).max(1);
            // Once around, from where the last turn ended.
            for _ in 0..self.rules.len() {
                let room = (most - taken.len()).min(share);
                let after = (Bound::Excluded(self.last.as_str()), Bound::Unbounded);
                let next = self
                    .rules
                    .range::<str, _>(after)
                    .next()
                    .or_else(|| self.rules.iter().next());
                let Some(rule) = next.map(|(rule, _)| rule.clone()).filter(|_| room > 0) else {
                    break;
                };
                if let Some(of_rule) = self.rules.get_mut(&rule) {
                    let some = room.min(of_rule.len());
                    taken.extend(of_rule.drain(..some).map(|(_, signal)| signal));
                    if of_rule.is_empty() {
                        self.rules.remove(&rule);
                    }
                }
                self.last = rule;
            }
        }
        taken
    }

    /// Those who are to be answered once what has been taken is durable.
    pub(crate) fn flushed(&mut self) -> Vec<oneshot::Sender<()>> {
        let message = self.messages.front().map(|(came, _)| *came);
        let of_rules = self
            .rules
            .values()
            .filter_map(|of_rule| of_rule.front())
            .map(|(came, _)| *came);
        let oldest = of_rules.chain(message).min().unwrap_or(u64::MAX);
        let done = self.flushes.iter().take_while(|(came, _)| *came < oldest).count();
        self.flushes.drain(..done).map(|(_, done)| done).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sample::signal;

    fn of(rule: &str, n: usize) -> Signal {
        let mut signal = signal(0, n as f64);
        rule.clone_into(&mut signal.rule_id);
        signal
    }

    fn seen(signals: &[Signal]) -> Vec<(String, f64)> {
        signals
            .iter()
            .map(|signal| (signal.rule_id.clone(), signal.value.unwrap()))
            .collect()
    }

    /// All verdicts of the next turn.
    fn turn(intake: &mut Intake) -> Vec<Signal> {
        intake.turn().concat()
    }

    fn has(signals: &[Signal], rule: &str) -> bool {
        signals.iter().any(|signal| signal.rule_id == rule)
    }

    #[test]
    fn few_are_taken_message_by_message_and_of_many_the_rules_take_turns() {
        let mut intake = Intake::default();
        intake.push(vec![of("b", 0), of("a", 1)]);
        intake.push(Vec::new());
        intake.push(vec![of("a", 2)]);
        let moments: Vec<usize> = intake.turn().iter().map(Vec::len).collect();
        assert_eq!(moments, [2, 1], "what came together is of one moment");
        assert!(intake.is_empty() && intake.turn().is_empty());
        for _ in 0..5 {
            intake.push((0..1000).map(|n| of("storm", n)).collect());
        }
        intake.push(vec![of("other", 0), of("z", 0)]);
        let first = turn(&mut intake);
        assert_eq!(first.len(), IN_TURNS);
        assert!(has(&first, "other") && has(&first, "z"), "they wait for nobody");
        // What comes while the storm goes on is of the next turn.
        intake.push(vec![of("late", 0)]);
        assert!(has(&turn(&mut intake), "late"));
    }

    #[test]
    fn a_flush_is_answered_when_everything_before_it_is_taken() {
        let mut intake = Intake::default();
        let flush = |intake: &mut Intake| intake.flush(oneshot::channel().0);
        flush(&mut intake);
        assert_eq!(intake.flushed().len(), 1, "nothing waits");
        for _ in 0..3 {
            intake.push((0..1000).map(|n| of("storm", n)).collect());
        }
        flush(&mut intake);
        intake.push(vec![of("other", 0)]);
        flush(&mut intake);
        let mut answered = Vec::new();
        while !intake.is_empty() {
            intake.turn();
            answered.push(intake.flushed().len());
        }
        let turns = answered.len();
        assert_eq!((turns, answered[turns - 1], answered.iter().sum::<usize>()), (6, 2, 2));
        assert!(intake.flushes.is_empty());
    }

    proptest! {
        #[test]
        fn each_is_taken_once_and_those_of_a_rule_in_their_order(
            messages in prop::collection::vec(prop::collection::vec(0_usize..5, 0..400), 0..20),
            every in 1_usize..10,
        ) {
            let (mut intake, mut n, mut taken, mut came) = (Intake::default(), 0, Vec::new(), Vec::new());
            for (nth, rules) in messages.iter().enumerate() {
                let message: Vec<Signal> = rules.iter().map(|rule| { n += 1; of(&rule.to_string(), n) }).collect();
                came.extend(seen(&message));
                intake.push(message);
                if nth % every == 0 {
                    taken.extend(seen(&turn(&mut intake)));
                }
            }
            while !intake.is_empty() {
                let some = turn(&mut intake);
                prop_assert!(!some.is_empty() && some.len() <= AT_ONCE);
                taken.extend(seen(&some));
            }
            for rule in 0..5 {
                let of_rule = |all: &[(String, f64)]| -> Vec<f64> {
                    all.iter().filter(|(own, _)| *own == rule.to_string()).map(|(_, n)| *n).collect()
                };
                prop_assert_eq!(of_rule(&taken), of_rule(&came));
            }
        }
    }
}
