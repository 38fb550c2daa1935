//! kill -9 of agent and hub under load: nothing acknowledged is lost, nothing is counted twice. The ledger is this process.

use std::time::Duration;

use serde_json::{Value, json};
use streamflow_tests::{Agent, AgentConfig, Api, Hub, HubConfig, eventually};

/// A small generator, so that a run can be repeated from its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}

/// Payload is a function of the number, so that a changed byte shows.
fn payload(n: u64) -> Value {
    json!({"n": n, "check": n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 12, "pad": "x".repeat((n % 300) as usize)})
}

async fn check(api: &Api, kind: &str, expected: u64) {
    eventually(&format!("all {expected} events of {kind} are stored"), async || {
        let (_, stats) = api.get("/api/v1/stats").await;
        stats["data"]["events"].as_u64().is_some_and(|n| n >= expected)
    })
    .await;
    let events = api.all_events(&json!({"types": [kind], "order": "asc"})).await;
    let mut seen = vec![0_u32; usize::try_from(expected).unwrap()];
    for event in &events {
        let n = event["data"]["n"].as_u64().unwrap();
        assert_eq!(event["data"], payload(n), "payload of {n}");
        seen[usize::try_from(n).unwrap()] += 1;
    }
    let lost: Vec<usize> = (0..seen.len()).filter(|n| seen[*n] == 0).take(10).collect();
    let twice: Vec<usize> = (0..seen.len()).filter(|n| seen[*n] > 1).take(10).collect();
    assert!(
        lost.is_empty() && twice.is_empty(),
        "{} events for {expected}; lost {lost:?}…, twice {twice:?}…",
        events.len()
    );
}

#[tokio::test]
async fn twenty_kills_of_each_end_lose_and_double_nothing() {
    let seed = std::process::id().into();
    eprintln!("seed {seed}");
    let mut dice = Dice(seed);
    let mut hub = Hub::start(&HubConfig {
        fixed_ports: true,
        ..HubConfig::default()
    });
    let config = AgentConfig {
        spool: "max_bytes = \"64MiB\"\nsegment_bytes = \"2MiB\"\n".into(),
        ..AgentConfig::tail("event")
    };
    let mut agent = Agent::start(&config, &hub);
    let mut written = 0_u64;
    for round in 0..40_u64 {
        let lines = 100 + dice.roll(400);
        let text: String = (written..written + lines)
            .map(|n| format!("{}\n", json!({"type": "ledger", "source": "k", "data": payload(n)})))
            .collect();
        // Cut somewhere, also inside a line: a reader must wait for the rest.
        let mut cut = usize::try_from(dice.roll(text.len() as u64)).unwrap();
        while !text.is_char_boundary(cut) {
            cut -= 1;
        }
        agent.write_log("ledger.log", &text[..cut]);
        tokio::time::sleep(Duration::from_millis(dice.roll(250))).await;
        let target = round % 2 == 0;
        if target {
            agent.kill()
        } else {
            hub.kill()
        }
        agent.write_log("ledger.log", &text[cut..]);
        if target {
            agent.restart()
        } else {
            hub.restart()
        }
        written += lines;
    }
    let api = hub.admin().await;
    check(&api, "ledger", written).await;
    assert!(agent.terminate().success());
}

#[tokio::test]
async fn what_http_acknowledged_survives_kill_9() {
    let mut dice = Dice(std::process::id().into());
    let mut hub = Hub::start(&HubConfig {
        fixed_ports: true,
        ..HubConfig::default()
    });
    let mut acknowledged = Vec::new();
    let mut n = 0_u64;
    for _ in 0..20 {
        let api = hub.admin().await;
        let stop = tokio::time::Instant::now() + Duration::from_millis(50 + dice.roll(200));
        let mut posting = tokio::task::JoinSet::new();
        while tokio::time::Instant::now() < stop {
            for _ in 0..4 {
                let (api, number) = (api.clone(), n);
                n += 1;
                posting.spawn(async move {
                    let body = json!({"type": "http.ledger", "source": "k", "data": payload(number)});
                    let answer = api.request(reqwest::Method::POST, "/events").json(&body).send().await;
                    answer.is_ok_and(|a| a.status() == 202).then_some(number)
                });
            }
            if let Some(Ok(Some(number))) = posting.join_next().await {
                acknowledged.push(number);
            }
        }
        hub.kill();
        while let Some(done) = posting.join_next().await {
            acknowledged.extend(done.ok().flatten());
        }
        hub.restart();
    }
    let api = hub.admin().await;
    let events = api.all_events(&json!({"types": ["http.ledger"]})).await;
    let mut stored: Vec<u64> = events.iter().map(|e| e["data"]["n"].as_u64().unwrap()).collect();
    stored.sort_unstable();
    let total = stored.len();
    stored.dedup();
    assert_eq!(total, stored.len(), "nothing twice");
    assert!(
        acknowledged.len() > 100,
        "only {} acknowledged: the run tested nothing",
        acknowledged.len()
    );
    for number in acknowledged {
        assert!(
            stored.binary_search(&number).is_ok(),
            "{number} was acknowledged and is lost"
        );
    }
}
