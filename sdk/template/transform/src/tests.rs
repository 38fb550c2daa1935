use serde_json::json;
use streamflow_sdk::testing::{Event, TransformTest, event};

use crate::Requests;

fn transform() -> TransformTest<Requests> {
    let config = json!({"slow_ms": 500, "drop_paths": ["/health"]});
    TransformTest::start(include_str!("../plugin.toml"), &config).expect("a transform")
}

fn request(url: &str, ms: f64) -> Event {
    event("request", "web-1").data(json!({"url": url, "ms": ms}))
}

#[test]
fn the_query_goes_and_the_path_is_set() {
    let requests = [
        request("https://shop.example/cart?token=secret", 20.0),
        request("/pay#card", 700.0),
    ];
    let events = transform().apply(&requests).expect("an answer");
    assert_eq!(
        events[0].get("data"),
        Some(&json!({"url": "https://shop.example/cart", "path": "/cart", "ms": 20.0, "slow": false}))
    );
    assert_eq!(
        events[1].get("data"),
        Some(&json!({"url": "/pay", "path": "/pay", "ms": 700.0, "slow": true}))
    );
}

#[test]
fn unwanted_requests_are_dropped_and_other_events_stay_as_they_are() {
    let other = event("deploy", "web-1").data(json!({"url": 7}));
    let requests = [
        request("https://shop.example/health?deep", 1.0),
        other.clone(),
        request("/", 1.0),
    ];
    let events = transform().apply(&requests).expect("an answer");
    assert_eq!(events.len(), 2);
    assert_eq!(events[0], other);
    assert_eq!(events[1].get("data.path"), Some(&json!("/")));
}
