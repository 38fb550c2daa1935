//! From what is asked to what will be done: the rule's copy, the event, the agent, whom it tells.

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value, json};
use streamflow_model::{AgentStatus, Drill, DrillRequest, DrillState, Instant, Level, Rule, RuleDraft, RuleError};
use streamflow_proto::{
    filter::Filter,
    wire::{self, DRILL_MARK, DrillOrder, MAX_CONTROL, ToAgent},
};
use streamflow_storage::EventQuery;
use streamflow_web::{ApiError, ApiResult};
use uuid::Uuid;

use super::{Drills, HUB, copy, matcher::Matcher};

/// An event that the rule matched is looked for so far back, and for so long.
const LOOK_BACK_MS: i64 = 7 * 86_400_000;
const LOOK_FOR: Duration = Duration::from_secs(3);
/// Longest time that a drill may ask for.
const LONGEST_MS: i64 = 86_400_000;

/// A drill that is ready to begin.
pub struct Planned {
    /// As people see it.
    pub drill: Drill,
    /// The copy of the rule.
    pub rule: Rule,
    /// Waits for the event.
    pub matcher: Matcher,
    /// Id of the agent that takes part.
    pub agent_id: Option<String>,
    /// The event as JSON.
    pub event: String,
    /// How long the way to the channels may take.
    pub deadline: Duration,
    /// How long a person may take then; none has to.
    pub acknowledge: Option<Duration>,
    /// How far the agent's clock is ahead, ms.
    pub ahead_ms: i64,
    /// Length of the rule's windows and how late events may come, ms.
    pub patience_ms: i64,
}

impl Drills {
    pub(super) async fn plan(&self, request: DrillRequest, by: &str, schedule: Option<&str>) -> ApiResult<Planned> {
        let id = Uuid::now_v7().to_string();
        let mut notes =
            vec!["one event is enough for the drill's copy of the rule: threshold and `for` are not tried".to_owned()];
        let (target, base) = self.target(&request)?;
        let agent = self.agent(&request)?;
        let agent_name = agent
            .as_ref()
            .map_or_else(|| HUB.to_owned(), |agent| agent.name.clone());
        let has_expression = request.rule.is_some() && copy::has_expression(&base);
        let (fields, exercised) = self.fields(&request, &base, has_expression).await?;
        if request.rule.is_some() && !exercised {
            notes.push(if has_expression {
                "no stored event of the last 7 days that an agent can be asked for matches the rule, so its `match` is not tried; give an event that does in `event`".to_owned()
            } else {
                format!("the expressions of a rule of kind `{}` are not tried", base.kind.name())
            });
        }
        let event_id = Uuid::now_v7();
        let event = copy::event(&id, event_id, &agent_name, fields);
        let now = Instant::now();
        if let Err(reason) = copy::frame(&event, now.0, 1) {
            return Err(wrong("event", &reason));
        }
        if agent.is_some() && !fits(&id, &event) {
            return Err(wrong(
                "event",
                &format!(
                    "an order to an agent has at most {MAX_CONTROL} bytes; leave some of its fields out, or let it begin in the hub with `from_hub`"
                ),
            ));
        }
        let wanted = match (&request.channels, request.page) {
            (Some(_), true) => return Err(wrong("channels", "either name channels or `page`, not both")),
            (_, true) => None,
            (Some(names), false) => Some(names.clone()),
            (None, false) => Some(self.0.options.channels.clone()),
        };
        if wanted.as_ref().is_some_and(Vec::is_empty) {
            let message = "a drill tells nobody but channels for drills, and none is named: give `channels`, set `[drills] channels`, or ask to `page` those whom the real alert would tell";
            return Err(wrong("channels", message));
        }
        let group = group_of(&base, &event);
        let channels = self
            .0
            .rooms
            .alerting
            .drill_channels(base.clone(), group, wanted.clone())
            .await?;
        let named = wanted.unwrap_or_else(|| base.channels.clone());
        let rule = copy::private_rule(&id, &base, exercised, named, request.page);
        let sender = agent.as_ref().map_or(HUB, |agent| agent.id.as_str());
        let matcher = Matcher::new(self.0.rooms.engine, &id, sender, &rule).map_err(|errors| unfit(&errors))?;
        let span = |field: &str, given: Option<streamflow_model::Span>, default: streamflow_model::Span| {
            let span = given.unwrap_or(default);
            if (1..=LONGEST_MS).contains(&span.ms()) {
                Ok(span.std())
            } else {
                Err(wrong(field, "must be more than 0 and at most a day"))
            }
        };
        let options = &self.0.options;
        let deadline = span("deadline", request.deadline, options.deadline)?;
        let within = span(
            "acknowledge_within",
            request.acknowledge_within,
            options.acknowledge_within,
        )?;
        Ok(Planned {
            agent_id: agent.as_ref().map(|agent| agent.id.clone()),
            ahead_ms: agent.and_then(|agent| agent.clock_skew_ms).unwrap_or(0),
            patience_ms: base.window.size().ms().saturating_add(base.allowed_lateness.ms()),
            acknowledge: request.acknowledge.unwrap_or(true).then_some(within),
            deadline,
            matcher,
            rule,
            event,
            drill: Drill {
                id,
                state: DrillState::Running,
                by: by.to_owned(),
                schedule: schedule.map(str::to_owned),
                target,
                request,
                agent: agent_name,
                event_id: Some(event_id.to_string()),
                alert_id: None,
                channels: channels.told,
                would_tell: channels.would_tell,
                started_at: now,
                ended_at: None,
                hops: Vec::new(),
                lost_at: None,
                reason: None,
                notes,
            },
        })
    }

