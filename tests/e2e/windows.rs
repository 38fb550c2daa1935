//! Windows in event time: sliding ones, sessions, corrections by late events, and what agents' silence does to them.

use serde_json::{Value, json};
use streamflow_proto::event::time::parse_rfc3339;
use streamflow_tests::{Agent, AgentConfig, Api, Hub, HubConfig, eventually, eventually_some, hub, hub::sum};

/// A hub whose windows are moved by events alone.
async fn patient_hub() -> (Hub, Api) {
    let hub = Hub::start(&HubConfig {
        more: "[analytics]\nidle_timeout = \"10m\"".to_owned(),
        ..HubConfig::default()
    });
    let api = hub.admin().await;
    (hub, api)
}

async fn save(api: &Api, rule: Value) -> String {
    let (status, answer) = api.post("/api/v1/rules", &rule).await;
    assert_eq!(status, 201, "{answer}");
    answer["data"]["id"].as_str().unwrap().to_owned()
}

/// A minute's begin in the recent past, ms since 1970.
fn begin() -> i64 {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_millis();
    i64::try_from(now).unwrap().div_euclid(60_000) * 60_000 - 60_000
}

/// A time in an answer, ms since 1970.
fn ms(time: &Value) -> i64 {
    let text = time.as_str().unwrap_or_default();
    parse_rfc3339(text).unwrap_or_else(|| panic!("{time} is no time"))
}

async fn send(api: &Api, events: &[Value]) {
    let (status, answer) = api.post("/events/batch", &json!(events)).await;
    assert_eq!(status, 202, "{answer}");
}

async fn alerts_of(api: &Api, rule: &str) -> Vec<Value> {
    let (_, alerts) = api.get("/api/v1/alerts").await;
    let mut mine = hub::data(&alerts);
    mine.retain(|alert| alert["rule_name"] == rule);
    mine
}

async fn alert_of(api: &Api, rule: &str) -> Value {
    eventually_some(&format!("{rule} fires"), async || {
        alerts_of(api, rule).await.first().cloned()
    })
    .await
}

#[tokio::test]
async fn sliding_windows_see_what_tumbling_ones_cut_in_two() {
    let (_hub, api) = patient_hub().await;
    for (name, window) in [
        ("tumbling", json!("10s")),
        ("sliding", json!({"size": "10s", "slide": "5s"})),
    ] {
        save(
            &api,
            json!({"name": name, "match": "type == 'step'", "window": window, "group_by": ["source"], "threshold": 3}),
        )
        .await;
    }
    let begin = begin();
    let events: Vec<Value> = [8000, 8500, 11_000, 12_000]
        .map(|at| json!({"type": "step", "source": "s", "timestamp": begin + at}))
        .into();
    send(&api, &events).await;
    let alert = alert_of(&api, "sliding").await;
    assert_eq!(
        (&alert["value"], &alert["labels"]["source"]),
        (&json!(4.0), &json!("s"))
    );
    let data = &alert["data"];
    assert_eq!(
        (ms(&data["window_start"]), ms(&data["window_end"])),
        (begin + 5000, begin + 15_000),
        "{alert}"
    );
    assert_eq!(data["running"], true, "{alert}");
    assert!(alerts_of(&api, "tumbling").await.is_empty());
}

#[tokio::test]
async fn sessions_are_told_apart_by_key_and_by_gap() {
    let (_hub, api) = patient_hub().await;
    save(
        &api,
        json!({"name": "long visit", "match": "type == 'click'", "window": {"session_gap": "10s", "by": ["session_id"]},
               "condition": "value >= threshold", "threshold": 3, "evaluate": "on_close"}),
    )
    .await;
    let begin = begin();
    let click = |session: &str, at: i64| json!({"type": "click", "source": "web", "session_id": session, "timestamp": begin + at});
    // One visit of three clicks, of which the middle one comes last, and two visits of two clicks.
    send(
        &api,
        &[
            click("one", 0),
            click("two", 0),
            click("one", 11_000),
            click("two", 1000),
        ],
    )
    .await;
    send(&api, &[click("one", 5000), click("two", 11_500), click("two", 11_600)]).await;
    send(
        &api,
        &[json!({"type": "other", "source": "web", "timestamp": begin + 40_000})],
    )
    .await;
    let alert = alert_of(&api, "long visit").await;
    assert_eq!(
        (&alert["labels"]["session_id"], &alert["value"]),
        (&json!("one"), &json!(3.0))
    );
    let timeline = alert["timeline"].to_string();
    assert!(timeline.contains("firing"), "{timeline}");
    let message = alert["message"].as_str().unwrap();
    let window = message.split_once("Window: ").unwrap().1.trim_end_matches('.');
    let (from, to) = window.split_once(" to ").unwrap();
    assert_eq!((ms(&json!(from)), ms(&json!(to))), (begin, begin + 21_000), "{message}");
    assert_eq!(
        alerts_of(&api, "long visit").await.len(),
        1,
        "the other visits were too short"
    );
}

