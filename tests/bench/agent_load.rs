//! A file tailed, filtered, spooled with sync, sent and acknowledged.

use std::time::Instant;

use streamflow_tests::{Agent, AgentConfig, Hub, HubConfig, eventually};

use crate::{
    baseline::Parse,
    generator::{Generator, now_ms},
    report::{Row, count},
    settled::settled,
};

/// From the first line to the last acknowledgement.
pub async fn tail(events: usize, parse: &Parse) -> Vec<Row> {
    let mut hub = Hub::start(&HubConfig::default());
    let mut config = AgentConfig::tail("event");
    config.pipeline += "[[processors]]\nkind = \"filter\"\nmatch = \"data.region != 'eu-0' && data.region != 'eu-1' || severity == 'critical'\"\n";
    config.spool = "max_bytes = \"1GiB\"\n".into();
    let mut agent = Agent::prepare(&config, &hub.quic);
    let output = agent.enroll(&hub.quic, &hub.enrolment_token("10m"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = Generator::new(4, now_ms()).lines(events);
    agent.write_log("load.log", &lines);
    let kept = lines
        .lines()
        .filter(|l| !(l.contains("\"eu-0\"") || l.contains("\"eu-1\"")) || l.contains("\"critical\""))
        .count();
    drop(lines);
    settled(hub.process()).await;
    let hub_cpu = hub.process().cpu();
    let started = Instant::now();
    agent.restart();
    let mut resident: f64 = 0.0;
    eventually("everything is stored", async || {
        resident = resident.max(agent.process().resident() as f64 / 1048576.0);
        hub.metric("streamflow_store_events_total").await >= kept as f64
    })
    .await;
    let took = started.elapsed();
    let cpu = agent.process().cpu();
    let both = cpu + hub.process().cpu() - hub_cpu;
    let per_cpu = events as f64 / cpu.as_secs_f64();
    let pair = events as f64 / both.as_secs_f64();
    vec![
        Row {
            what: "agent: tail → parse → filter → synced spool → acknowledged, events per CPU-second of the agent",
            ours: format!(
                "{} ({} events/s)",
                count(per_cpu),
                count(events as f64 / took.as_secs_f64())
            ),
            baseline: format!(
                "serde_json borrowed parse alone {}; Fluent Bit on such a machine 255 k, without disk or acknowledgement",
                count(parse.events_per_cpu_second)
            ),
            ratio: Some(per_cpu / parse.events_per_cpu_second),
            target: "≥ 300 k, goal 600 k",
        },
        Row {
            what: "agent and hub together, durable at both, events per CPU-second",
            ours: count(pair),
            baseline: "best pair of peers on such a machine 120 k".into(),
            ratio: Some(pair / 120_000.0),
            target: "≥ 250 k, goal 500 k",
        },
        Row {
            what: "agent resident memory, busy (peak)",
            ours: format!("{resident:.1} MiB"),
            baseline: "Fluent Bit 55–63, Vector 76–247".into(),
            ratio: None,
            target: "< 30 MiB",
        },
    ]
}
