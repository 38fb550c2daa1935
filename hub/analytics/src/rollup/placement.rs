//! Where each metric is computed: on the hosts where that is sound and they can, else at the hub.

use std::{fmt, sync::Arc};

use serde::Serialize;
use streamflow_model::{EdgeAgent, Metric, Placement};
use streamflow_proto::wire::MetricDefinition;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Most metrics that are pushed.
const MAX_PUSHED: usize = 200;
/// Most bytes of their texts: a message to an agent has at most 64 KiB.
const MAX_BYTES: usize = 48 << 10;

/// The room that talks with agents.
#[derive(Clone)]
pub struct EdgeLink {
    agents: Arc<dyn Fn() -> Vec<EdgeAgent> + Send + Sync>,
    push: Arc<dyn Fn(Vec<MetricDefinition>) + Send + Sync>,
    /// Changes when an agent comes, goes or answers.
    changes: watch::Receiver<u64>,
}

impl EdgeLink {
    /// Agents as they are now, how to have metrics computed by all that can, and what changes with every change of an agent.
    pub fn new(
        agents: impl Fn() -> Vec<EdgeAgent> + Send + Sync + 'static,
        push: impl Fn(Vec<MetricDefinition>) + Send + Sync + 'static,
        changes: watch::Receiver<u64>,
    ) -> Self {
        Self {
            agents: Arc::new(agents),
            push: Arc::new(push),
            changes,
        }
    }

    pub(super) fn agents(&self) -> Vec<EdgeAgent> {
        (self.agents)()
    }
}

impl Default for EdgeLink {
    /// Nobody computes anything elsewhere.
    fn default() -> Self {
        Self::new(Vec::new, drop, watch::channel(0).1)
    }
}

impl fmt::Debug for EdgeLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EdgeLink")
    }
}

/// One of the two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum End {
    /// On the hosts.
    Edge,
    /// At the hub.
    Hub,
}

/// Where a metric is computed, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(crate) struct Placed {
    /// At which end. At the edge, events of agents that do not compute it, and those that come in by HTTP, are counted at the hub.
    pub(crate) at: End,
    /// Why there.
    pub(crate) reason: String,
    /// Agents that compute it now.
    pub(crate) edge_agents: usize,
    /// Agent by agent, when one metric was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) agents: Vec<PlacedAgent>,
}

impl Placed {
    /// Of a metric that is no more.
    pub(super) const fn nowhere() -> Self {
        Self {
            at: End::Hub,
            reason: String::new(),
            edge_agents: 0,
            agents: Vec::new(),
        }
    }
}

/// Where a metric is computed for the events of one agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(crate) struct PlacedAgent {
    /// Id of the agent.
    pub(crate) agent: String,
    /// Its name.
    pub(crate) name: String,
    /// At which end.
    pub(crate) at: End,
    /// Why there.
    pub(crate) reason: String,
}

/// Judges all metrics at once, in their order: what is pushed is bounded, and earlier ones go first. Pure.
pub(super) fn place(metrics: &[Arc<Metric>], agents: &[EdgeAgent]) -> Vec<Placed> {
    let (mut pushed, mut bytes) = (0, 0);
    let mut placed = Vec::with_capacity(metrics.len());
    for metric in metrics {
        let mut verdict = judge(metric, agents);
        if verdict.is_ok() {
            let size = size(metric);
            if pushed == MAX_PUSHED || bytes + size > MAX_BYTES {
                verdict = Err(format!(
                    "agents are told of at most {MAX_PUSHED} metrics with {MAX_BYTES} bytes of text"
                ));
            } else {
                pushed += 1;
                bytes += size;
            }
        }
        placed.push(match verdict {
            Ok(reason) => at_edge(metric, reason, agents),
            Err(reason) => Placed {
                at: End::Hub,
                agents: agents.iter().map(|agent| of(agent, End::Hub, &reason)).collect(),
                reason,
                edge_agents: 0,
            },
        });
    }
    placed
}

