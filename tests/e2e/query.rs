//! Reading events back: filters, pages, order, totals, aggregations.

use serde_json::{Value, json};
use streamflow_tests::{Hub, HubConfig, eventually, hub};

const START: i64 = 1_780_000_000_000;

async fn filled() -> (Hub, streamflow_tests::Api) {
    let hub = Hub::start(&HubConfig::default());
    let api = hub.admin().await;
    let lines: String = (0..40_000_i64)
        .map(|n| {
            let event = json!({"type": if n % 4 == 0 { "api.request" } else { "web.click" }, "source": format!("web-{}", n % 3),
                               "timestamp": START + n, "severity": if n % 100 == 0 { "critical" } else { "low" },
                               "data": {"n": n, "ms": (n % 1000) as f64 / 2.0, "path": format!("/item/{}", n % 7)}});
            format!("{event}\n")
        })
        .collect();
    let (status, answer) = api.post_raw("/events/batch", "application/x-ndjson", lines).await;
    assert_eq!(
        (status.as_u16(), &answer["data"]["accepted"]),
        (202, &json!(40_000)),
        "{answer}"
    );
    (hub, api)
}

fn numbers(page: &Value) -> Vec<i64> {
    hub::data(page)
        .iter()
        .map(|e| e["data"]["n"].as_i64().unwrap())
        .collect()
}

#[tokio::test]
async fn pages_are_complete_ordered_and_stable() {
    let (hub, api) = filled().await;
    let (_, first) = api
        .post("/api/v1/events/query", &json!({"limit": 3, "types": ["web.click"]}))
        .await;
    assert_eq!(numbers(&first), [39_999, 39_998, 39_997], "newest first");
    assert_eq!(first["pagination"]["has_next"], true);
    assert!(
        first["took_ms"].is_number() && first["scanned"]["chunks"].is_number(),
        "{first}"
    );

    let query = json!({"order": "asc", "sources": ["web-1"], "from": START + 1000, "to": START + 21_000});
    let mut all: Vec<i64> = api
        .all_events(&query)
        .await
        .iter()
        .map(|e| e["data"]["n"].as_i64().unwrap())
        .collect();
    let wanted: Vec<i64> = (1000..21_000).filter(|n| n % 3 == 1).collect();
    assert_eq!(all, wanted);
    eventually("frames become chunks", async || {
        hub.metric("streamflow_store_chunks").await >= 2.0
    })
    .await;
    all = api
        .all_events(&query)
        .await
        .iter()
        .map(|e| e["data"]["n"].as_i64().unwrap())
        .collect();
    assert_eq!(all, wanted, "merging changes nothing");

    let (_, found) = api
        .post(
            "/api/v1/events/query",
            &json!({"filter": "data.ms > 499.0 && data.path.startsWith('/item/3')", "limit": 1000, "order": "asc"}),
        )
        .await;
    let wanted: Vec<i64> = (0..40_000).filter(|n| n % 1000 == 999 && n % 7 == 3).collect();
    assert_eq!(numbers(&found), wanted);
    let (_, found) = api.get("/api/v1/events?severities=critical&limit=2").await;
    assert_eq!(numbers(&found), [39_900, 39_800]);

    let (status, stats) = api.get("/api/v1/stats").await;
    assert_eq!(
        (status.as_u16(), &stats["data"]["events"]),
        (200, &json!(40_000)),
        "{stats}"
    );
}

#[tokio::test]
async fn wrong_queries_are_refused_with_the_place() {
    let hub = Hub::start(&HubConfig::default());
    let api = hub.admin().await;
    for (query, word) in [
        (json!({"filter": "data.ms >"}), "filter"),
        (json!({"limit": 1_000_000}), "limit"),
        (json!({"cursor": "nonsense"}), "cursor"),
        (json!({"from": "yesterday"}), "from"),
        (json!({"unknown": 1}), "unknown"),
    ] {
        let (status, error) = api.post("/api/v1/events/query", &query).await;
        assert!(status.is_client_error(), "{query}: {error}");
        assert!(error.to_string().contains(word), "{query}: {error}");
        assert!(
            error["correlation_id"].is_string() && error["timestamp"].is_string(),
            "{error}"
        );
    }
}

#[tokio::test]
async fn aggregations_equal_an_independent_computation() {
    let (_hub, api) = filled().await;
    let from = START - START % 10_000;
    let path = format!(
        "/api/v1/aggregations?aggregate=sum(data.ms)&match=type=='web.click'&group_by=source&from={from}&to={}&step=10s",
        from + 60_000
    );
    let (status, answer) = api.get(&path).await;
    assert_eq!(status, 200, "{answer}");
    for series in hub::data(&answer) {
        let source = series["group"]["source"].as_str().unwrap();
        for point in series["points"].as_array().unwrap() {
            let start = point[0].as_i64().unwrap();
            let wanted: f64 = (0..40_000_i64)
                .filter(|n| {
                    n % 4 != 0 && format!("web-{}", n % 3) == source && (start..start + 10_000).contains(&(START + n))
                })
                .map(|n| (n % 1000) as f64 / 2.0)
                .sum();
            let value = point[1].as_f64().unwrap_or(0.0);
            assert!(
                (value - wanted).abs() < 1e-6,
                "{source} at {start}: {value} is not {wanted}"
            );
        }
    }
    assert_eq!(hub::data(&answer).len(), 3);
}
