//! Metrics: declared ones and the ready-made views, against a plain computation over the same events, over kills and after the events are gone.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use streamflow_tests::{Api, Hub, HubConfig, eventually, eventually_some, hub};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 3_600_000;
const DAY: i64 = 86_400_000;
const PHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1";
const DESK: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0";

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

async fn send(api: &Api, events: &[Value]) {
    let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
    let (status, answer) = api.post_raw("/events/batch", "application/x-ndjson", lines).await;
    assert_eq!(status, 202, "{answer}");
    assert_eq!(answer["data"]["accepted"], events.len(), "{answer}");
}

fn number(value: &Value) -> i64 {
    value
        .as_i64()
        .unwrap_or_else(|| panic!("{value} is not a whole number"))
}

/// Events of the last three hours, out of order.
fn traffic(now: i64) -> Vec<Value> {
    (0..6000_i64)
        .map(|n| {
            let at = now - (n * 7919 % (3 * HOUR));
            let mut event = json!({"type": (["web.click", "api.request", "log"][(n % 3) as usize]), "source": format!("web-{}", n % 7 % 5),
                "timestamp": at, "severity": if n % 10 == 0 { "high" } else { "low" }, "data": {"ms": n % 500}});
            if n % 3 != 2 {
                event["data"]["user_agent"] = json!([PHONE, DESK, "curl/8.5.0"][(n % 4 % 3) as usize]);
                event["user_id"] = json!(format!("u{}", n % 40));
            }
            event
        })
        .collect()
}

fn at(event: &Value) -> i64 {
    event["timestamp"].as_i64().unwrap()
}

fn counts<'a>(events: impl Iterator<Item = &'a Value>, field: &str) -> BTreeMap<String, i64> {
    let mut counts = BTreeMap::new();
    for event in events {
        *counts.entry(event[field].as_str().unwrap().to_owned()).or_default() += 1;
    }
    counts
}

fn ranking(counts: BTreeMap<String, i64>) -> Vec<(String, i64)> {
    let mut list: Vec<_> = counts.into_iter().collect();
    list.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    list
}