/// Why it is computed on the hosts, or why not.
fn judge(metric: &Metric, agents: &[EdgeAgent]) -> Result<String, String> {
    if metric.builtin {
        return Err("it comes with the hub and counts what is stored".to_owned());
    }
    if metric.draft.placement == Placement::Hub {
        return Err("it was declared so".to_owned());
    }
    let compiled = metric.draft.compile().map_err(|_| "it does not compile".to_owned())?;
    if let Some(objection) = compiled.edge_objection() {
        return Err(objection);
    }
    if metric.draft.placement == Placement::Edge {
        return Ok("it was declared so".to_owned());
    }
    let mut connected = 0;
    for agent in agents.iter().filter(|agent| agent.connected) {
        connected += 1;
        if let Some(reason) = unable(metric, agent) {
            return Err(format!("agent {}: {reason}", agent.name));
        }
    }
    match connected {
        0 => Err("no agent is connected".to_owned()),
        1 => Ok("the agent that is connected can".to_owned()),
        _ => Ok(format!("all {connected} agents that are connected can")),
    }
}

fn unable(metric: &Metric, agent: &EdgeAgent) -> Option<String> {
    if !agent.capable {
        return Some(format!(
            "version {} does not compute metrics, or its configuration says not to ([edge] enabled)",
            agent.version
        ));
    }
    let refused = agent.refused.get(&metric.series_id)?;
    Some(format!("it refuses: {refused}"))
}

fn at_edge(metric: &Metric, reason: String, agents: &[EdgeAgent]) -> Placed {
    let agents: Vec<PlacedAgent> = agents
        .iter()
        .map(|agent| {
            if !agent.connected {
                return of(agent, End::Hub, "it is not connected");
            }
            if let Some(reason) = unable(metric, agent) {
                return of(agent, End::Hub, &reason);
            }
            if agent.answered {
                of(agent, End::Edge, "it computes it")
            } else {
                of(agent, End::Hub, "it has not answered yet")
            }
        })
        .collect();
    Placed {
        at: End::Edge,
        reason,
        edge_agents: agents.iter().filter(|agent| agent.at == End::Edge).count(),
        agents,
    }
}

fn of(agent: &EdgeAgent, at: End, reason: &str) -> PlacedAgent {
    PlacedAgent {
        agent: agent.id.clone(),
        name: agent.name.clone(),
        at,
        reason: reason.to_owned(),
    }
}

/// About as many bytes as its definition takes in a message.
fn size(metric: &Metric) -> usize {
    let draft = &metric.draft;
    let keys: usize = draft.group_by.iter().map(|key| key.len() + 4).sum();
    metric.series_id.len() + draft.name.len() + draft.matches.len() + draft.aggregate.len() + keys + 32
}

/// Keeps agents told of the metrics that they are to compute.
#[derive(Debug)]
pub struct Placer {
    pub(super) metrics: watch::Receiver<Arc<Vec<Arc<Metric>>>>,
    pub(super) link: EdgeLink,
}

