//! Metrics that hosts compute: the same numbers as the hub's and as a plain count, over kill -9 of both ends and a bad network.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use streamflow_tests::{
    Agent, AgentConfig, Api, Hub, HubConfig, eventually, eventually_some, hub,
    relay::{Relay, Weather},
};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 3_600_000;
/// What everything is compared by: at each end, over the same events.
const PAIRS: [(&str, &str, f64); 5] = [
    ("count", "count()", 0.0),
    ("sum", "sum(data.ms)", 1e-9),
    ("most", "max(data.ms)", 0.0),
    ("p99", "p99(data.ms)", 0.0),
    ("users", "distinct(user_id)", 0.0),
];
const PARTIALS: &str = "streamflow.partials";

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

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

/// Every third event is one that need not be sent.
fn event(begin: i64, n: u64) -> Value {
    let kind = if n.is_multiple_of(3) { "noise" } else { "ledger" };
    let at = begin + i64::try_from(n * 7919 % 600_000).unwrap();
    json!({"type": kind, "source": format!("s{}", n % 5), "timestamp": at, "user_id": format!("u{}", n % 97),
        "data": {"n": n, "ms": n * 31 % 997}})
}

/// Values by source and minute.
type Plain = BTreeMap<(String, i64), f64>;

async fn series(api: &Api, metric: &str, begin: i64) -> Plain {
    let (from, to) = (begin - HOUR, begin + HOUR);
    let path = format!("/api/v1/metrics/historical?metric={metric}&from={from}&to={to}&step=1m");
    let (status, answer) = api.get(&path).await;
    assert_eq!(status, 200, "{answer}");
    let mut series = Plain::new();
    for one in hub::data(&answer) {
        for point in one["points"].as_array().unwrap() {
            let value = point[1].as_f64().unwrap();
            // Counts are zero where a series has nothing.
            if value != 0.0 {
                let source = one["group"]["source"].as_str().unwrap_or_default().to_owned();
                series.insert((source, point[0].as_i64().unwrap()), value);
            }
        }
    }
    series
}

fn near(a: &Plain, b: &Plain, tolerance: f64) -> bool {
    let close = |(x, y): (&f64, &f64)| (x - y).abs() <= tolerance * x.abs().max(1.0);
    a.len() == b.len() && a.iter().zip(b).all(|((k, x), (l, y))| k == l && close((x, y)))
}

async fn declare(api: &Api, body: Value) {
    let (status, answer) = api.post("/api/v1/metrics", &body).await;
    assert_eq!(status, 201, "{answer}");
}

async fn placed(api: &Api, metric: &str) -> Value {
    let (status, answer) = api.get(&format!("/api/v1/metrics/{metric}")).await;
    assert_eq!(status, 200, "{answer}");
    answer["data"]["placed"].clone()
}

async fn at_edge(api: &Api, metric: &str, agents: u64) {
    eventually(&format!("{agents} agents compute {metric}"), async || {
        placed(api, metric).await["edge_agents"] == agents
    })
    .await;
}

fn lines(begin: i64, numbers: std::ops::Range<u64>) -> String {
    numbers.map(|n| format!("{}\n", event(begin, n))).collect()
}

/// The sum of everything that a metric has counted.
async fn total(api: &Api, metric: &str, begin: i64) -> f64 {
    series(api, metric, begin).await.values().sum()
}