#[tokio::test]
async fn views_equal_a_plain_computation() {
    let hub = Hub::start(&HubConfig::default());
    let api = hub.admin().await;
    let events = traffic(now() - MINUTE);
    send(&api, &events).await;
    let views = |path: &'static str| {
        let api = api.clone();
        async move {
            let (status, answer) = api.get(path).await;
            assert_eq!(status, 200, "{path}: {answer}");
            hub::data(&answer)
        }
    };
    // A view ends with the present minute, so its range is read off the answer.
    eventually("all events are in the metrics", async || {
        let types = views("/api/v1/analytics/event-types?hours=6").await;
        types.iter().map(|one| number(&one["events"])).sum::<i64>() == 6000
    })
    .await;
    let types = views("/api/v1/analytics/event-types?hours=6").await;
    let types: Vec<(String, i64)> = types
        .iter()
        .map(|one| (one["type"].as_str().unwrap().to_owned(), number(&one["events"])))
        .collect();
    assert_eq!(types, ranking(counts(events.iter(), "type")));
    let sources = views("/api/v1/analytics/top-sources?hours=6&limit=3").await;
    let sources: Vec<(String, i64)> = sources
        .iter()
        .map(|one| (one["source"].as_str().unwrap().to_owned(), number(&one["events"])))
        .collect();
    assert_eq!(sources, ranking(counts(events.iter(), "source"))[..3]);

    let devices = views("/api/v1/analytics/user-distribution?hours=6").await;
    assert_eq!(devices.len(), 3);
    for device in &devices {
        let agent = match device["device"].as_str().unwrap() {
            "mobile" => PHONE,
            "desktop" => DESK,
            "bot" => "curl/8.5.0",
            other => panic!("{other}"),
        };
        let own = || events.iter().filter(|event| event["data"]["user_agent"] == agent);
        let users: BTreeSet<&str> = own().map(|event| event["user_id"].as_str().unwrap()).collect();
        assert_eq!(
            number(&device["events"]),
            i64::try_from(own().count()).unwrap(),
            "{device}"
        );
        assert_eq!(
            number(&device["users"]),
            i64::try_from(users.len()).unwrap(),
            "{device}"
        );
    }

    let mut total = 0;
    for step in views("/api/v1/analytics/event-trends?hours=5&interval_minutes=15").await {
        let start = timestamp(&step["timestamp"]);
        let own = || {
            events
                .iter()
                .filter(|event| (start..start + 15 * MINUTE).contains(&at(event)))
        };
        assert_eq!(start % (15 * MINUTE), 0);
        assert_eq!(step["types"], json!(counts(own(), "type")), "{step}");
        assert_eq!(number(&step["events"]), i64::try_from(own().count()).unwrap());
        total += number(&step["events"]);
    }
    assert_eq!(total, 6000);

    for (size, length) in [("1min", MINUTE), ("5min", 5 * MINUTE), ("1hour", HOUR)] {
        let (status, answer) = api.get(&format!("/api/v1/analytics/windows/{size}?limit=5")).await;
        assert_eq!(status, 200, "{answer}");
        let windows = hub::data(&answer);
        assert_eq!(windows.len(), 5);
        for window in windows {
            let start = timestamp(&window["start"]);
            let own = || {
                events
                    .iter()
                    .filter(|event| (start..start + length).contains(&at(event)))
            };
            let users: BTreeSet<&str> = own().filter_map(|event| event["user_id"].as_str()).collect();
            assert_eq!((start % length, timestamp(&window["end"])), (0, start + length));
            assert_eq!(window["types"], json!(counts(own(), "type")), "{window}");
            assert_eq!(window["severities"], json!(counts(own(), "severity")), "{window}");
            assert_eq!(
                number(&window["users"]),
                i64::try_from(users.len()).unwrap(),
                "{window}"
            );
        }
    }
    for (path, word) in [
        ("/api/v1/analytics/windows/2min", "1min, 5min or 1hour"),
        ("/api/v1/analytics/event-trends?hours=0", "hours"),
        ("/api/v1/analytics/top-sources?limit=0", "limit"),
        (
            "/api/v1/analytics/event-trends?hours=8784&interval_minutes=1",
            "interval_minutes",
        ),
        ("/api/v1/metrics/historical?step=7s", "step"),
        ("/api/v1/metrics/historical?from=tomorrow", "from"),
    ] {
        let (status, answer) = api.get(path).await;
        assert!(
            status == 400 && answer["message"].as_str().unwrap().contains(word),
            "{path}: {answer}"
        );
    }
    assert_eq!(api.get("/api/v1/metrics/historical?metric=nothing").await.0, 404);
}

fn timestamp(text: &Value) -> i64 {
    let text = text.as_str().unwrap();
    // 2026-11-26T11:22:00.000Z
    let part = |range: std::ops::Range<usize>| text[range].parse::<i64>().unwrap();
    let (year, month, day) = (part(0..4), part(5..7), part(8..10));
    let (y, m) = if month <= 2 {
        (year - 1, month + 9)
    } else {
        (year, month - 3)
    };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (m * 306 + 5) / 10 + day - 1 - 719_468;
    days * DAY + part(11..13) * HOUR + part(14..16) * MINUTE + part(17..19) * 1000
}

/// Points of one series by begin of the step.
fn points(answer: &Value, group: &Value) -> BTreeMap<i64, f64> {
    let series = hub::data(answer).into_iter().find(|series| series["group"] == *group);
    let series = series.unwrap_or_else(|| panic!("no series {group} in {answer}"));
    let points = series["points"].as_array().unwrap().iter();
    points
        .map(|point| (point[0].as_i64().unwrap(), point[1].as_f64().unwrap()))
        .collect()
}

