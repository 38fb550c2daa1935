//! The life of a rule's alerts over verdicts from the past: who would have been told how often. Nobody is.
//!
//! It is the same state machine as the real one, with the time of the verdicts as its clock.

use std::collections::{BTreeMap, HashMap};

use streamflow_model::{Alert, AlertState, Channel, Instant, Level, Rule, Signal};

use crate::{
    book::{Book, Stored},
    options::Options,
};

/// Firings kept; further ones are only counted.
const MOST: usize = 10_000;
/// Stands for all who would be told.
const ANYBODY: &str = "anybody";

/// One alert that would have fired.
#[derive(Debug, Clone, PartialEq)]
pub struct Firing {
    /// When.
    pub at: Instant,
    /// Its group.
    pub labels: BTreeMap<String, String>,
    /// Value of the window with which it fired; of a window that had not ended, the last one that is known.
    pub value: f64,
    /// Begin of that window.
    pub window_start: Instant,
    /// End of that window, exclusive.
    pub window_end: Instant,
    /// Where it stood in the end.
    pub state: AlertState,
    /// When it was over.
    pub resolved_at: Option<Instant>,
}

/// What a rehearsal came to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rehearsed {
    /// Alerts that would have fired, oldest first; at most 10,000.
    pub firings: Vec<Firing>,
    /// How many would have fired, also beyond those.
    pub fired: u64,
    /// Notifications that an alert fires, however many channels each would go to.
    pub notifications: u64,
    /// Notifications that an alert is over.
    pub endings: u64,
}

/// A rule on trial.
#[derive(Debug)]
pub struct Rehearsal {
    book: Book,
    places: HashMap<String, usize>,
    result: Rehearsed,
}

impl Rehearsal {
    /// A rule that begins at `now`, ms; its channels take every alert.
    #[must_use]
    pub fn new(rule: &Rule, options: &Options, now: i64) -> Self {
        let mut rule = rule.clone();
        rule.draft.enabled = true;
        // Nobody takes an alert here, so nothing is told because nobody did.
        rule.draft.escalation_minutes = 0;
        rule.draft.escalation = None;
        // Nothing is routed here, and a firing is named by its group alone.
        rule.draft.labels.clear();
        rule.draft.channels = vec![ANYBODY.to_owned()];
        let channel = |name: &String| Channel {
            name: name.clone(),
            plugin: String::new(),
            config: serde_json::Map::new(),
            level: Level::Info,
            active_hours: None,
            rate_per_minute: None,
            title_template: None,
            body_template: None,
            enabled: true,
            created_at: Instant(now),
            updated_at: Instant(now),
            provisioned: None,
        };
        let channels = rule.draft.channels.iter().map(channel).collect();
        let stored = Stored {
            rules: vec![rule],
            channels,
            ..Stored::default()
        };
        Self {
            book: Book::load(options.clone(), "", stored, Vec::new(), now),
            places: HashMap::new(),
            result: Rehearsed::default(),
        }
    }

    /// Takes in verdicts that were given at `now`, which never goes back.
    pub fn verdicts(&mut self, signals: &[Signal], now: i64) {
        self.pass(now);
        self.book.signals(signals, now);
        self.take_in();
    }

    /// Lets time pass up to the end, and answers what came of it.
    #[must_use]
    pub fn finish(mut self, now: i64) -> Rehearsed {
        self.pass(now);
        self.result
    }

    fn pass(&mut self, now: i64) {
        while let Some(due) = self.book.due().filter(|due| *due <= now) {
            self.book.tick(due);
            self.take_in();
        }
    }

    fn take_in(&mut self) {
        let changes = self.book.take_changes();
        for outgoing in &changes.outgoing {
            match outgoing.notice.state {
                AlertState::Resolved => self.result.endings += 1,
                _ => self.result.notifications += 1,
            }
        }
        let moved = changes.written.iter().chain(&changes.touched);
        let alerts: Vec<Alert> = moved
            .filter_map(|key| self.book.incident(key))
            .map(|incident| incident.alert.clone())
            .collect();
        for alert in alerts {
            let Some(at) = alert.fired_at else { continue };
            let (state, resolved_at) = (alert.state, alert.resolved_at);
            let (window_start, window_end) = (time(&alert, "window_start"), time(&alert, "window_end"));
            if let Some(firing) = self
                .places
                .get(&alert.id)
                .and_then(|at| self.result.firings.get_mut(*at))
            {
                (firing.state, firing.resolved_at) = (state, resolved_at);
                if firing.window_end == window_end && resolved_at.is_none() {
                    firing.value = alert.value;
                }
            } else if self
                .places
                .insert(alert.id.clone(), self.result.firings.len())
                .is_none()
            {
                self.result.fired += 1;
                if self.result.firings.len() < MOST {
                    let own = |(name, _): &(String, String)| !matches!(name.as_str(), "alertname" | "level");
                    let (labels, value) = (alert.labels.into_iter().filter(own).collect(), alert.value);
                    self.result.firings.push(Firing {
                        at,
                        labels,
                        value,
                        window_start,
                        window_end,
                        state,
                        resolved_at,
                    });
                }
            }
            if state == AlertState::Resolved {
                self.places.remove(&alert.id);
            }
        }
    }
}

fn time(alert: &Alert, key: &str) -> Instant {
    let text = alert.data.get(key).and_then(|text| text.as_str());
    text.and_then(Instant::parse).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sample::{MINUTE, T0, rule, signal};

    #[test]
    fn it_counts_what_the_real_thing_would_tell() {
        let rule = rule(json!({"for": "1m", "suppression_minutes": 10, "channels": []}));
        let mut trial = Rehearsal::new(&rule, &Options::default(), T0);
        for (window, value) in [(0, 60.0), (1, 70.0), (2, 1.0), (3, 60.0), (4, 70.0), (5, 1.0)] {
            trial.verdicts(&[signal(window, value)], T0 + (window + 1) * MINUTE);
        }
        let result = trial.finish(T0 + 60 * MINUTE);
        let seen: Vec<_> = result
            .firings
            .iter()
            .map(|firing| ((firing.at.0 - T0) / MINUTE, firing.value, firing.state))
            .collect();
        assert_eq!(seen, [(2, 60.0, AlertState::Resolved), (5, 60.0, AlertState::Resolved)]);
        assert_eq!(
            (result.fired, result.notifications, result.endings),
            (2, 1, 1),
            "the second is suppressed"
        );
        let first = &result.firings[0];
        assert_eq!(
            (first.window_start, first.window_end),
            (Instant(T0), Instant(T0 + MINUTE)),
            "the window that met the condition first"
        );
        assert_eq!(result.firings[0].labels.len(), 1);
    }
}
