//! From what a plugin answers to verdicts for alerting: one incident for each key, with the same labels as long as it is open.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, json};
use streamflow_model::{Account, Completeness, Rule, Signal};
use streamflow_plugin_host::RuleAlert;

use super::order::Place;

/// Label of an incident's key.
pub(crate) const KEY: &str = "key";

/// Open incidents of one rule, as the plugin sees them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Ledger {
    open: BTreeMap<String, Open>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Open {
    labels: BTreeMap<String, String>,
    /// The plugin took silence for the end, at this event time, while some host had not reported so far.
    ends: Option<End>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct End {
    at: i64,
    title: String,
    body: String,
    value: Option<f64>,
}

/// Where in the log and in time an alert stands.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    pub(super) place: Place,
    /// Event time behind it, ms.
    pub(super) event_time: i64,
    pub(super) watermark: i64,
    pub(super) stored_at: i64,
    pub(super) completeness: Completeness,
}

impl Ledger {
    pub(super) const fn new() -> Self {
        Self { open: BTreeMap::new() }
    }

    /// The verdict on an alert; `Ok(None)` when it must not be told yet. Fails when there are `most` incidents open already.
    pub(super) fn take(
        &mut self,
        rule: &Rule,
        alert: RuleAlert,
        standing: &Standing,
        most: usize,
    ) -> Result<Option<Signal>, TooMany> {
        if alert.resolved {
            if !standing.completeness.complete
                && let Some(open) = self.open.get_mut(&alert.key)
            {
                open.ends = Some(End {
                    at: standing.event_time,
                    title: alert.title,
                    body: alert.body,
                    value: alert.value,
                });
                return Ok(None);
            }
            let labels = match self.open.remove(&alert.key) {
                Some(open) => open.labels,
                None => labels(&alert),
            };
            return Ok(Some(signal(rule, labels, &alert, standing)));
        }
        if !self.open.contains_key(&alert.key) && self.open.len() >= most {
            return Err(TooMany);
        }
        let open = self.open.entry(alert.key.clone()).or_insert_with(|| Open {
            labels: labels(&alert),
            ends: None,
        });
        open.ends = None;
        let labels = open.labels.clone();
        Ok(Some(signal(rule, labels, &alert, standing)))
    }

    /// Ends what had to wait for hosts that have reported by now. `complete` answers for an event time.
    pub(super) fn settle(&mut self, rule: &Rule, standing: impl Fn(i64) -> Standing) -> Vec<Signal> {
        let due: Vec<String> = self
            .open
            .iter()
            .filter(|(_, open)| {
                open.ends
                    .as_ref()
                    .is_some_and(|end| standing(end.at).completeness.complete)
            })
            .map(|(key, _)| key.clone())
            .collect();
        due.into_iter()
            .filter_map(|key| {
                let open = self.open.remove(&key)?;
                let end = open.ends?;
                let alert = RuleAlert {
                    key,
                    level: None,
                    title: end.title,
                    body: end.body,
                    value: end.value,
                    resolved: true,
                    row: None,
                    labels: BTreeMap::new(),
                };
                Some(signal(rule, open.labels, &alert, &standing(end.at)))
            })
            .collect()
    }

    /// Something waits for [`Self::settle`].
    pub(super) fn waits(&self) -> bool {
        self.open.values().any(|open| open.ends.is_some())
    }
}

/// The rule has too many open incidents.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMany;

fn labels(alert: &RuleAlert) -> BTreeMap<String, String> {
    let mut labels = alert.labels.clone();
    labels.insert(KEY.to_owned(), alert.key.clone());
    labels
}

fn signal(rule: &Rule, labels: BTreeMap<String, String>, alert: &RuleAlert, standing: &Standing) -> Signal {
    let mut data = Map::new();
    data.insert("plugin".to_owned(), json!(rule.draft.plugin));
    Signal {
        rule_id: rule.id.clone(),
        rule_version: rule.version,
        labels,
        value: alert.value,
        top: Vec::new(),
        met: !alert.resolved,
        running: false,
        window_start: standing.event_time.min(standing.place.at),
        window_end: standing.place.at,
        revision: standing.place.number,
        watermark: standing.watermark,
        completeness: standing.completeness.clone(),
        stored_at: standing.stored_at,
        account: Some(Box::new(Account {
            summary: alert.title.clone(),
            message: alert.body.clone(),
            data,
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin_rule::order::Order;

    fn rule() -> Rule {
        let draft = serde_json::from_value(json!({"name": "r", "kind": "plugin", "plugin": "p"})).unwrap();
        Rule {
            id: "id".to_owned(),
            draft,
            version: 1,
            created_at: Default::default(),
            updated_at: Default::default(),
            provisioned: None,
        }
    }

    fn alert(key: &str, resolved: bool, label: &str) -> RuleAlert {
        RuleAlert {
            key: key.to_owned(),
            level: None,
            title: "t".to_owned(),
            body: String::new(),
            value: Some(1.0),
            resolved,
            row: None,
            labels: BTreeMap::from([("l".to_owned(), label.to_owned())]),
        }
    }

    fn standing(complete: bool) -> Standing {
        let mut order = Order::new();
        order.batch(1, 100);
        Standing {
            place: order.end(),
            event_time: 90,
            watermark: 90,
            stored_at: 100,
            completeness: Completeness {
                complete,
                ..Completeness::default()
            },
        }
    }

    #[test]
    fn an_incident_keeps_its_labels_until_it_is_over() {
        let (rule, mut ledger, now) = (rule(), Ledger::new(), standing(true));
        let mut take = |alert| ledger.take(&rule, alert, &now, 1).map(Option::unwrap);
        let first = take(alert("a", false, "1")).unwrap();
        assert_eq!(
            (first.labels["key"].as_str(), first.labels["l"].as_str(), first.met),
            ("a", "1", true)
        );
        assert_eq!(take(alert("a", false, "2")).unwrap().labels, first.labels);
        assert_eq!(take(alert("b", false, "1")), Err(TooMany));
        let over = take(alert("a", true, "3")).unwrap();
        assert_eq!((over.labels == first.labels, over.met), (true, false));
        assert_eq!(take(alert("b", false, "4")).unwrap().labels["l"], "4");
    }

    #[test]
    fn an_end_by_silence_waits_for_all_hosts() {
        let (rule, mut ledger) = (rule(), Ledger::new());
        ledger.take(&rule, alert("a", false, "1"), &standing(true), 9).unwrap();
        assert_eq!(ledger.take(&rule, alert("a", true, "1"), &standing(false), 9), Ok(None));
        assert!(ledger.waits());
        assert_eq!(ledger.settle(&rule, |_| standing(false)), []);
        let ended = ledger.settle(&rule, |at| {
            assert_eq!(at, 90);
            standing(true)
        });
        assert_eq!((ended.len(), ended[0].met), (1, false));
        assert!(!ledger.waits());
        // An incident that goes on is not ended by what was said before.
        ledger.take(&rule, alert("a", false, "1"), &standing(true), 9).unwrap();
        ledger.take(&rule, alert("a", true, "1"), &standing(false), 9).unwrap();
        ledger.take(&rule, alert("a", false, "1"), &standing(true), 9).unwrap();
        assert!(!ledger.waits());
    }
}
