//! The routes of silences, routing, escalation and Alertmanager's API; every answer is checked against the OpenAPI document.

use serde_json::{Value, json};
use streamflow_model::Role;

use super::tests::Hub;

/// In 2100, ms.
const FAR: i64 = 4_102_444_800_000;

async fn made(hub: &Hub, uri: &str, body: Value) -> Value {
    let (status, answer) = hub.edit("POST", uri, body).await;
    assert_eq!(status, 201, "{uri}: {answer}");
    answer["data"].clone()
}

#[tokio::test]
async fn a_silence_is_made_listed_changed_and_ended() {
    let (hub, rule) = Hub::with_rule().await;
    hub.fire(&rule, 0, 60.0).await;
    let matchers = json!([{"name": "source", "op": "=~", "value": "web-.*"}]);
    let preview = hub
        .edit("POST", "/api/v1/silences/preview", json!({"matchers": matchers}))
        .await;
    assert_eq!(preview.1["data"][0]["level"], "critical", "{preview:?}");
    let body = json!({"matchers": matchers, "ends_at": FAR, "comment": "upgrade"});
    let one = made(&hub, "/api/v1/silences", body.clone()).await;
    assert_eq!(
        (&one["state"], &one["created_by"], &one["alerts"][0]["id"]),
        (&json!("active"), &json!("eva"), &preview.1["data"][0]["id"])
    );
    let uri = format!("/api/v1/silences/{}", one["id"].as_str().unwrap());
    let longer = json!({"matchers": matchers, "ends_at": FAR + 1000, "comment": "longer"});
    let (status, changed) = hub.edit("PUT", &uri, longer).await;
    assert_eq!((status, &changed["data"]["id"]), (200, &one["id"]), "the same silence");
    let other = json!({"matchers": [{"name": "source", "value": "db-1"}], "ends_at": FAR});
    let (_, replaced) = hub.edit("PUT", &uri, other).await;
    assert_ne!(
        replaced["data"]["id"], one["id"],
        "what it silenced in the past stays as it was"
    );
    assert_eq!(hub.get(&uri).await["data"]["state"], "expired");
    let list = hub.get("/api/v1/silences?limit=1").await;
    assert_eq!(
        (&list["data"][0]["id"], &list["pagination"]["has_next"]),
        (&replaced["data"]["id"], &json!(true))
    );
    assert_eq!(hub.edit("DELETE", &uri, Value::Null).await.0, 204);
    assert_eq!(hub.edit("DELETE", "/api/v1/silences/x", Value::Null).await.0, 404);
    assert_eq!(hub.ask(Role::Viewer, "POST", "/api/v1/silences", body).await.0, 403);
}

#[tokio::test]
async fn windows_policies_and_schedules_are_made_read_changed_and_removed() {
    let (hub, _) = Hub::with_rule().await;
    let window = json!({"name": "nightly", "hours": {"spans": [{"from": "22:00", "to": "02:00"}]}});
    let schedule = json!({"name": "primary", "people": [{"name": "eva", "channels": ["ops"]}],
        "rotations": [{"people": ["eva"], "starts_on": "2026-01-05"}]});
    let policy = json!({"name": "page", "steps": [{"after": "5m", "channels": ["oncall:primary"]}], "repeat": 3});
    for (list, body, wrong) in [
        (
            "/api/v1/maintenance",
            window,
            json!({"hours": {"time_zone": "Mars", "spans": []}}),
        ),
        ("/api/v1/oncall/schedules", schedule, json!({"people": []})),
        (
            "/api/v1/escalations",
            policy,
            json!({"steps": [{"after": "1m", "channels": ["nobody"]}]}),
        ),
    ] {
        made(&hub, list, body.clone()).await;
        assert_eq!(
            hub.edit("POST", list, body.clone()).await.0,
            409,
            "{list}: the name is taken"
        );
        let uri = format!("{list}/{}", body["name"].as_str().unwrap());
        assert_eq!(hub.get(list).await["data"].as_array().unwrap().len(), 1);
        assert_eq!(hub.edit("PUT", &uri, body.clone()).await.0, 200);
        assert_eq!(
            hub.edit("PUT", &format!("{list}/x"), body.clone()).await.0,
            400,
            "no other name"
        );
        let mut broken = body.clone();
        broken
            .as_object_mut()
            .unwrap()
            .extend(wrong.as_object().unwrap().clone());
        let (status, error) = hub.edit("PUT", &uri, broken).await;
        assert!(
            status == 400 && error["details"]["errors"].is_array(),
            "{list}: {error}"
        );
        assert_eq!(hub.ask(Role::Viewer, "DELETE", &uri, Value::Null).await.0, 403);
    }
    let on_call = hub.get("/api/v1/oncall?at=2026-01-06T00:00:00Z").await;
    assert_eq!(on_call["data"][0]["person"], "eva", "{on_call}");
    assert_eq!(
        hub.ask(Role::Viewer, "GET", "/api/v1/oncall?at=soon", Value::Null)
            .await
            .0,
        400
    );
    assert_eq!(hub.get("/api/v1/escalations/page").await["data"]["repeat"], 3);
    for (uri, status) in [
        ("/api/v1/oncall/schedules/primary", 409),
        ("/api/v1/escalations/page", 204),
        ("/api/v1/oncall/schedules/primary", 204),
        ("/api/v1/maintenance/nightly", 204),
        ("/api/v1/maintenance/nightly", 404),
    ] {
        assert_eq!(hub.edit("DELETE", uri, Value::Null).await.0, status, "{uri}");
    }
}

