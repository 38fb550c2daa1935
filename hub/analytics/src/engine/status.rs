//! What the engine shows of itself.

use serde::Serialize;
use streamflow_model::{Instant, RuleKind, WindowSpec};

use super::{Engine, Standing, run::Run, watch::Watch};
use crate::{Options, absence::groups::SilentGroup};

/// How far the engine is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, utoipa::ToSchema)]
pub struct EngineStatus {
    /// Event time until which windows are closed.
    pub watermark: Option<Instant>,
    /// Event time that all agents have passed.
    pub complete_until: Option<Instant>,
    /// Each agent's progress.
    pub agents: Vec<AgentProgress>,
    /// Each rule at work.
    #[serde(skip)]
    pub rules: Vec<RuleStatus>,
}

/// How far an agent has reported.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct AgentProgress {
    /// The agent.
    pub agent: String,
    /// Event time that it has passed, by its events or by a heartbeat with an empty backlog.
    pub passed_until: Option<Instant>,
    /// Last batch or heartbeat.
    pub last_sign: Option<Instant>,
    /// Where it stands to the engine's watermark.
    pub standing: Standing,
}

/// How a rule does in the engine, since the hub started.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct RuleStatus {
    /// The rule.
    pub rule_id: String,
    /// Its name.
    pub rule: String,
    /// Its kind.
    pub kind: RuleKind,
    /// Its windows, if it has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<WindowSpec>,
    /// Whether windows are judged while they run.
    pub eager: bool,
    /// When its next window closes, in event time, as far as one is known to.
    pub next_close: Option<Instant>,
    /// Groups that it tells apart now.
    pub groups: u64,
    /// Most groups that it may tell apart.
    pub max_groups: u32,
    /// Events that came too late for any of its windows.
    pub late_events: u64,
    /// Results of closed windows that late events have changed.
    pub corrections: u64,
    /// What was too much, when there were too many groups.
    pub surplus: Option<SurplusStatus>,
    /// Events and steps that a pattern holds.
    pub held: u64,
    /// Keys, groups or models that were dropped for want of room since the rule was made.
    pub evicted: u64,
    /// Events that found no room since the rule was made.
    pub dropped: u64,
    /// Groups of an absence that are silent, or unknown because their hosts are cut off: the first hundred.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub silent: Vec<SilentGroup>,
}

/// Groups beyond the most that a rule may have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct SurplusStatus {
    /// Groups that were counted in `other`, once for each batch.
    pub groups: u64,
    /// The attribute that made them too many.
    pub attribute: String,
    /// Different values of it among the groups that are told apart.
    pub values: u64,
}

impl Engine {
    /// A picture of the engine.
    #[must_use]
    pub fn status(&self) -> EngineStatus {
        let agents = self.agents.progresses();
        EngineStatus {
            watermark: instant(self.agents.watermark()),
            complete_until: instant(self.complete_until()),
            agents: agents
                .map(|(agent, passed, sign, standing)| AgentProgress {
                    agent: agent.to_owned(),
                    passed_until: instant(passed),
                    last_sign: instant(sign),
                    standing,
                })
                .collect(),
            rules: self
                .runs
                .iter()
                .map(|run| rule(run, &self.options))
                .chain(self.watches.all().map(|watch| watched(watch, &self.options)))
                .collect(),
        }
    }
}

fn rule(run: &Run, options: &Options) -> RuleStatus {
    let (rule, tally) = (&run.asks.rule, &run.tally);
    RuleStatus {
        rule_id: rule.id.clone(),
        rule: rule.draft.name.clone(),
        kind: rule.draft.kind,
        window: Some(rule.draft.window.clone()),
        eager: run.asks.eager,
        next_close: instant(run.next_close()),
        groups: run.state.groups.len() as u64,
        max_groups: rule.draft.max_groups.unwrap_or(options.max_groups),
        late_events: tally.late,
        corrections: tally.corrections,
        surplus: tally.exploded.as_ref().map(|(attribute, values)| SurplusStatus {
            groups: tally.surplus,
            attribute: attribute.clone(),
            values: *values as u64,
        }),
        held: 0,
        evicted: run.learned().map_or(0, |(_, evicted)| evicted),
        dropped: 0,
        silent: Vec::new(),
    }
}

fn watched(watch: &Watch, options: &Options) -> RuleStatus {
    let (rule, status) = (&watch.rule, watch.status());
    RuleStatus {
        rule_id: rule.id.clone(),
        rule: rule.draft.name.clone(),
        kind: rule.draft.kind,
        window: None,
        eager: watch.is_eager(),
        next_close: None,
        groups: status.groups as u64,
        max_groups: rule.draft.max_groups.unwrap_or(options.max_groups),
        late_events: status.late,
        corrections: 0,
        surplus: None,
        held: status.held as u64,
        evicted: status.evicted,
        dropped: status.dropped,
        silent: status.silent,
    }
}

/// Times before the first event and after the last are none.
fn instant(at: i64) -> Option<Instant> {
    (at > i64::MIN / 4 && at < i64::MAX / 4).then_some(Instant(at))
}