#[tokio::test]
async fn declared_metrics_count_every_event_once_over_kills() {
    let mut hub = Hub::start(&HubConfig::default());
    let mut api = hub.admin().await;
    let metrics = [
        json!({"name": "orders", "match": "type == 'shop.order'", "group_by": ["data.country"], "window": "5m"}),
        json!({"name": "revenue", "match": "type == 'shop.order'", "aggregate": "sum(data.cents)", "window": "10s", "placement": "hub"}),
        json!({"name": "slowest order", "match": "type == 'shop.order'", "aggregate": "max(data.ms)", "description": "The slowest"}),
    ];
    for metric in &metrics {
        let (status, answer) = api.post("/api/v1/metrics", metric).await;
        assert_eq!(status, 201, "{answer}");
        for (key, value) in metric.as_object().unwrap() {
            assert_eq!(answer["data"][key], *value, "{answer}");
        }
    }
    let begin = now() - 40 * MINUTE;
    let order = |n: i64| {
        json!({"id": format!("0190c0de-0000-7000-8000-{n:012x}"), "type": "shop.order", "source": "shop", "timestamp": begin + n * 7919 % (20 * MINUTE),
            "data": {"country": (["de", "fr", "it"][(n % 3) as usize]), "cents": n % 1000, "ms": n * 31 % 997}})
    };
    let mut sent = 0;
    for round in 0..4 {
        for _ in 0..10 {
            let events: Vec<Value> = (sent..sent + 100).map(order).collect();
            send(&api, &events).await;
            sent += 100;
        }
        if round < 3 {
            // Some windows were written, some were not.
            hub.kill();
            hub.restart();
            api = hub.admin().await;
        }
    }
    let orders: Vec<Value> = (0..sent).map(order).collect();
    let (from, to) = (begin - HOUR, begin + HOUR);
    eventually("all orders are counted", async || {
        let (_, answer) = api
            .get(&format!(
                "/api/v1/metrics/historical?metric=orders&from={from}&to={to}&step=1h"
            ))
            .await;
        let all = hub::data(&answer);
        let all = all
            .iter()
            .flat_map(|series| series["points"].as_array().unwrap().clone());
        all.map(|point| point[1].as_f64().unwrap()).sum::<f64>() >= sent as f64
    })
    .await;
    for step in [5 * MINUTE, HOUR, DAY] {
        let (_, answer) = api
            .get(&format!(
                "/api/v1/metrics/historical?metric=orders&from={from}&to={to}&step={}s",
                step / 1000
            ))
            .await;
        assert_eq!(answer["step_ms"], step);
        for country in ["de", "fr", "it"] {
            let points = points(&answer, &json!({"data.country": country}));
            for (start, value) in &points {
                let own = orders.iter().filter(|order| order["data"]["country"] == country);
                let own = own.filter(|order| (*start..start + step).contains(&at(order))).count();
                assert_eq!(*value, own as f64, "{country} at {start} in steps of {step}");
            }
            assert_eq!(
                points.len() as i64,
                (to - 1).div_euclid(step) - from.div_euclid(step) + 1,
                "zeros where there is nothing"
            );
        }
    }
    for (name, field) in [("revenue", "cents"), ("slowest%20order", "ms")] {
        let (status, answer) = api
            .get(&format!(
                "/api/v1/metrics/historical?metric={name}&from={from}&to={to}&step=1m"
            ))
            .await;
        assert_eq!(status, 200, "{answer}");
        for (start, value) in points(&answer, &json!({})) {
            let own = orders
                .iter()
                .filter(|order| (start..start + MINUTE).contains(&at(order)));
            let own: Vec<i64> = own.map(|order| order["data"][field].as_i64().unwrap()).collect();
            let wanted = if field == "ms" {
                own.into_iter().max().unwrap()
            } else {
                own.into_iter().sum()
            };
            assert_eq!(value, wanted as f64, "{name} at {start}");
        }
    }

    // What is listed, changed and removed.
    let (_, list) = api.get("/api/v1/metrics").await;
    let names: Vec<Value> = hub::data(&list).iter().map(|metric| metric["name"].clone()).collect();
    assert!(
        names.contains(&json!("events_by_type")) && names.contains(&json!("slowest order")),
        "{names:?}"
    );
    let (_, read) = api.get("/api/v1/metrics/orders").await;
    let mut changed = read["data"].clone();
    changed["description"] = json!("By country");
    let (status, answer) = api.put("/api/v1/metrics/orders", &changed).await;
    assert_eq!(
        (status.as_u16(), &answer["data"]["version"]),
        (200, &json!(2)),
        "{answer}"
    );
    let (status, _) = api.put("/api/v1/metrics/orders", &changed).await;
    assert_eq!(status, 409, "the version is an old one");
    changed["version"] = json!(2);
    changed["match"] = json!("type == 'nothing'");
    assert_eq!(api.put("/api/v1/metrics/orders", &changed).await.0, 200);
    let (_, answer) = api
        .get(&format!(
            "/api/v1/metrics/historical?metric=orders&from={from}&to={to}&step=1h"
        ))
        .await;
    assert_eq!(
        hub::data(&answer),
        Vec::<Value>::new(),
        "it asks something else, so it begins anew"
    );
    assert_eq!(api.delete("/api/v1/metrics/orders").await.0, 204);
    assert_eq!(api.get("/api/v1/metrics/orders").await.0, 404);
}

