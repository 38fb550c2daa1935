//! Patterns, absences and anomalies, from events at the door to the alert.

use serde_json::{Value, json};
use streamflow_tests::{Agent, AgentConfig, Api, Hub, HubConfig, eventually, eventually_some, hub};

/// A hub whose watermark follows the clock soon after the last event.
fn quick() -> Hub {
    Hub::start(&HubConfig {
        fixed_ports: true,
        more: "[analytics]\nidle_timeout = \"2s\"\nout_of_orderness = \"1s\"\n".to_owned(),
        ..HubConfig::default()
    })
}

async fn make(api: &Api, rule: &Value) -> String {
    let (status, body) = api.post("/api/v1/rules", rule).await;
    assert_eq!(status, 201, "{body}");
    body["data"]["id"].as_str().unwrap().to_owned()
}

/// Sends events and answers their ids.
async fn send(api: &Api, events: Vec<Value>) -> Vec<String> {
    let (status, answer) = api.post("/events/batch", &events.into()).await;
    assert_eq!(status, 202, "{answer}");
    let ids = answer["data"]["event_ids"].as_array().unwrap();
    ids.iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}

async fn alerts_of(api: &Api, rule: &str) -> Vec<Value> {
    let (_, answer) = api.get("/api/v1/alerts?limit=500").await;
    let all = hub::data(&answer).into_iter();
    all.filter(|alert| alert["rule_id"] == rule).collect()
}

/// Waits for the alert of a rule about this label.
async fn alert(api: &Api, rule: &str, label: (&str, &str), state: &str) -> Value {
    eventually_some(&format!("{label:?} is {state}"), async || {
        let alerts = alerts_of(api, rule).await;
        let mine = |alert: &Value| alert["labels"][label.0] == label.1 && alert["state"] == state;
        alerts.into_iter().find(mine)
    })
    .await
}

fn login(user: &str, kind: &str) -> Value {
    json!({"type": kind, "source": "auth", "user_id": user})
}

#[tokio::test]
async fn a_brute_force_is_told_once_for_each_user_even_over_a_crash() {
    let mut hub = quick();
    let api = hub.admin().await;
    let rule = json!({"name": "brute force", "kind": "pattern", "group_by": ["user_id"], "pattern": {"within": "10m", "steps": [
        {"name": "failure", "match": "type == 'user.login_failed'", "count": 3}, {"name": "success", "match": "type == 'user.login'"}]}});
    let id = make(&api, &rule).await;
    let failed = |user| login(user, "user.login_failed");
    let mut sent = send(
        &api,
        vec![
            failed("eve"),
            failed("bob"),
            failed("eve"),
            login("ann", "user.login"),
            failed("eve"),
        ],
    )
    .await;
    hub.kill();
    hub.restart();
    let api = hub.admin().await;
    sent.extend(
        send(
            &api,
            vec![login("eve", "user.login"), login("bob", "user.login"), failed("ann")],
        )
        .await,
    );
    let alert = alert(&api, &id, ("user_id", "eve"), "firing").await;
    let steps = alert["data"]["steps"].as_array().unwrap();
    let named: Vec<&str> = steps
        .iter()
        .flat_map(|step| step["events"].as_array().unwrap())
        .map(|event| event["id"].as_str().unwrap())
        .collect();
    assert_eq!(named, [&sent[0], &sent[2], &sent[4], &sent[5]], "{alert}");
    assert_eq!(steps[0]["name"], "failure");
    assert!(steps[0]["events"][0]["timestamp"].is_string(), "{alert}");
    assert!(
        alert["title"]
            .as_str()
            .unwrap()
            .contains("3 × failure, then success within 10m for user_id=eve"),
        "{alert}"
    );
    // Another crash tells nobody again, and the others did nothing of the kind.
    hub.kill();
    hub.restart();
    let api = hub.admin().await;
    let again = send(
        &api,
        vec![failed("cat"), failed("cat"), failed("cat"), login("cat", "user.login")],
    )
    .await;
    assert_eq!(again.len(), 4);
    eventually("the next one is told", async || alerts_of(&api, &id).await.len() == 2).await;
    let users: Vec<Value> = alerts_of(&api, &id)
        .await
        .iter()
        .map(|alert| alert["labels"]["user_id"].clone())
        .collect();
    assert!(
        users.contains(&json!("eve")) && users.contains(&json!("cat")),
        "{users:?}"
    );
}