#[tokio::test]
async fn both_ends_count_the_same_over_kills_and_a_bad_network() {
    let seed: u64 = std::process::id().into();
    eprintln!("seed {seed}");
    let mut dice = Dice(seed);
    let mut hub = Hub::start(&HubConfig {
        fixed_ports: true,
        more: "[analytics]\nrollup_interval = \"200ms\"\n".to_owned(),
        ..HubConfig::default()
    });
    let weather = Weather {
        lost: 40,
        doubled: 20,
        swapped: 40,
    };
    let relay = Relay::start(&hub.quic, seed, weather);
    let config = AgentConfig {
        spool: "max_bytes = \"64MiB\"\nsegment_bytes = \"2MiB\"\n".into(),
        ..AgentConfig::tail("event")
    };
    let mut agent = Agent::prepare(&config, &relay.address());
    let enrolled = agent.enroll(&hub.quic, &hub.enrolment_token("10m"));
    assert!(enrolled.status.success(), "{enrolled:?}");
    agent.restart();

    let mut api = hub.admin().await;
    for (name, aggregate, _) in PAIRS {
        for end in ["hub", "edge"] {
            declare(
                &api,
                json!({"name": format!("{name}_{end}"), "match": "type == 'ledger'", "aggregate": aggregate,
                "group_by": ["source"], "placement": end}),
            )
            .await;
        }
    }
    declare(&api, json!({"name": "quiet", "match": "type == 'noise'", "group_by": ["source"], "placement": "edge", "keep_events": false}))
        .await;
    at_edge(&api, "quiet", 1).await;

    let begin = now() - 20 * MINUTE;
    let mut written = 300;
    agent.write_log("ledger.log", &lines(begin, 0..written));
    for round in 0..14_u64 {
        let more = 100 + dice.roll(500);
        let text = lines(begin, written..written + more);
        // Cut somewhere, also inside a line: a reader must wait for the rest.
        let cut = usize::try_from(dice.roll(text.len() as u64)).unwrap();
        agent.write_log("ledger.log", &text[..cut]);
        tokio::time::sleep(Duration::from_millis(dice.roll(400))).await;
        if round % 2 == 0 {
            agent.kill()
        } else {
            hub.kill()
        }
        agent.write_log("ledger.log", &text[cut..]);
        if round % 2 == 0 {
            agent.restart()
        } else {
            hub.restart()
        }
        written += more;
    }
    api = hub.admin().await;
    // The last ones are counted on the host for certain.
    at_edge(&api, "quiet", 1).await;
    agent.write_log("ledger.log", &lines(begin, written..written + 600));
    written += 600;

    let all: Vec<Value> = (0..written).map(|n| event(begin, n)).collect();
    let of = |kind: &str| {
        let kind = kind.to_owned();
        all.iter().filter(move |event| event["type"] == kind.as_str())
    };
    let expected = of("ledger").count() as f64;
    for metric in ["count_hub", "count_edge"] {
        eventually(&format!("{metric} has counted {expected}"), async || {
            total(&api, metric, begin).await >= expected
        })
        .await;
    }
    let noise = of("noise").count() as f64;
    eventually(&format!("quiet has counted {noise}"), async || {
        total(&api, "quiet", begin).await >= noise
    })
    .await;

    // An independent count of the same lines.
    let (mut counts, mut sums, mut quiet) = (Plain::new(), Plain::new(), Plain::new());
    for event in &all {
        let at = event["timestamp"].as_i64().unwrap().div_euclid(MINUTE) * MINUTE;
        let key = (event["source"].as_str().unwrap().to_owned(), at);
        if event["type"] == "ledger" {
            *counts.entry(key.clone()).or_default() += 1.0;
            *sums.entry(key).or_default() += event["data"]["ms"].as_f64().unwrap();
        } else {
            *quiet.entry(key).or_default() += 1.0;
        }
    }
    for end in ["hub", "edge"] {
        let counted = series(&api, &format!("count_{end}"), begin).await;
        assert!(near(&counted, &counts, 0.0), "{end}: {counted:?} for {counts:?}");
        let summed = series(&api, &format!("sum_{end}"), begin).await;
        assert!(near(&summed, &sums, 1e-9), "{end}: {summed:?} for {sums:?}");
    }
    assert_eq!(series(&api, "quiet", begin).await, quiet);
    for (name, _, tolerance) in PAIRS {
        let hub_side = series(&api, &format!("{name}_hub"), begin).await;
        let edge_side = series(&api, &format!("{name}_edge"), begin).await;
        assert!(
            !hub_side.is_empty() && near(&hub_side, &edge_side, tolerance),
            "{name}: {hub_side:?} and {edge_side:?}"
        );
    }

    // Every event that is kept is there once; those that need not be sent were not, and partial windows are no events of anybody.
    let stored = api.all_events(&json!({"order": "asc"})).await;
    let mut numbers: Vec<u64> = stored
        .iter()
        .filter(|event| event["type"] == "ledger")
        .map(|event| event["data"]["n"].as_u64().unwrap())
        .collect();
    numbers.sort_unstable();
    let wanted: Vec<u64> = (0..written).filter(|n| n % 3 != 0).collect();
    assert_eq!(numbers, wanted);
    let sent = stored.iter().filter(|event| event["type"] == "noise").count() as f64;
    assert!(sent <= noise - 200.0, "{sent} of {noise} were sent");
    assert!(stored.iter().all(|event| event["type"] != PARTIALS));
    assert!(!api.all_events(&json!({"types": [PARTIALS]})).await.is_empty());
    let (_, types) = api.get("/api/v1/analytics/event-types?hours=2").await;
    assert!(!types.to_string().contains(PARTIALS), "{types}");

    assert!(relay.lost() > 0, "the network was not bad");
    assert!(hub.metric("streamflow_rollup_partials_total").await > 0.0);
    let text = hub.metrics().await;
    assert!(
        !text.contains(r#"streamflow_rollup_partials_total{result="refused"}"#),
        "{text}"
    );
    assert!(agent.terminate().success());
}

fn status(agent: &Agent) -> Value {
    let output = agent.command(&["status", "--output", "json"]);
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

#[tokio::test]
async fn a_metric_goes_to_the_hosts_when_all_of_them_can() {
    let hub = Hub::start(&HubConfig::default());
    let api = hub.admin().await;
    declare(&api, json!({"name": "all", "group_by": ["source"]})).await;
    assert_eq!(placed(&api, "all").await["at"], "hub");
    assert_eq!(placed(&api, "all").await["reason"], "no agent is connected");

    let first = Agent::start(&AgentConfig::tail("event"), &hub);
    at_edge(&api, "all", 1).await;
    let shown = placed(&api, "all").await;
    assert_eq!(
        (&shown["at"], &shown["agents"][0]["at"]),
        (&json!("edge"), &json!("edge")),
        "{shown}"
    );
    let pushed = status(&first);
    assert_eq!(pushed["metrics"][0]["name"], "all", "{pushed}");
    let (_, listed) = api.get("/api/v1/metrics").await;
    let all = hub::data(&listed)
        .iter()
        .find(|metric| metric["name"] == "all")
        .unwrap()
        .clone();
    assert_eq!(
        (&all["placed"]["at"], &all["placed"]["agents"]),
        (&json!("edge"), &Value::Null)
    );

    // One that takes no metrics: the hub counts for all.
    let mut off = AgentConfig::tail("event");
    off.pipeline += "[edge]\nenabled = false\n";
    let mut second = Agent::start(&off, &hub);
    let shown = eventually_some("the hub counts", async || {
        Some(placed(&api, "all").await).filter(|placed| placed["at"] == "hub")
    })
    .await;
    assert!(
        shown["reason"].as_str().unwrap().contains("does not compute metrics"),
        "{shown}"
    );
    eventually("the first agent is told", async || {
        status(&first)["metrics"].as_array().is_some_and(Vec::is_empty)
    })
    .await;
    let begin = now() - 20 * MINUTE;
    first.write_log("a.log", &lines(begin, 0..300));
    second.write_log("a.log", &lines(begin, 300..500));
    eventually("the hub has counted both", async || {
        total(&api, "all", begin).await >= 500.0
    })
    .await;
    assert!(second.terminate().success());
    at_edge(&api, "all", 1).await;
    first.write_log("a.log", &lines(begin, 500..900));
    eventually("both ends together have counted all", async || {
        total(&api, "all", begin).await >= 900.0
    })
    .await;
    assert_eq!(total(&api, "all", begin).await, 900.0, "nothing twice");
}

#[tokio::test]
async fn what_an_agent_refuses_is_counted_at_the_hub_and_said() {
    let hub = Hub::start(&HubConfig::default());
    let api = hub.admin().await;
    let mut config = AgentConfig::tail("event");
    config.pipeline += "[edge]\nmax_metrics = 1\n";
    let agent = Agent::start(&config, &hub);
    declare(&api, json!({"name": "a", "placement": "edge"})).await;
    at_edge(&api, "a", 1).await;
    declare(
        &api,
        json!({"name": "b", "placement": "edge", "match": "type == 'ledger'"}),
    )
    .await;
    declare(&api, json!({"name": "c", "match": "type == 'noise'"})).await;
    let reason = eventually_some("the hub shows the refusal", async || {
        let placed = placed(&api, "b").await;
        let reason = placed["agents"][0]["reason"].as_str().unwrap_or_default().to_owned();
        reason.contains("it refuses").then_some(reason)
    })
    .await;
    assert!(reason.contains("at most 1 metrics ([edge] max_metrics)"), "{reason}");
    eventually("what may go either way goes to the hub", async || {
        placed(&api, "c").await["at"] == "hub"
    })
    .await;
    let shown = status(&agent);
    let refused = shown["metrics"]
        .as_array()
        .unwrap()
        .iter()
        .find(|metric| metric["name"] == "b");
    assert!(refused.unwrap()["refused"].is_string(), "{shown}");
    let text = String::from_utf8(agent.command(&["status"]).stdout).unwrap();
    assert!(
        text.contains("metric   b: count()") && text.contains("left to the hub"),
        "{text}"
    );

    let begin = now() - 20 * MINUTE;
    agent.write_log("a.log", &lines(begin, 0..600));
    for (metric, count) in [("a", 600.0), ("b", 400.0), ("c", 200.0)] {
        eventually(&format!("{metric} has counted"), async || {
            total(&api, metric, begin).await >= count
        })
        .await;
        assert_eq!(total(&api, metric, begin).await, count, "{metric}");
    }

    // Somebody who passes a log line off as the agent's own count is turned away.
    let forged = json!({"type": PARTIALS, "source": "x", "data": {"series": "a", "state": "AQ"}});
    agent.write_log("a.log", &format!("{forged}\n{}\n", event(begin, 601)));
    eventually("what followed is counted", async || {
        total(&api, "a", begin).await >= 601.0
    })
    .await;
    let shown = status(&agent);
    let error = shown["sources"][0]["last_error"].as_str().unwrap_or_default();
    assert!(error.contains(PARTIALS), "{shown}");

    for (body, reason) in [
        (
            json!({"name": "d", "placement": "edge", "match": "data.a + 1 == data.b"}),
            "on columns alone",
        ),
        (
            json!({"name": "d", "placement": "edge", "aggregate": "topk(3, data.path)"}),
            "topk",
        ),
        (json!({"name": "d", "keep_events": false}), "keep_events"),
    ] {
        let (status, answer) = api.post("/api/v1/metrics", &body).await;
        assert!(
            status == 400 && answer["message"].as_str().unwrap().contains(reason),
            "{answer}"
        );
    }
}
