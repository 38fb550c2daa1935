//! The private copy of a rule at work: the live engine with one rule, which is shown nothing but the drill's event. Pure.

use streamflow_analytics::engine::Engine;
use streamflow_bus::Drills;
use streamflow_model::{Rule, RuleError, Signal};
use streamflow_proto::batch::DecodeError;
use streamflow_storage::{LogBatch, RowSpan};

/// Waits for one event.
pub struct Matcher {
    engine: Engine,
    drill: String,
    /// Who sends the event.
    agent: String,
}

/// The event, as it stands in the log.
pub struct Seen {
    /// Its place.
    pub position: u64,
    /// When it became durable, wall clock ms.
    pub stored_at: i64,
    /// Its own time, ms.
    pub at: i64,
    /// What the rule makes of it; nothing when it does not match.
    pub signals: Vec<Signal>,
}

impl Matcher {
    /// For this drill's rule and the event that comes from this agent.
    ///
    /// # Errors
    /// What is wrong with the rule.
    pub fn new(
        options: streamflow_analytics::Options,
        drill: &str,
        agent: &str,
        rule: &Rule,
    ) -> Result<Self, Vec<RuleError>> {
        let mut engine = Engine::new(options, i64::MIN);
        match engine.set_rules(std::slice::from_ref(rule)).pop() {
            Some((_, errors)) => Err(errors),
            None => Ok(Self {
                engine,
                drill: drill.to_owned(),
                agent: agent.to_owned(),
            }),
        }
    }

    /// Looks for the event in a part of the log.
    ///
    /// # Errors
    /// When the batch does not decode.
    pub fn look(&mut self, log: &LogBatch) -> Result<Option<Seen>, DecodeError> {
        let Some(marks) = Drills::marks(&log.batch)? else {
            return Ok(None);
        };
        let is_own = |row: &u32| marks.get(*row as usize).is_some_and(|mark| mark == self.drill);
        let found = log
            .spans
            .iter()
            .filter(|span| *span.agent == *self.agent)
            .find_map(|span| (span.start..span.end).find(is_own).map(|row| (span, row)));
        let Some((span, row)) = found else {
            return Ok(None);
        };
        let at = log.batch.timestamps()?.get(row as usize).copied().unwrap_or_default();
        let own = LogBatch {
            batch: log.batch.clone(),
            spans: vec![RowSpan {
                start: row,
                end: row + 1,
                ..span.clone()
            }],
        };
        let signals = self.engine.ingest(&own).signals;
        Ok(Some(Seen {
            position: span.position,
            stored_at: span.stored_at,
            at,
            signals: signals.into_iter().filter(|signal| signal.met).collect(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::drill::copy;

    #[test]
    fn it_finds_its_event_among_others_and_the_copy_fires_on_it_at_once() {
        let draft =
            json!({"name": "r", "match": "type == 'api'", "threshold": 50, "group_by": ["source"], "window": "1m"});
        let rule = copy::private_rule("d1", &serde_json::from_value(draft).unwrap(), true, Vec::new(), false);
        let mut matcher = Matcher::new(Default::default(), "d1", "a", &rule).unwrap();
        let log = |drill: &str, kind: &str| {
            let fields = json!({"type": kind, "source": "web-1"});
            let event = copy::event(drill, Uuid::now_v7(), "a", fields.as_object().cloned());
            let batch = copy::frame(&event, 60_000, 1).unwrap().decode().unwrap();
            let span = RowSpan {
                position: 7,
                agent: "a".into(),
                stored_at: 61_000,
                start: 0,
                end: 1,
            };
            LogBatch {
                batch: Arc::new(batch),
                spans: vec![span],
            }
        };
        assert!(matcher.look(&log("d2", "api")).unwrap().is_none());
        let mut forged = log("d1", "api");
        forged.spans[0].agent = "b".into();
        assert!(
            matcher.look(&forged).unwrap().is_none(),
            "of an agent that was not asked"
        );
        let other = matcher.look(&log("d1", "other")).unwrap().unwrap();
        assert!(other.signals.is_empty(), "it came, and the rule does not match it");
        let seen = matcher.look(&log("d1", "api")).unwrap().unwrap();
        assert_eq!((seen.position, seen.stored_at, seen.at), (7, 61_000, 60_000));
        assert_eq!(seen.signals.len(), 1);
        assert_eq!(seen.signals[0].labels["source"], "web-1");
        assert_eq!(seen.signals[0].rule_id, rule.id);
    }
}
