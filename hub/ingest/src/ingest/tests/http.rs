//! The HTTP door.

use std::io::Write as _;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::Request,
};
use serde_json::{Value, json};
use streamflow_model::Role;
use tower::ServiceExt as _;

use super::{Hub, until};
use crate::Options;

const JSON: (&str, &str) = ("content-type", "application/json");
const LINES: (&str, &str) = ("content-type", "application/x-ndjson");

/// Status and JSON of an answer.
pub async fn call(
    router: Router,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> (u16, Value) {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router.oneshot(request.body(body.into()).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

async fn post(hub: &Hub, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> (u16, Value) {
    call(hub.as_role(Role::Ingest), "POST", path, headers, body).await
}

fn event(n: u64) -> Value {
    json!({"type": "web.click", "source": "shop", "data": {"n": n}})
}

#[tokio::test]
async fn one_event_is_readable_right_after_its_202() {
    let hub = Hub::start().await;
    let sent = json!({"type": "web.click", "source": "shop", "severity": "high", "data": {"n": 1, "deep": {"a.b": [null, 1.0]}},
        "metadata": {}, "tags": ["x"], "user_id": "u"});
    let (status, body) = post(&hub, "/events", &[JSON], sent.to_string()).await;
    assert_eq!((status, &body["success"]), (202, &json!(true)), "{body}");
    assert!(body["timestamp"].is_string() && body["correlation_id"].is_string() && body["message"].is_string());
    let id = body["data"]["event_id"].as_str().unwrap();
    let (status, found) = call(hub.as_role(Role::Viewer), "GET", &format!("/events/{id}"), &[], "").await;
    assert_eq!((status, &found["success"]), (200, &json!(true)));
    for field in ["type", "source", "severity", "data", "metadata", "tags", "user_id"] {
        assert_eq!(found["data"][field], sent[field], "{field}");
    }
    let missing = call(
        hub.as_role(Role::Viewer),
        "GET",
        "/events/0190d6c4-0000-7000-8000-000000000009",
        &[],
        "",
    )
    .await;
    assert_eq!((missing.0, &missing.1["error"]), (404, &json!("NotFound")));
    assert_eq!(
        call(hub.as_role(Role::Ingest), "GET", &format!("/events/{id}"), &[], "")
            .await
            .0,
        403
    );
    assert_eq!(
        call(
            hub.as_role(Role::Viewer),
            "POST",
            "/events",
            &[JSON],
            event(1).to_string()
        )
        .await
        .0,
        403
    );
    assert_eq!(
        call(hub.router.clone(), "POST", "/events", &[JSON], event(1).to_string())
            .await
            .0,
        401
    );
    hub.stop().await;
}

#[tokio::test]
async fn mistakes_are_named() {
    let hub = Hub::start().await;
    let (status, body) = post(&hub, "/events", &[JSON], "{\"type\": \"a\",\n \"source\": }").await;
    assert_eq!(
        (status, &body["details"]["line"], &body["details"]["column"]),
        (400, &json!(2), &json!(12)),
        "{body}"
    );
    let (status, body) = post(
        &hub,
        "/events",
        &[JSON],
        json!({"type": "a", "source": "s", "severity": "loud"}).to_string(),
    )
    .await;
    assert_eq!(
        (status, &body["error"], &body["details"]["field"]),
        (400, &json!("ValidationError"), &json!("severity")),
        "{body}"
    );
    assert!(body["message"].as_str().unwrap().contains("critical"), "{body}");
    for (path, headers, body, expected) in [
        ("/events", vec![("content-type", "text/xml")], "<a/>".to_owned(), 415),
        ("/events", vec![JSON, ("content-encoding", "br")], "x".to_owned(), 415),
        ("/events", vec![JSON, ("content-encoding", "gzip")], "x".to_owned(), 400),
        ("/events", vec![JSON], "[1]".to_owned(), 400),
        ("/events", vec![JSON], String::new(), 400),
        ("/events/batch", vec![JSON], "[]".to_owned(), 400),
        ("/events/batch", vec![JSON], "{\"event\": []}".to_owned(), 400),
        ("/events/batch", vec![JSON], "[{\"type\":1}]".to_owned(), 400),
        ("/events/batch", vec![JSON], " ".repeat(11 * 1024 * 1024), 413),
        (
            "/events",
            vec![JSON],
            json!({"type": "a", "source": "s", "data": {"x": "y".repeat(70_000)}}).to_string(),
            400,
        ),
    ] {
        let size = body.len();
        let (status, answer) = post(&hub, path, &headers, body).await;
        assert_eq!(status, expected, "{path} {headers:?} {size}: {answer}");
    }
    assert_eq!(hub.count().await, 0);
    hub.stop().await;
}

#[tokio::test]
async fn the_good_events_of_a_batch_are_kept() {
    let hub = Hub::start().await;
    let batch = json!([event(0), {"source": "s"}, event(2), {"type": "t", "source": "s", "timestamp": "soon"}, 5]);
    for body in [batch.to_string(), json!({"events": batch}).to_string()] {
        let (status, body) = post(&hub, "/events/batch", &[JSON], body).await;
        assert_eq!((status, &body["data"]["accepted"]), (202, &json!(2)), "{body}");
        let rejected = body["data"]["rejected"].as_array().unwrap();
        let named: Vec<_> = rejected
            .iter()
            .map(|r| (r["index"].as_u64().unwrap(), r["field"].as_str().unwrap()))
            .collect();
        assert_eq!(named[..2], [(1, "type"), (3, "timestamp")], "{body}");
        assert_eq!(named[2].0, 4);
        assert_eq!(body["data"]["event_ids"].as_array().unwrap().len(), 2);
    }
    let (status, body) = post(
        &hub,
        "/events",
        &[LINES],
        format!("{}\n\nnot json\n{}\r\n", event(1), event(2)),
    )
    .await;
    assert_eq!(
        (status, &body["data"]["accepted"], &body["data"]["rejected"][0]["index"]),
        (202, &json!(2), &json!(1)),
        "{body}"
    );
    assert_eq!(hub.count().await, 6);
    assert_eq!(hub.counted("streamflow_events_total", "http"), 6.0);
    hub.stop().await;
}

#[tokio::test]
async fn large_bodies_come_in_every_encoding_and_bombs_do_not() {
    let hub = Hub::start().await;
    let lines: String = (0..5000).map(|n| format!("{}\n", event(n))).collect();
    let gzip = |bytes: &[u8]| {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    };
    let zstd = zstd::stream::encode_all(lines.as_bytes(), 1).unwrap();
    let mut expected = 0;
    for (encoding, body) in [
        ("identity", lines.clone().into_bytes()),
        ("gzip", gzip(lines.as_bytes())),
        ("zstd", zstd),
    ] {
        let (status, body) = post(&hub, "/events/batch", &[LINES, ("content-encoding", encoding)], body).await;
        assert_eq!(
            (status, &body["data"]["accepted"], &body["data"]["rejected"]),
            (202, &json!(5000), &json!([])),
            "{encoding}"
        );
        expected += 5000;
        assert_eq!(hub.count().await, expected);
    }
    let array = format!(
        "[{}]",
        (0..3000).map(|n| event(n).to_string()).collect::<Vec<_>>().join(",")
    );
    assert_eq!(post(&hub, "/events/batch", &[JSON], array).await.0, 202);
    assert_eq!(hub.count().await, expected + 3000);

    let bomb = vec![b' '; 200 * 1024 * 1024];
    for (encoding, body) in [
        ("gzip", gzip(&bomb)),
        ("zstd", zstd::stream::encode_all(&bomb[..], 1).unwrap()),
    ] {
        let (status, _) = post(&hub, "/events/batch", &[LINES, ("content-encoding", encoding)], body).await;
        assert_eq!(status, 413, "{encoding}");
    }
    hub.stop().await;
}

#[tokio::test]
async fn a_restart_remembers_the_ids_of_as_many_frames_as_it_is_told_to() {
    let mut hub = Hub::start().await;
    let with_id = |n: u128| {
        let mut event = event(1);
        event["id"] = json!(uuid::Uuid::from_u128(n).to_string());
        event.to_string()
    };
    for n in 1..=3 {
        assert_eq!(post(&hub, "/events", &[JSON], with_id(n)).await.0, 202);
        // Ids are read back by the time at which they were stored; the three must differ in it.
        let stored = streamflow_model::Instant::now();
        until("the clock moves on", async || streamflow_model::Instant::now() > stored).await;
    }
    let options = |frames| Options {
        dedup_restore_frames: frames,
        ..Options::default()
    };
    hub = hub.restart_with(options(1)).await;
    for (id, count) in [(3, 3), (2, 4)] {
        assert_eq!(post(&hub, "/events", &[JSON], with_id(id)).await.0, 202);
        assert_eq!(hub.count().await, count, "id {id}");
    }
    hub = hub.restart_with(options(0)).await;
    assert_eq!(post(&hub, "/events", &[JSON], with_id(3)).await.0, 202);
    assert_eq!(hub.count().await, 5);
    hub.stop().await;
}

#[tokio::test]
async fn an_id_is_one_event_however_often_it_is_sent_and_over_a_restart() {
    let hub = Hub::start().await;
    let id = "0190d6c4-0000-7000-8000-000000000001";
    let with_id = json!({"id": id, "type": "t", "source": "s"}).to_string();
    let sends = (0..20).map(|_| post(&hub, "/events", &[JSON], with_id.clone()));
    for (status, body) in futures_util::future::join_all(sends).await {
        assert_eq!((status, &body["data"]["event_id"]), (202, &json!(id)));
    }
    let batch = format!("[{with_id},{with_id},{}]", event(1));
    let (status, body) = post(&hub, "/events/batch", &[JSON], batch).await;
    assert_eq!((status, body["data"]["event_ids"].as_array().unwrap().len()), (202, 3));
    assert_eq!(hub.count().await, 2);

    let hub = hub.restart().await;
    assert_eq!(post(&hub, "/events", &[JSON], with_id.clone()).await.0, 202);
    // in a large batch too, whose frames are made elsewhere
    let fresh = "0190d6c4-0000-7000-8000-000000000002";
    let mut lines: String = (0..3000).map(|n| format!("{}\n", event(n))).collect();
    lines += &format!(
        "{with_id}\n{0}\n{0}\n",
        json!({"id": fresh, "type": "t", "source": "s"})
    );
    let (status, body) = post(&hub, "/events/batch", &[LINES], lines).await;
    let ids = body["data"]["event_ids"].as_array().unwrap();
    assert_eq!((status, ids.len()), (202, 3003));
    assert_eq!(ids[3000..], [json!(id), json!(fresh), json!(fresh)]);
    assert_eq!(hub.count().await, 2 + 3001);
    for id in [ids[0].as_str().unwrap(), ids[2999].as_str().unwrap(), fresh] {
        assert_eq!(
            call(hub.as_role(Role::Viewer), "GET", &format!("/events/{id}"), &[], "")
                .await
                .0,
            200,
            "{id}"
        );
    }
    // a refused event does not reserve its id
    let other = "0190d6c4-0000-7000-8000-000000000003";
    assert_eq!(
        post(&hub, "/events", &[JSON], json!({"id": other, "type": "t"}).to_string())
            .await
            .0,
        400
    );
    assert_eq!(
        post(
            &hub,
            "/events",
            &[JSON],
            json!({"id": other, "type": "t", "source": "s"}).to_string()
        )
        .await
        .0,
        202
    );
    assert_eq!(hub.count().await, 2 + 3002);
    hub.stop().await;
}

#[tokio::test]
async fn requests_at_the_same_time_share_frames() {
    let hub = Hub::start().await;
    let sends = (0..500).map(|n| post(&hub, "/events", &[JSON], event(n).to_string()));
    let answers = futures_util::future::join_all(sends).await;
    assert!(answers.iter().all(|(status, _)| *status == 202));
    let stats = hub.store.stats().await.unwrap();
    assert_eq!(stats.events, 500);
    assert!(stats.position <= 250, "{} frames", stats.position);
    hub.stop().await;
}

#[tokio::test]
async fn cloud_events_come_in_three_forms() {
    let hub = Hub::start().await;
    let cloud = json!({"specversion": "1.0", "id": "42", "type": "t", "source": "/shop", "time": "2026-01-02T03:04:05Z", "subject": "cart", "data": {"n": 1}});
    let structured = [("content-type", "application/cloudevents+json; charset=utf-8")];
    let (status, body) = post(&hub, "/events", &structured, cloud.to_string()).await;
    assert_eq!(status, 202, "{body}");
    let id = body["data"]["event_id"].clone();
    let event = hub.events().await.pop().unwrap();
    assert_eq!((event.source.as_str(), event.timestamp), ("/shop", 1_767_323_045_000));
    assert_eq!(event.metadata.unwrap().get(), r#"{"id":"42","subject":"cart"}"#);

    let binary = [
        JSON,
        ("ce-specversion", "1.0"),
        ("ce-id", "42"),
        ("ce-type", "t"),
        ("ce-source", "/shop"),
    ];
    let (status, body) = post(&hub, "/events", &binary, r#"{"n":1}"#).await;
    assert_eq!(
        (status, &body["data"]["event_id"]),
        (202, &id),
        "the same source and id are the same event"
    );

    let mut second = cloud.clone();
    second["id"] = json!("43");
    let batch = [("content-type", "application/cloudevents-batch+json")];
    let (status, body) = post(&hub, "/events", &batch, json!([cloud, second]).to_string()).await;
    assert_eq!((status, &body["data"]["accepted"]), (202, &json!(2)), "{body}");
    assert_eq!(hub.count().await, 2);
    let (status, body) = post(
        &hub,
        "/events/batch",
        &batch,
        json!([{"specversion": "0.3"}]).to_string(),
    )
    .await;
    assert_eq!((status, &body["details"]["index"]), (400, &json!(0)));
    hub.stop().await;
}

#[tokio::test]
async fn a_stopping_hub_answers_503_and_loses_nothing_it_accepted() {
    let hub = Hub::start().await;
    let router = hub.as_role(Role::Ingest);
    assert_eq!(post(&hub, "/events", &[JSON], event(1).to_string()).await.0, 202);
    hub.token.cancel();
    let accepted = {
        let mut accepted = 1;
        loop {
            let response = router
                .clone()
                .oneshot(
                    Request::post("/events")
                        .header("content-type", "application/json")
                        .body(Body::from(event(2).to_string()))
                        .unwrap(),
                )
                .await
                .unwrap();
            if response.status().as_u16() == 503 {
                assert!(response.headers().contains_key("retry-after"));
                break accepted;
            }
            assert_eq!(response.status().as_u16(), 202);
            accepted += 1;
        }
    };
    drop(router);
    let hub = hub.restart().await;
    assert_eq!(hub.count().await, accepted);
    hub.stop().await;
}

#[tokio::test]
async fn a_full_disk_is_a_503_and_the_same_id_is_stored_later() {
    let hub = Hub::start().await;
    hub.fill(true);
    let id = "0190d6c4-0000-7000-8000-000000000001";
    let with_id = json!({"id": id, "type": "t", "source": "s"}).to_string();
    let large: String = (0..2000).map(|n| format!("{}\n", event(n))).collect::<String>() + &with_id;
    for (path, headers, body) in [("/events", [JSON], &with_id), ("/events/batch", [LINES], &large)] {
        let request = Request::post(path)
            .header(headers[0].0, headers[0].1)
            .body(Body::from(body.clone()))
            .unwrap();
        let response = hub.as_role(Role::Ingest).oneshot(request).await.unwrap();
        assert_eq!(response.status().as_u16(), 503);
        assert!(response.headers().contains_key("retry-after"));
    }
    hub.fill(false);
    for _ in 0..2 {
        assert_eq!(post(&hub, "/events", &[JSON], with_id.clone()).await.0, 202);
        assert_eq!(hub.count().await, 1);
    }
    hub.stop().await;
}

#[tokio::test]
async fn what_was_stored_of_a_refused_batch_is_not_stored_again_with_the_rest() {
    let hub = Hub::start().await;
    let with_id = |n: u64| {
        let id = uuid::Uuid::from_u128(0x0190_d6c4_0000_7000_8000_0000_0000_0000 + u128::from(n));
        json!({"id": id, "type": "t", "source": "s", "data": {"n": n}}).to_string()
    };
    let batch: Vec<String> = (0..2500).map(with_id).collect();
    hub.flaky.unlucky.store(2, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(post(&hub, "/events/batch", &[LINES], batch.join("\n")).await.0, 503);
    for _ in 0..2 {
        let (status, body) = post(&hub, "/events/batch", &[LINES], batch.join("\n")).await;
        assert_eq!((status, &body["data"]["accepted"]), (202, &json!(2500)), "{body}");
        assert_eq!(hub.count().await, 2500);
    }
    hub.stop().await;
}
