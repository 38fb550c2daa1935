//! The HTTP door: REST, NDJSON, CloudEvents, compression, and what it refuses.

use std::io::Write;

use reqwest::Method;
use serde_json::{Value, json};
use streamflow_tests::{Hub, HubConfig};
use uuid::Uuid;

#[tokio::test]
async fn an_event_comes_back_exactly_as_it_was_sent() {
    let hub = Hub::start(&HubConfig::default());
    let api = hub.admin().await;
    let id = Uuid::now_v7().to_string();
    let body = format!(
        r#"{{"id":"{id}","type":"user.login","source":"auth","timestamp":"2026-03-04T05:06:07.089Z","severity":"high",
            "data":{{"big":123456789012345678901234567890,"u64":18446744073709551615,"one":1,"float":1.0,"deep":{{"a.b":[1,{{"x":null}}],"empty":{{}},"none":[]}},"ünïcode":"日本\u0000"}},
            "metadata":{{"k":"v"}},"correlation_id":"c-1","session_id":"s-1","user_id":"u-1","tags":["a","b"]}}"#
    );
    let (status, answer) = api.post_raw("/events", "application/json", body).await;
    assert_eq!(status, 202, "{answer}");
    assert_eq!(answer["success"], true);
    assert_eq!(answer["data"]["event_id"], id);

    let text = api
        .request(Method::GET, &format!("/events/{id}"))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    for exact in [
        "123456789012345678901234567890",
        "18446744073709551615",
        "\"one\":1,",
        "\"float\":1.0",
        "\"a.b\":[1,{\"x\":null}]",
        "\"empty\":{}",
        "\"none\":[]",
    ] {
        assert!(text.contains(exact), "{exact} is missing in {text}");
    }
    let event: Value = serde_json::from_str(&text).unwrap();
    let event = &event["data"];
    assert_eq!(event["data"]["ünïcode"], "日本\u{0}");
    assert_eq!(event["timestamp"], "2026-03-04T05:06:07.089Z");
    assert_eq!(
        (&event["severity"], &event["user_id"], &event["tags"]),
        (&json!("high"), &json!("u-1"), &json!(["a", "b"]))
    );

    let (status, missing) = api.get(&format!("/events/{}", Uuid::now_v7())).await;
    assert_eq!((status.as_u16(), &missing["error"]), (404, &json!("NotFound")));
}