#[tokio::test]
async fn a_repetition_out_of_order_is_found() {
    let hub = quick();
    let api = hub.admin().await;
    let rule = json!({"name": "burst", "kind": "pattern", "group_by": ["source"], "pattern": {"within": "2s", "steps": [
        {"name": "error", "match": "type == 'error'", "count": 5}]}});
    let id = make(&api, &rule).await;
    let now = now();
    let at = |source: &str, ms: i64| json!({"type": "error", "source": source, "timestamp": now + ms});
    // The same five, shuffled and close, or too far apart.
    let near: Vec<Value> = [800, 100, 500, 300, 0].map(|ms| at("near", ms)).into();
    let far: Vec<Value> = [0, 700, 1400, 2100, 2800].map(|ms| at("far", ms)).into();
    send(&api, [near, far].concat()).await;
    alert(&api, &id, ("source", "near"), "firing").await;
    // It ends by itself when nothing of the kind comes again.
    let over = alert(&api, &id, ("source", "near"), "resolved").await;
    assert!(
        over["timeline"].to_string().contains("no further match for 2s"),
        "{over}"
    );
    assert_eq!(alerts_of(&api, &id).await.len(), 1);
}

#[tokio::test]
async fn what_does_not_follow_fires_when_its_time_is_over() {
    let hub = quick();
    let api = hub.admin().await;
    let rule = json!({"name": "unpaid", "kind": "pattern", "group_by": ["data.order"], "pattern": {"within": "3s", "steps": [
        {"name": "order", "match": "type == 'order'"}, {"name": "payment", "match": "type == 'payment'", "not": true}]}});
    let id = make(&api, &rule).await;
    let of = |kind: &str, order: &str| json!({"type": kind, "source": "shop", "data": {"order": order}});
    send(&api, vec![of("order", "paid"), of("order", "open")]).await;
    send(&api, vec![of("payment", "paid")]).await;
    let open = alert(&api, &id, ("data.order", "open"), "firing").await;
    assert!(
        open["title"]
            .as_str()
            .unwrap()
            .contains("order, then no payment within 3s"),
        "{open}"
    );
    assert_eq!(alerts_of(&api, &id).await.len(), 1, "the other one was paid");
}

#[tokio::test]
async fn a_silent_source_is_absent_and_a_cut_agent_is_not() {
    let hub = quick();
    let api = hub.admin().await;
    let rule = json!({"name": "beat", "kind": "absence", "match": "type == 'beat'", "group_by": ["source"], "absence": {"silent_for": "12s"}});
    let id = make(&api, &rule).await;
    let agents = ["quiet", "cut"].map(|source| {
        let agent = Agent::start(&AgentConfig::tail("event"), &hub);
        agent.write_log("beat.log", &format!("{}\n", json!({"type": "beat", "source": source})));
        (source, agent)
    });
    for (source, _) in &agents {
        eventually(&format!("{source} is heard"), async || {
            let query = json!({"from": 0, "sources": [source]});
            !api.all_events(&query).await.is_empty()
        })
        .await;
    }
    let [(_, _quiet), (_, mut cut)] = agents;
    cut.kill();
    let absent = alert(&api, &id, ("source", "quiet"), "firing").await;
    assert!(absent["title"].as_str().unwrap().contains("silent for 12s"), "{absent}");
    // The other is as silent, but nobody knows.
    let silent = eventually_some("the cut one is unknown", async || {
        let (_, state) = api.get(&format!("/api/v1/rules/{id}/status")).await;
        let silent = state["data"]["silent"].as_array()?.clone();
        silent.into_iter().find(|group| group["labels"]["source"] == "cut")
    })
    .await;
    assert_eq!(silent["presence"], "unknown", "{silent}");
    assert_eq!(alerts_of(&api, &id).await.len(), 1);
    // It comes back with what it has to say: an event, and nothing was absent.
    cut.restart();
    cut.write_log("beat.log", &format!("{}\n", json!({"type": "beat", "source": "cut"})));
    eventually("the cut one is heard again", async || {
        let (_, state) = api.get(&format!("/api/v1/rules/{id}/status")).await;
        let silent = state["data"]["silent"].as_array().cloned().unwrap_or_default();
        silent.iter().all(|group| group["labels"]["source"] != "cut")
    })
    .await;
}