#[tokio::test]
async fn wrong_metrics_are_refused_with_every_mistake() {
    let hub = Hub::start(&HubConfig::default());
    let api = hub.admin().await;
    let wrong = json!({"name": "m", "match": "type ==", "aggregate": "p99()", "window": "7s", "group_by": ["nope"], "placement": "edge"});
    let (status, answer) = api.post("/api/v1/metrics", &wrong).await;
    assert_eq!(status, 400, "{answer}");
    let errors = answer["details"]["errors"].as_array().unwrap();
    let fields: BTreeSet<&str> = errors.iter().map(|error| error["field"].as_str().unwrap()).collect();
    assert_eq!(fields, BTreeSet::from(["aggregate", "group_by", "match", "window"]));
    let place = errors.iter().find(|error| error["field"] == "match").unwrap();
    assert!(place["line"] == 1 && place["column"].is_number(), "{place}");
    for (body, status) in [
        (json!({"name": "m", "windw": "1m"}), 422),
        (json!({"name": "m", "window": {"size": "5m"}}), 422),
        (json!({"name": "events_by_type"}), 409),
        (json!({"name": "realtime"}), 400),
        (json!({"match": "true"}), 422),
    ] {
        assert_eq!(api.post("/api/v1/metrics", &body).await.0, status, "{body}");
    }
    assert_eq!(api.post("/api/v1/metrics", &json!({"name": "a.b"})).await.0, 201);
    assert_eq!(
        api.post("/api/v1/metrics", &json!({"name": "a b"})).await.0,
        409,
        "the same name for PromQL"
    );
    assert_eq!(
        api.put("/api/v1/metrics/events_by_type", &json!({"name": "events_by_type"}))
            .await
            .0,
        409
    );
    assert_eq!(api.delete("/api/v1/metrics/events_by_type").await.0, 409);
    assert_eq!(
        Api::anonymous(&api.base)
            .post("/api/v1/metrics", &json!({"name": "x"}))
            .await
            .0,
        401
    );
}

