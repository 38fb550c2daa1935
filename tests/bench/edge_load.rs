//! Three metrics over the same lines: counted at the hub from all events, or on the host without sending them.

use std::time::Duration;

use serde_json::{Value, json};
use streamflow_tests::{Agent, AgentConfig, Api, Hub, HubConfig, eventually};

use crate::{
    generator::{Generator, now_ms},
    report::{Row, count},
    settled::settled,
};

/// What one placement costs.
struct Cost {
    agent: Duration,
    hub: Duration,
    resident: f64,
    stored_bytes: f64,
}

/// Both placements, one after the other.
pub async fn placements(events: usize) -> Vec<Row> {
    let hub = run(events, "hub").await;
    let edge = run(events, "edge").await;
    let per_cpu = |cost: Duration| events as f64 / cost.as_secs_f64();
    vec![
        Row {
            what: "metrics on hosts: three metrics, events not kept; events per CPU-second of the agent",
            ours: count(per_cpu(edge.agent)),
            baseline: format!("the same agent when the hub counts {}", count(per_cpu(hub.agent))),
            ratio: Some(per_cpu(edge.agent) / per_cpu(hub.agent)),
            target: "≥ 300 k",
        },
        Row {
            what: "metrics on hosts: events per CPU-second of the hub",
            ours: count(per_cpu(edge.hub)),
            baseline: format!("when the hub counts {}", count(per_cpu(hub.hub))),
            ratio: Some(per_cpu(edge.hub) / per_cpu(hub.hub)),
            target: "more",
        },
        Row {
            what: "metrics on hosts: bytes on the way, an event",
            ours: format!("{:.1}", edge.stored_bytes / events as f64),
            baseline: format!("with all events {:.1}", hub.stored_bytes / events as f64),
            ratio: Some(edge.stored_bytes / hub.stored_bytes),
            target: "less",
        },
        Row {
            what: "metrics on hosts: agent resident memory, busy (peak)",
            ours: format!("{:.1} MiB", edge.resident),
            baseline: format!("when the hub counts {:.1} MiB", hub.resident),
            ratio: Some(edge.resident / hub.resident),
            target: "< 30 MiB",
        },
    ]
}

async fn total(api: &Api, metric: &str, begin: i64) -> f64 {
    let (from, to) = (begin - 3_600_000, begin + 3_600_000);
    let path = format!("/api/v1/metrics/historical?metric={metric}&from={from}&to={to}&step=1h");
    let (_, answer) = api.get(&path).await;
    let series = answer["data"].as_array().cloned().unwrap_or_default();
    series
        .iter()
        .flat_map(|one| one["points"].as_array().cloned().unwrap_or_default())
        .filter_map(|point| point[1].as_f64())
        .sum()
}

async fn run(events: usize, placement: &str) -> Cost {
    let mut hub = Hub::start(&HubConfig::default());
    let mut agent = Agent::start(&AgentConfig::tail("event"), &hub);
    let api = hub.admin().await;
    let edge = placement == "edge";
    for (name, aggregate, group_by) in [
        ("load_count", "count()", "type"),
        ("load_p99", "p99(data.ms)", "source"),
        ("load_bytes", "sum(data.bytes)", "data.region"),
    ] {
        let body = json!({"name": name, "match": "data.status > 0", "aggregate": aggregate, "group_by": [group_by], "placement": placement,
            "keep_events": !edge});
        let (status, answer) = api.post("/api/v1/metrics", &body).await;
        assert_eq!(status, 201, "{answer}");
    }
    eventually("the metrics are where they should be", async || {
        let (_, answer) = api.get("/api/v1/metrics/load_bytes").await;
        !edge || answer["data"]["placed"]["edge_agents"] == 1
    })
    .await;
    let begin = now_ms();
    let lines = Generator::new(4, begin).lines(events);
    settled(hub.process()).await;
    let (agent_cpu, hub_cpu) = (agent.process().cpu(), hub.process().cpu());
    agent.write_log("load.log", &lines);
    drop(lines);
    let mut resident: f64 = 0.0;
    eventually("everything is counted", async || {
        resident = resident.max(agent.process().resident() as f64 / 1_048_576.0);
        total(&api, "load_count", begin).await >= events as f64
    })
    .await;
    let (_, stats): (_, Value) = api.get("/api/v1/agents").await;
    assert_eq!(stats["data"][0]["connected"], true, "{stats}");
    Cost {
        agent: agent.process().cpu() - agent_cpu,
        hub: hub.process().cpu() - hub_cpu,
        resident,
        stored_bytes: hub.metric("streamflow_agent_frame_bytes_total").await,
    }
}