#[tokio::test]
async fn a_spike_after_learning_is_an_anomaly_and_the_band_can_be_drawn() {
    let hub = quick();
    let api = hub.admin().await;
    let rule = json!({"name": "odd", "kind": "anomaly", "match": "type == 'hit'", "window": "1s", "group_by": ["source"],
        "anomaly": {"history": 30, "learning": "12s", "direction": "above"}});
    let id = make(&api, &rule).await;
    // A minute of event time at once: windows close as the watermark passes them, whatever the clock says.
    let start = now() / 1000 * 1000 + 5_000;
    let mut events = Vec::new();
    for second in 0..40 {
        let hits = if second == 35 { 80 } else { 4 + second % 3 };
        events
            .extend((0..hits).map(|n| json!({"type": "hit", "source": "web", "timestamp": start + second * 1000 + n})));
        let others = 4 + second % 2;
        events.extend(
            (0..others).map(|n| json!({"type": "hit", "source": "calm", "timestamp": start + second * 1000 + n})),
        );
    }
    send(&api, events).await;
    let odd = alert(&api, &id, ("source", "web"), "resolved").await;
    let what: Vec<&str> = odd["timeline"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|line| line["what"].as_str())
        .collect();
    assert!(what.contains(&"firing"), "{odd}");
    assert!(odd["title"].as_str().unwrap().starts_with("odd: 80 is above"), "{odd}");
    assert_eq!(alerts_of(&api, &id).await.len(), 1, "the calm one is normal");

    let labels = "%7B%22source%22%3A%22web%22%7D";
    let path = format!(
        "/api/v1/rules/{id}/band?from={start}&to={}&labels={labels}",
        start + 40_000
    );
    let (status, band) = api.get(&path).await;
    assert_eq!(status, 200, "{band}");
    let points = band["data"]["points"].as_array().unwrap();
    assert_eq!(points.len(), 40, "{band}");
    let odd: Vec<&Value> = points.iter().filter(|point| point["anomalous"] == true).collect();
    assert_eq!(odd.len(), 1, "{band}");
    assert_eq!(
        (odd[0]["t"].as_i64(), odd[0]["value"].as_f64()),
        (Some(start + 35_000), Some(80.0))
    );
    let (lower, expected, upper) = (&odd[0]["lower"], &odd[0]["expected"], &odd[0]["upper"]);
    assert!(
        lower.as_f64() < expected.as_f64() && expected.as_f64() < upper.as_f64() && upper.as_f64() < Some(80.0),
        "{}",
        odd[0]
    );
    assert!(points[0]["lower"].is_null(), "it learns first: {}", points[0]);
    let (status, error) = api.get(&format!("/api/v1/rules/{id}/band")).await;
    assert_eq!(status, 422, "{error}");
    assert!(
        error["message"].as_str().unwrap().contains("source"),
        "a group must be named: {error}"
    );
}

#[tokio::test]
async fn the_guides_rules_are_accepted_and_mistakes_are_named() {
    let hub = quick();
    let api = hub.admin().await;
    let guide = std::fs::read_to_string(streamflow_tests::binaries::root().join("docs/analytics.md")).unwrap();
    let blocks = guide
        .split("```json\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next());
    let rules = blocks
        .filter_map(|block| serde_json::from_str::<Value>(block).ok())
        .filter(|rule| rule.get("kind").is_some());
    let mut kinds = Vec::new();
    for rule in rules {
        make(&api, &rule).await;
        kinds.push(rule["kind"].as_str().unwrap().to_owned());
    }
    for kind in ["pattern", "absence", "anomaly"] {
        assert!(kinds.iter().any(|shown| shown == kind), "{kinds:?}");
    }
    let wrong = json!({"name": "x", "kind": "pattern", "threshold": 3, "pattern": {"within": "0s", "steps": [
        {"name": "a", "match": "type == ", "not": true}, {"name": "a", "match": "true", "count": 5000}]}});
    let (status, error) = api.post("/api/v1/rules", &wrong).await;
    assert_eq!(status, 400, "{error}");
    let errors = error["details"]["errors"].as_array().unwrap();
    for field in [
        "threshold",
        "pattern.within",
        "pattern.steps[0].not",
        "pattern.steps[0].match",
        "pattern.steps[1].name",
        "pattern.steps[1].count",
    ] {
        let named = errors.iter().find(|error| error["field"] == field);
        assert!(
            named.is_some_and(|error| error["reason"].is_string()),
            "{field}: {error}"
        );
    }
    let place = errors
        .iter()
        .find(|error| error["field"] == "pattern.steps[0].match")
        .unwrap();
    assert!(place["line"] == 1 && place["column"].is_number(), "{place}");
}

fn now() -> i64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    i64::try_from(since.as_millis()).unwrap()
}
