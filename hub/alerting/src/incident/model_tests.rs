//! Random lives of one group against a model that says in a few lines what must hold.

use proptest::prelude::*;
use serde_json::json;
use streamflow_model::AlertState;

use super::*;
use crate::sample::{MINUTE, T0, book, incomplete, rule, signal};

#[derive(Debug, Clone)]
enum Act {
    /// A verdict on the next window, or on the present one.
    Verdict {
        next: bool,
        met: bool,
        running: bool,
        empty: bool,
        complete: bool,
    },
    /// An old verdict once more.
    Replay(usize),
    /// Time passes.
    Wait(i64),
    Acknowledge,
    Resolve,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let verdict = (
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.8),
    );
    let act = prop_oneof![
        6 => verdict.prop_map(|(next, met, running, empty, complete)| Act::Verdict { next, met, running, empty, complete }),
        1 => (0_usize..100).prop_map(Act::Replay),
        3 => (1_i64..4 * MINUTE).prop_map(Act::Wait),
        1 => Just(Act::Acknowledge),
        1 => Just(Act::Resolve),
    ];
    prop::collection::vec(act, 1..80)
}

/// What must hold, in few words. `state` is `None` when nothing is open.
#[derive(Debug)]
struct Model {
    hold: i64,
    keep: i64,
    suppression: i64,
    unmet_since: Option<i64>,
    state: Option<AlertState>,
    before_stale: AlertState,
    pending_since: i64,
    acknowledged: bool,
    told: bool,
    last_told: Option<i64>,
    waiting: bool,
    notifications: Vec<&'static str>,
}

impl Model {
    fn verdict(&mut self, signal: &Signal, now: i64) {
        use AlertState::{Pending, Stale};
        let over = !signal.met && (!signal.running || signal.value.is_none());
        if signal.met {
            self.unmet_since = None;
        }
        match self.state {
            None if signal.met => {
                (self.state, self.pending_since, self.told, self.acknowledged) = (Some(Pending), now, false, false);
                self.time(now);
            }
            Some(Stale) if signal.met => {
                self.state = Some(self.before_stale);
                self.time(now);
            }
            Some(state) if over && !signal.completeness.complete && state != Stale => {
                (self.before_stale, self.state) = (state, Some(Stale));
            }
            Some(state) if over && signal.completeness.complete => {
                let state = if state == Stale { self.before_stale } else { state };
                if state == Pending {
                    self.end(false);
                } else {
                    self.state = Some(state);
                    self.unmet_since = self.unmet_since.or(Some(now));
                    self.time(now);
                }
            }
            _ => {}
        }
    }

    fn time(&mut self, now: i64) {
        let running = matches!(self.state, Some(AlertState::Firing | AlertState::Acknowledged));
        if running && self.unmet_since.is_some_and(|since| now >= since + self.keep) {
            return self.end(true);
        }
        if self.state == Some(AlertState::Pending) && now >= self.pending_since + self.hold {
            (self.state, self.waiting) = (Some(AlertState::Firing), true);
        }
        let free = self.last_told.is_none_or(|at| now >= at + self.suppression);
        if self.state == Some(AlertState::Firing) && self.waiting && free {
            (self.waiting, self.told, self.last_told) = (false, true, Some(now));
            self.notifications.push("firing");
        }
    }

    fn end(&mut self, fired: bool) {
        if fired && self.told {
            self.notifications.push("resolved");
        }
        (self.state, self.waiting, self.unmet_since) = (None, false, None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_life_is_as_the_model_says(acts in acts(), hold in 0_i64..3, keep in 0_i64..4, suppression in 0_u32..5) {
        let fields = json!({"for": format!("{hold}m"), "keep_firing_for": format!("{keep}m"), "suppression_minutes": suppression});
        let rule = rule(fields);
        let mut book = book(vec![rule]);
        let mut model = Model {
            hold: hold * MINUTE, keep: keep * MINUTE, unmet_since: None, suppression: i64::from(suppression) * MINUTE, state: None, before_stale: AlertState::Firing,
            pending_since: 0, acknowledged: false, told: false, last_told: None, waiting: false, notifications: vec![],
        };
        let (mut now, mut window, mut revision) = (T0, 0, 0);
        let (mut sent, mut told): (Vec<Signal>, Vec<String>) = (vec![], vec![]);
        // The window that a person closed does not count any more.
        let mut closed_window = -1;
        for act in acts {
            match act {
                Act::Verdict { next, met, running, empty, complete } => {
                    (window, revision) = if next { (window + 1, 0) } else { (window, revision + 1) };
                    let base = if complete { signal(window, 0.0) } else { incomplete(window, 0.0) };
                    let met = met && !empty;
                    let value = (!empty).then_some(if met { 60.0 } else { 1.0 });
                    let signal = Signal { revision, met, running, value, ..base };
                    book.signals(std::slice::from_ref(&signal), now);
                    if window > closed_window {
                        model.verdict(&signal, now);
                    }
                    // A pending alert that ended leaves no memory behind, so an old verdict would be news.
                    if model.state.is_none() && book.incident("r1{source=web-1}").is_none() {
                        sent.clear();
                    } else {
                        sent.push(signal);
                    }
                }
                Act::Replay(nth) if !sent.is_empty() => {
                    let old = sent[nth % sent.len()].clone();
                    book.signals(&[old], now);
                }
                Act::Replay(_) => {}
                Act::Wait(ms) => {
                    now += ms;
                    model.time(now);
                }
                Act::Acknowledge => {
                    let open = book.open_alerts().next().filter(|alert| alert.fired_at.is_some());
                    if let Some(id) = open.map(|alert| alert.id.clone()) {
                        book.acknowledge(&id, "eva", "", now);
                        model.waiting = false;
                        if !model.acknowledged {
                            model.acknowledged = true;
                            match model.state {
                                Some(AlertState::Stale) => model.before_stale = AlertState::Acknowledged,
                                _ => model.state = Some(AlertState::Acknowledged),
                            }
                        }
                    }
                }
                Act::Resolve => {
                    let open = book.open_alerts().next().map(|alert| alert.id.clone());
                    if let Some(id) = open {
                        book.resolve(&id, "eva", "", now);
                        model.end(true);
                        closed_window = window;
                    }
                }
            }
            book.tick(now);
            let open: Vec<AlertState> = book.open_alerts().map(|alert| alert.state).collect();
            prop_assert_eq!(open, Vec::from_iter(model.state));
            told.extend(book.take_changes().outgoing.into_iter().map(|outgoing| outgoing.delivery.status));
            prop_assert_eq!(&told, &model.notifications);
        }
    }
}
