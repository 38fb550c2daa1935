//! What an idle agent costs.

use std::time::{Duration, Instant};

use streamflow_tests::{Agent, AgentConfig, Hub, HubConfig};

use crate::report::Row;

/// Host metrics every second, connected.
pub async fn idle(seconds: u64) -> Vec<Row> {
    let hub = Hub::start(&HubConfig::default());
    let mut agent = Agent::start(&AgentConfig::host_metrics(), &hub);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (cpu, started) = (agent.process().cpu(), Instant::now());
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let share = (agent.process().cpu() - cpu).as_secs_f64() / started.elapsed().as_secs_f64() * 100.0;
    let resident = agent.process().resident() as f64 / 1048576.0;
    vec![
        Row {
            what: "agent idle with host metrics at 1 s: resident memory",
            ours: format!("{resident:.1} MiB"),
            baseline: "rsyslog 4, Fluent Bit 10, Vector 38, Netdata 63 MB".into(),
            ratio: None,
            target: "< 15 MiB",
        },
        Row {
            what: "the same: share of one core",
            ours: format!("{share:.2} %"),
            baseline: "Netdata 1.1 %".into(),
            ratio: None,
            target: "< 1 %",
        },
    ]
}