#[tokio::test]
async fn a_late_event_corrects_a_result_or_is_counted() {
    let (hub, api) = patient_hub().await;
    let rule = |name: &str, lateness: &str| {
        json!({"name": name, "match": "type == 'slow'", "window": "10s", "group_by": ["source"], "condition": "value >= threshold",
               "threshold": 3, "evaluate": "on_close", "allowed_lateness": lateness})
    };
    let forgiving = save(&api, rule("forgiving", "1h")).await;
    let strict = save(&api, rule("strict", "0s")).await;
    let begin = begin();
    let slow = |at: i64| json!({"type": "slow", "source": "cart", "timestamp": begin + at});
    send(&api, &[slow(1000), slow(2000)]).await;
    send(
        &api,
        &[json!({"type": "other", "source": "cart", "timestamp": begin + 40_000})],
    )
    .await;
    let status = async |rule: &str| api.get(&format!("/api/v1/rules/{rule}/status")).await.1["data"].clone();
    send(&api, &[slow(3000)]).await;
    let alert = alert_of(&api, "forgiving").await;
    assert_eq!(
        (&alert["value"], &alert["data"]["revision"]),
        (&json!(3.0), &json!(1)),
        "{alert}"
    );
    assert!(alerts_of(&api, "strict").await.is_empty());
    eventually("the late event is counted for the strict rule", async || {
        status(&strict).await["late_events"] == 1
    })
    .await;
    let lenient = status(&forgiving).await;
    assert_eq!(
        (&lenient["late_events"], &lenient["corrections"]),
        (&json!(0), &json!(1)),
        "{lenient}"
    );
    let (_, all) = api.get("/api/v1/analytics/status").await;
    assert_eq!(
        all["data"]["late"],
        json!([{"agent": "@http", "source": "cart", "events": 1}]),
        "{all}"
    );
    let metrics = hub.metrics().await;
    assert!(
        metrics.contains("streamflow_analytics_late_events_total{agent=\"@http\",source=\"cart\"} 1"),
        "{metrics}"
    );
    assert!(sum(&metrics, "streamflow_analytics_corrections_total") >= 1.0);
}

#[tokio::test]
async fn an_attribute_that_explodes_is_named_and_the_total_stays_exact() {
    let (hub, api) = patient_hub().await;
    let rule = save(
        &api,
        json!({"name": "by visitor", "match": "type == 'hit'", "window": "1m", "group_by": ["source", "user_id"], "max_groups": 5,
               "condition": "value >= threshold", "threshold": 90}),
    )
    .await;
    let begin = begin();
    let hits: Vec<Value> = (0..100)
        .map(|n| json!({"type": "hit", "source": "web", "user_id": format!("u{n}"), "timestamp": begin}))
        .collect();
    send(&api, &hits).await;
    let alert = alert_of(&api, "by visitor").await;
    assert_eq!(
        (&alert["labels"]["user_id"], &alert["value"]),
        (&json!("other"), &json!(95.0))
    );
    let surplus = eventually_some("the rule's status names it", async || {
        let (_, status) = api.get(&format!("/api/v1/rules/{rule}/status")).await;
        status["data"]["surplus"].as_object().cloned()
    })
    .await;
    assert_eq!(surplus["attribute"], "user_id");
    let metrics = hub.metrics().await;
    let named = "streamflow_analytics_surplus_groups_total{attribute=\"user_id\",rule=\"by visitor\"} 95";
    assert!(metrics.contains(named), "{metrics}");
}

#[tokio::test]
async fn the_most_frequent_values_are_counted_with_their_error() {
    let (_hub, api) = patient_hub().await;
    save(
        &api,
        json!({"name": "one path takes over", "match": "type == 'req'", "aggregate": "topk(2, data.path)", "window": "10s",
               "condition": "value > threshold", "threshold": 5}),
    )
    .await;
    let begin = begin();
    let request = |path: &str| json!({"type": "req", "source": "web", "timestamp": begin, "data": {"path": path}});
    let mut events: Vec<Value> = (0..7).map(|_| request("/a")).collect();
    events.extend((0..3).map(|_| request("/b")));
    events.push(request("/c"));
    send(&api, &events).await;
    send(
        &api,
        &[json!({"type": "other", "source": "web", "timestamp": begin + 40_000})],
    )
    .await;
    let alert = alert_of(&api, "one path takes over").await;
    let top = json!([{"value": "/a", "count": 7, "error": 0}, {"value": "/b", "count": 3, "error": 0}]);
    assert_eq!((&alert["value"], &alert["data"]["top"]), (&json!(7.0), &top));
    let query = format!(
        "/api/v1/aggregations?aggregate=topk(2,%20data.path)&match=type%20==%20%27req%27&from={begin}&to={}&step=10s",
        begin + 10_000
    );
    let (status, answer) = api.get(&query).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["data"][0]["top"], json!([[begin, top]]), "{answer}");
}