#[tokio::test]
async fn a_batch_keeps_the_good_and_names_the_bad() {
    let hub = Hub::start(&HubConfig::default());
    let api = hub.admin().await;
    let batch = json!([
        {"type": "ok", "source": "s"},
        {"source": "s"},
        {"type": "ok", "source": "s", "severity": "urgent"},
        {"type": "ok", "source": "s", "timestamp": 1_700_000_000_000_i64},
        {"type": "ok", "source": "s", "data": "text"},
        17
    ]);
    let (status, answer) = api.post("/events/batch", &batch).await;
    assert_eq!(status, 202, "{answer}");
    let data = &answer["data"];
    assert_eq!(data["accepted"], 2, "{answer}");
    assert_eq!(data["event_ids"].as_array().unwrap().len(), 2);
    let rejected: Vec<(u64, &str)> = data["rejected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| (r["index"].as_u64().unwrap(), r["field"].as_str().unwrap()))
        .collect();
    assert_eq!(rejected.iter().map(|r| r.0).collect::<Vec<_>>(), [1, 2, 4, 5]);
    assert_eq!(
        (rejected[0].1, rejected[1].1, rejected[2].1),
        ("type", "severity", "data")
    );
    assert!(
        data["rejected"][1]["reason"].as_str().unwrap().contains("critical"),
        "allowed values are named: {answer}"
    );
    assert_eq!(api.all_events(&json!({"types": ["ok"]})).await.len(), 2);
}

#[tokio::test]
async fn ndjson_compressed_and_cloudevents_are_accepted() {
    let hub = Hub::start(&HubConfig::default());
    let api = hub.admin().await;
    let lines: String = (0..500)
        .map(|n| format!("{}\n", json!({"type": "line", "source": "nd", "data": {"n": n}})))
        .collect();
    let (status, answer) = api
        .post_raw("/events/batch", "application/x-ndjson", lines.clone())
        .await;
    assert_eq!(
        (status.as_u16(), &answer["data"]["accepted"]),
        (202, &json!(500)),
        "{answer}"
    );

    let zstd = zstd::encode_all(lines.as_bytes(), 1).unwrap();
    let request = api
        .request(Method::POST, "/events/batch")
        .header("content-type", "application/x-ndjson")
        .header("content-encoding", "zstd");
    let (status, answer) = api.send(request.body(zstd)).await;
    assert_eq!(
        (status.as_u16(), &answer["data"]["accepted"]),
        (202, &json!(500)),
        "{answer}"
    );

    let cloud = json!({"specversion": "1.0", "id": "order-1", "type": "com.example.order", "source": "/shop", "time": "2026-01-01T00:00:00Z", "data": {"total": 12.5}});
    let (status, answer) = api
        .post_raw("/events", "application/cloudevents+json", cloud.to_string())
        .await;
    assert_eq!(status, 202, "{answer}");
    let binary = api
        .request(Method::POST, "/events")
        .header("content-type", "application/json")
        .header("ce-specversion", "1.0")
        .header("ce-id", "order-2")
        .header("ce-type", "com.example.order")
        .header("ce-source", "/shop");
    let (status, answer) = api.send(binary.body(json!({"total": 3}).to_string())).await;
    assert_eq!(status, 202, "{answer}");
    let orders = api
        .all_events(&json!({"types": ["com.example.order"], "order": "asc"}))
        .await;
    assert_eq!(orders.len(), 2);
    assert_eq!(
        (&orders[0]["data"]["total"], &orders[0]["source"]),
        (&json!(12.5), &json!("/shop"))
    );
}

#[tokio::test]
async fn the_same_id_twice_is_one_event_also_over_a_restart() {
    let mut hub = Hub::start(&HubConfig {
        fixed_ports: true,
        ..HubConfig::default()
    });
    let api = hub.admin().await;
    let event = json!({"id": Uuid::now_v7(), "type": "once", "source": "s"});
    for _ in 0..2 {
        let (status, answer) = api.post("/events", &event).await;
        assert_eq!(status, 202, "{answer}");
        assert_eq!(answer["data"]["event_id"], event["id"]);
    }
    hub.kill();
    hub.restart();
    let api = hub.admin().await;
    let (status, _) = api.post("/events", &event).await;
    assert_eq!(status, 202);
    assert_eq!(api.all_events(&json!({"types": ["once"]})).await.len(), 1);

    // An event that is refused leaves its id to another of the same request; the last of two `id` keys counts.
    let [id, other] = [Uuid::now_v7(), Uuid::now_v7()];
    let refused = json!({"id": id, "type": "", "source": "s"});
    let batch = json!([refused, {"id": id, "type": "good", "source": "s"}]);
    let (status, answer) = api.post("/events/batch", &batch).await;
    assert_eq!(
        (status.as_u16(), &answer["data"]["event_ids"]),
        (202, &json!([id])),
        "{answer}"
    );
    assert_eq!(answer["data"]["rejected"][0]["index"], 0, "{answer}");
    assert_eq!(api.all_events(&json!({"types": ["good"]})).await.len(), 1);
    let twice = format!(r#"{{"id":"x","type":"keys","source":"s","id":"{other}"}}"#);
    for _ in 0..2 {
        let (status, answer) = api.post_raw("/events", "application/json", twice.clone()).await;
        assert_eq!(status, 202, "{answer}");
    }
    assert_eq!(api.all_events(&json!({"types": ["keys"]})).await.len(), 1);
}

#[tokio::test]
async fn bodies_that_are_too_large_or_malformed_are_refused_in_words() {
    let mut hub = Hub::start(&HubConfig::default());
    let api = hub.admin().await;
    let (status, error) = api
        .post_raw("/events", "application/json", "{\"type\": \"x\",\n \"source\": }")
        .await;
    assert_eq!(
        (status.as_u16(), &error["error"]),
        (400, &json!("ValidationError")),
        "{error}"
    );
    assert!(error["message"].as_str().unwrap().contains("line 2"), "{error}");

    let (status, error) = api.post_raw("/events", "text/plain", "hello").await;
    assert_eq!(status, 415, "{error}");

    let (status, error) = api
        .post_raw("/events/batch", "application/x-ndjson", vec![b'x'; 11 << 20])
        .await;
    assert_eq!(status, 413, "{error}");

    // A bomb: a few kilobytes that inflate to a gigabyte.
    let mut bomb = zstd::Encoder::new(Vec::new(), 3).unwrap();
    let zeros = vec![b' '; 1 << 20];
    for _ in 0..1024 {
        bomb.write_all(&zeros).unwrap();
    }
    let bomb = bomb.finish().unwrap();
    assert!(bomb.len() < 1 << 20);
    let before = hub.process().resident();
    let request = api
        .request(Method::POST, "/events/batch")
        .header("content-type", "application/x-ndjson")
        .header("content-encoding", "zstd");
    let (status, error) = api.send(request.body(bomb)).await;
    assert_eq!(status, 413, "{error}");
    let after = hub.process().resident();
    assert!(after < before + (64 << 20), "memory grew from {before} to {after}");

    let (status, error) = api
        .post(
            "/events",
            &json!({"type": "big", "source": "s", "data": {"x": "y".repeat(70_000)}}),
        )
        .await;
    assert_eq!(
        (status.as_u16(), &error["error"]),
        (400, &json!("ValidationError")),
        "{error}"
    );
    assert_eq!(error["details"]["field"], "data", "{error}");
}
