//! Health, readiness, metrics, correlation ids, error format.

use serde_json::json;
use streamflow_tests::{Api, Hub, HubConfig};

#[tokio::test]
async fn health_ready_and_metrics_answer_without_a_token() {
    let hub = Hub::start(&HubConfig::default());
    let api = Api::anonymous(&format!("http://{}", hub.http));
    assert_eq!(api.get("/health").await.0, 200);
    assert_eq!(api.get("/ready").await.0, 200);
    let admin = hub.admin().await;
    assert_eq!(admin.post("/events", &json!({"type": "t", "source": "s"})).await.0, 202);
    let metrics = hub.metrics().await;
    for name in [
        "streamflow_events_total",
        "streamflow_event_duration_seconds",
        "streamflow_queue_depth",
        "streamflow_alerts_fired_total",
        "streamflow_http_requests_total",
        "streamflow_http_request_duration_seconds",
        "streamflow_active_connections",
        "streamflow_plugin_",
        "streamflow_agent_",
    ] {
        assert!(metrics.contains(name), "{name} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn correlation_ids_are_echoed_and_logged() {
    let mut hub = Hub::start(&HubConfig::default());
    let api = hub.admin().await;
    let request = api
        .request(reqwest::Method::GET, "/api/v1/rules/none")
        .header("x-correlation-id", "trace-me-42");
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["x-correlation-id"], "trace-me-42");
    let body: serde_json::Value = response.json().await.unwrap();
    assert_eq!(
        (&body["error"], &body["correlation_id"]),
        (&json!("NotFound"), &json!("trace-me-42")),
        "{body}"
    );
    assert!(hub.process().log().contains("trace-me-42"), "the id stands in the log");
}

#[tokio::test]
async fn unknown_paths_and_methods_answer_in_the_error_format() {
    let hub = Hub::start(&HubConfig::default());
    let api = hub.admin().await;
    let (status, error) = api.get("/api/v1/nothing").await;
    assert_eq!((status.as_u16(), &error["error"]), (404, &json!("NotFound")), "{error}");
    let (status, error) = api.delete("/api/v1/stats").await;
    assert_eq!(status, 405, "{error}");
    assert!(error["correlation_id"].is_string(), "{error}");
}