    /// Name and rule of what is drilled.
    fn target(&self, request: &DrillRequest) -> ApiResult<(String, RuleDraft)> {
        match (&request.rule, &request.route) {
            (Some(named), None) => {
                let rules = self.0.rooms.alerting.rules();
                let by_id = rules.iter().find(|rule| rule.id == *named);
                let found = by_id.or_else(|| rules.iter().find(|rule| rule.draft.name == *named));
                let rule = found.ok_or_else(|| ApiError::not_found(format!("there is no rule `{named}`")))?;
                Ok((rule.draft.name.clone(), rule.draft.clone()))
            }
            (None, Some(labels)) => {
                let text: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
                let level = request.level.unwrap_or(Level::Critical);
                let rule = copy::route_rule(labels.clone(), level).map_err(ApiError::internal)?;
                Ok((text.join(","), rule))
            }
            _ => Err(wrong("rule", "give either `rule` or `route`")),
        }
    }

    /// The agent that takes part.
    fn agent(&self, request: &DrillRequest) -> ApiResult<Option<AgentStatus>> {
        let ingest = &self.0.rooms.ingest;
        if request.from_hub {
            return match &request.agent {
                Some(_) => Err(wrong("agent", "no agent takes part in a drill `from_hub`")),
                None => Ok(None),
            };
        }
        let refused = |error: streamflow_ingest::OrderError| match error {
            streamflow_ingest::OrderError::Unknown(_) => ApiError::not_found(error.to_string()),
            _ => ApiError::conflict(error.to_string()),
        };
        if let Some(named) = &request.agent {
            return ingest.can_drill(named).map(Some).map_err(refused);
        }
        let mut last = None;
        for agent in ingest.agents().into_iter().filter(|agent| agent.connected) {
            match ingest.can_drill(&agent.id) {
                Ok(status) => return Ok(Some(status)),
                Err(error) => last = Some(error),
            }
        }
        Err(last.map_or_else(
            || {
                ApiError::conflict(
                    "no agent is connected; start one, or let the event begin in the hub with `from_hub`",
                )
            },
            refused,
        ))
    }