#[tokio::test]
async fn rollups_outlive_the_events() {
    let mut hub = Hub::start(&HubConfig {
        more: "[storage]\nretention = \"1s\"\nmerge_age = \"200ms\"\n[analytics]\nmetric_series = 3\n".to_owned(),
        ..HubConfig::default()
    });
    let api = hub.admin().await;
    let begin = now() - 30 * MINUTE;
    let events: Vec<Value> = (0..1000)
        .map(|n| json!({"type": "a", "source": format!("s{}", n % 10), "timestamp": begin + n}))
        .collect();
    send(&api, &events).await;
    eventually("all is merged and counted", async || {
        let (_, stats) = api.get("/api/v1/stats").await;
        let (_, types) = api.get("/api/v1/analytics/event-types").await;
        stats["data"]["inbox_events"] == 0
            && stats["data"]["events"] == 1000
            && hub::data(&types).iter().any(|one| one["events"] == 1000)
    })
    .await;
    // Retention is looked at when the hub starts.
    assert!(hub.terminate().success());
    hub.restart();
    let api = hub.admin().await;
    let sources = eventually_some("the events are gone", async || {
        let (_, stats) = api.get("/api/v1/stats").await;
        let (_, sources) = api.get("/api/v1/analytics/top-sources").await;
        (stats["data"]["events"] == 0).then(|| hub::data(&sources))
    })
    .await;
    // Three series are told apart, the other seven are one; nothing is lost.
    assert_eq!(sources.len(), 4, "{sources:?}");
    assert_eq!(
        (&sources[0]["source"], &sources[0]["events"]),
        (&json!("other"), &json!(700))
    );
    assert_eq!(sources.iter().map(|one| number(&one["events"])).sum::<i64>(), 1000);
}

/// Text between two marks.
fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(begin).unwrap_or_else(|| panic!("no {begin}"));
    rest.split_once(end)
        .unwrap_or_else(|| panic!("no {end} after {begin}"))
        .0
}

#[tokio::test]
async fn the_examples_of_the_guide_work() {
    let guide = std::fs::read_to_string(streamflow_tests::binaries::root().join("docs/metrics.md")).unwrap();
    let hub = Hub::start(&HubConfig::default());
    let api = hub.admin().await;
    let body = between(&guide, "/api/v1/metrics -d '\n", "'\n```").replace("'\"'", "'");
    let (status, answer) = api.post("/api/v1/metrics", &serde_json::from_str(&body).unwrap()).await;
    assert_eq!(status, 201, "{answer}");
    let placed = guide.split("## Where it is computed").nth(1).unwrap();
    let body = between(placed, "/api/v1/metrics -d '\n", "'\ncurl").replace("'\"'", "'");
    let (status, answer) = api.post("/api/v1/metrics", &serde_json::from_str(&body).unwrap()).await;
    assert_eq!(status, 201, "{answer}");
    let (_, answer) = api.get("/api/v1/metrics/debug_lines").await;
    assert_eq!(
        (&answer["data"]["placed"]["at"], &answer["data"]["keep_events"]),
        (&json!("edge"), &json!(false))
    );
    let mut paths = vec![format!(
        "/api/v1/metrics/historical{}",
        between(&guide, "8080/api/v1/metrics/historical", "'")
    )];
    for line in guide.lines().filter(|line| line.starts_with("| `GET /")) {
        paths.push(between(line, "`GET ", "`").replace("{1min,5min,1hour}", "5min"));
    }
    assert_eq!(paths.len(), 6, "{paths:?}");
    for path in paths {
        let (status, answer) = api.get(&path).await;
        assert!(status == 200 && answer["data"].is_array(), "{path}: {answer}");
    }
    for query in guide
        .split("```promql\n")
        .skip(1)
        .flat_map(|block| block.split("```").next().unwrap().lines())
    {
        let coded = reqwest::Url::parse_with_params("http://any/", [("query", query)]).unwrap();
        let path = format!("/prometheus/api/v1/query?{}", coded.query().unwrap());
        let (status, answer) = api.get(&path).await;
        assert_eq!(status, 200, "{query}: {answer}");
    }
}