impl Placer {
    /// Until told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            self.push();
            let changes = &mut self.link.changes;
            tokio::select! {
                () = stop.cancelled() => return,
                Ok(()) = self.metrics.changed() => {}
                Ok(()) = changes.changed() => {}
                else => return,
            }
        }
    }

    fn push(&mut self) {
        self.link.changes.mark_unchanged();
        let metrics = Arc::clone(&self.metrics.borrow_and_update());
        let placed = place(&metrics, &self.link.agents());
        let at_edge = metrics.iter().zip(placed).filter(|(_, placed)| placed.at == End::Edge);
        (self.link.push)(at_edge.map(|(metric, _)| metric.definition()).collect());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use streamflow_model::Instant;

    use super::*;

    fn metric(more: serde_json::Value) -> Arc<Metric> {
        let mut body = json!({"name": "m"});
        for (key, value) in more.as_object().unwrap() {
            body[key] = value.clone();
        }
        let draft: streamflow_model::MetricDraft = serde_json::from_value(body).unwrap();
        Arc::new(Metric {
            id: draft.id(),
            draft,
            builtin: false,
            series_id: "s".to_owned(),
            since: Instant(0),
            version: 1,
            created_at: Instant(0),
            updated_at: Instant(0),
        })
    }

    fn agent(name: &str) -> EdgeAgent {
        EdgeAgent {
            id: name.to_owned(),
            name: name.to_owned(),
            version: "0.1.0".to_owned(),
            connected: true,
            capable: true,
            answered: true,
            ..EdgeAgent::default()
        }
    }

    fn one(metric: Arc<Metric>, agents: &[EdgeAgent]) -> Placed {
        place(&[metric], agents).remove(0)
    }

    #[test]
    fn auto_goes_to_the_hosts_when_all_that_are_connected_can() {
        let auto = || metric(json!({}));
        assert_eq!(one(auto(), &[]).at, End::Hub);
        let placed = one(auto(), &[agent("a"), agent("b")]);
        assert_eq!((placed.at, placed.edge_agents), (End::Edge, 2));

        let old = EdgeAgent {
            capable: false,
            ..agent("old")
        };
        let placed = one(auto(), &[agent("a"), old.clone()]);
        assert_eq!(placed.at, End::Hub);
        assert!(placed.reason.contains("agent old: version 0.1.0"), "{}", placed.reason);
        assert!(placed.agents.iter().all(|agent| agent.at == End::Hub));

        let away = EdgeAgent {
            connected: false,
            ..old
        };
        let placed = one(auto(), &[agent("a"), away]);
        assert_eq!((placed.at, placed.edge_agents), (End::Edge, 1));
        assert_eq!(placed.agents[1].reason, "it is not connected");

        let refused = [("s".to_owned(), "too many".to_owned())].into();
        let placed = one(auto(), &[EdgeAgent { refused, ..agent("a") }]);
        assert!(
            placed.at == End::Hub && placed.reason.contains("too many"),
            "{placed:?}"
        );

        let placed = one(metric(json!({"match": "data.a + 1 == data.b"})), &[agent("a")]);
        assert!(placed.at == End::Hub && placed.reason.contains("columns"), "{placed:?}");
        assert_eq!(one(metric(json!({"placement": "hub"})), &[agent("a")]).at, End::Hub);
    }

    #[test]
    fn edge_means_every_agent_that_can() {
        let edge = || metric(json!({"placement": "edge"}));
        let old = EdgeAgent {
            capable: false,
            ..agent("old")
        };
        let silent = EdgeAgent {
            answered: false,
            ..agent("new")
        };
        let placed = one(edge(), &[agent("a"), old, silent]);
        let ends: Vec<End> = placed.agents.iter().map(|agent| agent.at).collect();
        assert_eq!((placed.at, placed.edge_agents), (End::Edge, 1));
        assert_eq!(ends, [End::Edge, End::Hub, End::Hub]);
    }

    #[test]
    fn what_is_pushed_fits_a_message() {
        let long = format!("type == '{}'", "x".repeat(4000));
        let metrics: Vec<_> = (0..30)
            .map(|_| metric(json!({"placement": "edge", "match": long})))
            .collect();
        let placed = place(&metrics, &[agent("a")]);
        let pushed: Vec<MetricDefinition> = metrics
            .iter()
            .zip(&placed)
            .filter(|(_, placed)| placed.at == End::Edge)
            .map(|(metric, _)| metric.definition())
            .collect();
        assert!(!pushed.is_empty() && pushed.len() < metrics.len());
        let push = streamflow_proto::wire::MetricsPush {
            definitions: pushed,
            ..Default::default()
        };
        streamflow_proto::wire::encode(&streamflow_proto::wire::ToAgent::Metrics(push)).unwrap();
        assert!(placed.last().unwrap().reason.contains("at most"));
    }
}