#[tokio::test]
async fn a_quiet_agent_is_complete_while_it_is_heard_and_silence_makes_an_alert_stale() {
    let hub = Hub::start(&HubConfig {
        more: "[analytics]\nidle_timeout = \"8s\"".to_owned(),
        fixed_ports: true,
        ..HubConfig::default()
    });
    let api = hub.admin().await;
    save(
        &api,
        json!({"name": "beating", "match": "type == 'beat'", "window": "2s", "group_by": ["source"], "condition": "value > threshold",
               "threshold": 0, "evaluate": "on_close"}),
    )
    .await;
    let mut agent = Agent::start(&AgentConfig::tail("event"), &hub);
    agent.write_log(
        "quiet.log",
        &format!("{}\n", json!({"type": "once", "source": "quiet"})),
    );
    eventually("the quiet agent has said all that it has", async || {
        api.all_events(&json!({"types": ["once"]})).await.len() == 1
    })
    .await;
    let (_, agents) = api.get("/api/v1/agents").await;
    let id = agents["data"][0]["id"].as_str().unwrap().to_owned();
    let beat = async || send(&api, &[json!({"type": "beat", "source": "pump"})]).await;
    let alert = async || alerts_of(&api, "beating").await.first().cloned();
    let since = eventually_some(
        "a window is complete without the quiet agent sending anything",
        async || {
            beat().await;
            let alert = alert().await?;
            let complete = &alert["completeness"];
            let passed = complete["passed"].as_array()?.contains(&json!(id));
            (complete["complete"] == true && passed).then(|| alert["data"]["window_end"].clone())
        },
    )
    .await;
    eventually("so is a later one, long after the agent's only event", async || {
        beat().await;
        alert().await.is_some_and(|alert| {
            alert["completeness"]["complete"] == true && ms(&alert["data"]["window_end"]) - ms(&since) > 12_000
        })
    })
    .await;
    let (_, agents) = api.get("/api/v1/agents").await;
    let skew = agents["data"][0]["clock_skew_ms"].as_i64().unwrap();
    assert!(skew.abs() < 30_000, "one machine has one clock: {skew}");
    assert!(
        hub.metrics()
            .await
            .contains(&format!("streamflow_agent_clock_skew_seconds{{agent=\"{id}\"}}"))
    );

    agent.kill();
    eventually("the agent is missed, and known to be silent", async || {
        beat().await;
        alert()
            .await
            .is_some_and(|alert| alert["completeness"]["silent"] == json!([id]) && alert["state"] == "firing")
    })
    .await;
    eventually(
        "nothing beats any more, but that may be because the agent is not heard",
        async || {
            send(&api, &[json!({"type": "other", "source": "pump"})]).await;
            alert().await.is_some_and(|alert| alert["state"] == "stale")
        },
    )
    .await;
    let (_, status) = api.get("/api/v1/analytics/status").await;
    let progress = &status["data"]["agents"][0];
    assert_eq!(
        (&progress["agent"], &progress["standing"]),
        (&json!(id), &json!("silent")),
        "{status}"
    );

    agent.restart();
    eventually("it is heard again, and now the silence counts", async || {
        send(&api, &[json!({"type": "other", "source": "pump"})]).await;
        alert().await.is_some_and(|alert| alert["state"] == "resolved")
    })
    .await;
}

#[tokio::test]
async fn bad_windows_are_refused_with_field_reason_and_range() {
    let (_hub, api) = patient_hub().await;
    for (change, field, reason) in [
        (json!({"window": "0s"}), "window", "between 1s and 7d"),
        (json!({"window": "-5m"}), "window", "length of time"),
        (json!({"window": -5}), "window", "negative"),
        (json!({"window": "99999d"}), "window", "between 1s and 7d"),
        (
            json!({"window": {"size": "5m", "slide": "2m"}}),
            "window.slide",
            "must divide",
        ),
        (
            json!({"window": {"size": "5m", "slide": "6m"}}),
            "window.slide",
            "at most the size",
        ),
        (json!({"window": {"size": "5m", "step": "1m"}}), "window", "step"),
        (
            json!({"window": {"session_gap": "0s"}}),
            "window.session_gap",
            "between 1s and 7d",
        ),
        (
            json!({"allowed_lateness": "30d"}),
            "allowed_lateness",
            "between 0s and 1d",
        ),
        (json!({"max_groups": 0}), "max_groups", "between 1 and"),
        (json!({"aggregate": "topk(0, data.x)"}), "aggregate", "1 to 100"),
    ] {
        let mut rule = json!({"name": "wrong", "threshold": 1});
        rule.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        let (status, error) = api.post("/api/v1/rules", &rule).await;
        let text = error.to_string();
        assert!(status == 400 || status == 422, "{change}: {status} {text}");
        assert!(text.contains(field) && text.contains(reason), "{change}: {text}");
    }
}
