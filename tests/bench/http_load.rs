//! NDJSON over HTTP into a durable hub.

use std::time::Instant;

use streamflow_tests::{Hub, HubConfig};

use crate::{
    baseline::Parse,
    generator::{Generator, now_ms},
    report::{Row, count},
    settled::settled,
};

/// Events of one request: 1.8 MB of JSON.
const PER_REQUEST: usize = 5000;

/// Requests under way at a time: enough that the hub never waits for the sender.
const IN_FLIGHT: usize = 4;

/// A steady load, long enough that merging keeps pace with it inside the measured time.
pub async fn ndjson(events: usize, parse: &Parse) -> Vec<Row> {
    let mut hub = Hub::start(&HubConfig::default());
    let api = hub.admin().await;
    let mut generator = Generator::new(3, now_ms());
    let bodies: Vec<String> = (0..events / PER_REQUEST)
        .map(|_| generator.lines(PER_REQUEST))
        .collect();
    settled(hub.process()).await;
    let cpu = hub.process().cpu();
    let started = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for body in bodies {
        if running.len() == IN_FLIGHT {
            running.join_next().await;
        }
        let api = api.clone();
        running.spawn(async move {
            let status = api.push_raw("/events/batch", "application/x-ndjson", body).await;
            assert_eq!(status, 202);
        });
    }
    while running.join_next().await.is_some() {}
    let took = started.elapsed();
    let cpu = hub.process().cpu() - cpu;
    let per_core = events as f64 / cpu.as_secs_f64();
    vec![Row {
        what: "HTTP NDJSON → durable, events/s per core used",
        ours: format!(
            "{} ({} events/s)",
            count(per_core),
            count(events as f64 / took.as_secs_f64())
        ),
        baseline: format!("serde_json borrowed parse alone {}", count(parse.events_per_cpu_second)),
        ratio: Some(per_core / parse.events_per_cpu_second),
        target: "≥ 0.5, goal 0.8",
    }]
}