    /// The fields of the event, and whether the rule's expression is tried with it.
    async fn fields(
        &self,
        request: &DrillRequest,
        base: &RuleDraft,
        has_expression: bool,
    ) -> ApiResult<(Option<Map<String, Value>>, bool)> {
        let now = Instant::now().0;
        let matched = |fields: Option<Map<String, Value>>| {
            let event = copy::event("", Uuid::nil(), HUB, fields);
            copy::is_matched(&base.matches, &event, now)
        };
        if let Some(given) = &request.event {
            if !has_expression {
                return Ok((Some(given.clone()), false));
            }
            return match matched(Some(given.clone())) {
                Ok(true) => Ok((Some(given.clone()), true)),
                Ok(false) => Err(wrong("event", &format!("the rule does not match it: {}", base.matches))),
                Err(reason) => Err(wrong("event", &reason)),
            };
        }
        if !has_expression {
            return Ok((None, false));
        }
        let can_be_asked = |fields: Map<String, Value>| {
            let id = Uuid::nil().to_string();
            request.from_hub || fits(&id, &copy::event(&id, Uuid::nil(), HUB, Some(fields)))
        };
        if let Some(fields) = self.newest_match(base).await
            && can_be_asked(fields.clone())
            && matched(Some(fields.clone())) == Ok(true)
        {
            return Ok((Some(fields), true));
        }
        Ok((None, matched(None) == Ok(true)))
    }

    /// The newest event that the rule matches and that no drill has made.
    async fn newest_match(&self, base: &RuleDraft) -> Option<Map<String, Value>> {
        let query = EventQuery {
            from: Some(Instant::now().0.saturating_sub(LOOK_BACK_MS)),
            filter: Some(Arc::new(Filter::compile(&undrilled(&base.matches)).ok()?)),
            limit: 1,
            ..EventQuery::default()
        };
        let page = tokio::time::timeout(LOOK_FOR, self.0.rooms.store.query(query)).await;
        let event = page.ok()?.ok()?.events.into_iter().next()?;
        let text = serde_json::to_string(&event).ok()?;
        serde_json::from_str(&text).ok()
    }
}

/// Whether an agent can be asked for the event.
fn fits(drill: &str, event: &str) -> bool {
    let order = DrillOrder {
        drill: drill.to_owned(),
        event: event.to_owned(),
    };
    wire::encode(&ToAgent::Drill(order)).is_ok()
}

/// An expression for the same events without those that carry the mark of a drill. The line ends before the bracket, for the expression may end in a comment.
fn undrilled(matches: &str) -> String {
    format!("({matches}\n) && !has(metadata.{DRILL_MARK})")
}

/// The labels that the alert takes from the event, as far as they are texts, for the question whom it would tell.
fn group_of(base: &RuleDraft, event: &str) -> std::collections::BTreeMap<String, String> {
    let event: Value = serde_json::from_str(event).unwrap_or_default();
    let value = |path: &String| {
        let at = path.split('.').try_fold(&event, |value, key| value.get(key))?;
        let text = at.as_str().map_or_else(|| at.to_string(), str::to_owned);
        Some((path.clone(), text))
    };
    base.group_by.iter().filter_map(value).collect()
}

fn unfit(errors: &[RuleError]) -> ApiError {
    let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
    ApiError::validation(format!("no drill can be made of this rule: {}", all.join("; ")))
        .with_details(json!({"field": "rule", "errors": errors}))
}

pub(super) fn wrong(field: &str, reason: &str) -> ApiError {
    ApiError::validation(format!("{field}: {reason}")).with_details(json!({"field": field}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_that_no_message_holds_is_not_given() {
        let id = Uuid::nil().to_string();
        let of = |bytes: usize| {
            let fields = json!({"type": "t", "source": "s", "data": {"stack": "x".repeat(bytes)}});
            let Value::Object(fields) = fields else { panic!() };
            copy::event(&id, Uuid::nil(), HUB, Some(fields))
        };
        assert!(fits(&id, &of(1000)));
        let large = of(65_400);
        copy::frame(&large, 0, 1).unwrap();
        assert!(!fits(&id, &large), "a fine event, and too much for an order");
    }

    #[test]
    fn an_event_of_an_earlier_drill_is_not_drilled_with_again() {
        let matches = undrilled("type == 't' || type == 'u'");
        let now = Instant::now().0;
        let real = r#"{"type":"t","source":"s","metadata":{"region":"eu"}}"#;
        let drilled = r#"{"type":"t","source":"s","metadata":{"streamflow_drill":"d1"}}"#;
        assert_eq!(copy::is_matched(&matches, real, now), Ok(true));
        assert_eq!(
            copy::is_matched(&matches, r#"{"type":"t","source":"s"}"#, now),
            Ok(true)
        );
        assert_eq!(copy::is_matched(&matches, drilled, now), Ok(false));
    }
}