#[tokio::test]
async fn the_routing_has_a_version_and_survives_a_restart() {
    let (hub, _) = Hub::with_rule().await;
    let rule = json!({"name": "routed", "threshold": 50, "group_by": ["source"]});
    let rule = made(&hub, "/api/v1/rules", rule).await;
    assert_eq!(hub.get("/api/v1/routing").await["data"]["version"], 0);
    let draft = json!({"route": {"channels": ["ops"], "group_wait": "1h"}});
    let (status, first) = hub.edit("PUT", "/api/v1/routing", draft.clone()).await;
    assert_eq!((status, &first["data"]["version"]), (200, &json!(1)));
    let mut read = hub.get("/api/v1/routing").await["data"].clone();
    read["route"]["group_interval"] = json!("2m");
    assert_eq!(
        hub.edit("PUT", "/api/v1/routing", read.clone()).await.0,
        200,
        "what was read can be edited and written back"
    );
    assert_eq!(
        hub.edit("PUT", "/api/v1/routing", read).await.0,
        409,
        "but not over another's change"
    );
    let question = json!({"labels": {"alertname": "x", "source": "a"}, "level": "error"});
    let (_, ways) = hub.edit("POST", "/api/v1/routing/test", question.clone()).await;
    assert_eq!(
        (&ways["data"][0]["tells"], &ways["data"][0]["group"]),
        (&json!(["ops"]), &json!({"alertname": "x"}))
    );
    let mut trial = question;
    trial["routing"] = json!({"route": {"channels": ["nobody"]}});
    assert_eq!(hub.edit("POST", "/api/v1/routing/test", trial).await.0, 400);
    hub.fire(rule["id"].as_str().unwrap(), 0, 60.0).await;
    let group = hub.get("/api/v1/routing/groups").await["data"][0].clone();
    assert_eq!(group["alerts"].as_array().unwrap().len(), 1, "{group}");
    let hub = hub.restart().await;
    assert_eq!(hub.get("/api/v1/routing").await["data"]["version"], 2);
    assert_eq!(hub.get("/api/v1/routing/groups").await["data"][0], group);
}

#[tokio::test]
async fn alertmanagers_api_takes_alerts_and_silences() {
    let (hub, _) = Hub::with_rule().await;
    let alerts =
        json!([{"labels": {"alertname": "Down", "instance": "a"}, "endsAt": FAR, "generatorURL": "http://p/g"}]);
    assert_eq!(
        hub.ask(Role::Viewer, "POST", "/api/v2/alerts", alerts.clone()).await.0,
        403
    );
    assert_eq!(hub.ask(Role::Ingest, "POST", "/api/v2/alerts", alerts).await.0, 200);
    let list = hub.get("/api/v2/alerts?filter=alertname%3D%22Down%22").await;
    assert_eq!(
        (
            &list[0]["status"]["state"],
            &list[0]["generatorURL"],
            &list[0]["labels"]["instance"]
        ),
        (&json!("active"), &json!("http://p/g"), &json!("a")),
        "{list}"
    );
    assert_eq!(hub.get("/api/v2/alerts?filter=alertname%3D%22Up%22").await, json!([]));
    let silence = json!({"matchers": [{"name": "instance", "value": "a", "isRegex": false, "isEqual": true}],
        "startsAt": 0, "endsAt": FAR, "createdBy": "max", "comment": "c"});
    let (status, made) = hub.edit("POST", "/api/v2/silences", silence).await;
    assert_eq!(status, 200, "{made}");
    let id = made["silenceID"].as_str().unwrap();
    let list = hub.get("/api/v2/alerts").await;
    assert_eq!(
        (&list[0]["status"]["state"], &list[0]["status"]["silencedBy"]),
        (&json!("suppressed"), &json!([id]))
    );
    assert_eq!(hub.get("/api/v2/alerts?silenced=false").await, json!([]));
    let uri = format!("/api/v2/silence/{id}");
    assert_eq!(
        (
            hub.get(&uri).await["createdBy"].clone(),
            hub.get("/api/v2/silences").await[0]["id"].clone()
        ),
        (json!("max (eva)"), json!(id))
    );
    assert_eq!(hub.edit("DELETE", &uri, Value::Null).await.0, 200);
    assert_eq!(hub.get(&uri).await["status"]["state"], "expired");
    assert_eq!(hub.get("/api/v2/status").await["cluster"]["status"], "disabled");
    assert_eq!(hub.get("/api/v2/receivers").await, json!([{"name": "ops"}]));
}
