//! A new version of a rule's plugin beside the one that runs: compared on live events, then promoted or discarded.

use serde_json::{Value, json};
use streamflow_tests::{Api, Hub, HubConfig, eventually, eventually_some};

use crate::plugins::{built, command, open_alerts, plugin, rule, send};

fn hub() -> Hub {
    Hub::start(&HubConfig {
        plugins: "allow_unsigned = true".to_owned(),
        ..HubConfig::default()
    })
}

fn install(hub: &Hub, file: &str, more: &str) -> String {
    let path = built(file);
    command(hub, &["plugin", "install", path.to_str().unwrap(), more])
}

async fn shadow(api: &Api, name: &str) -> Value {
    let (status, body) = api.get(&format!("/api/v1/plugins/{name}/shadow")).await;
    assert_eq!(status, 200, "{body}");
    body["data"].clone()
}

fn reading(source: &str, value: f64) -> Value {
    json!({"type": "reading", "source": source, "data": {"value": value}})
}

#[tokio::test]
async fn a_new_version_is_compared_on_live_events_and_takes_over_with_the_state() {
    let hub = hub();
    let api = hub.admin().await;
    install(&hub, "testbed/rule-count.wasm", "--approve");
    rule(
        &api,
        json!({"name": "many", "kind": "plugin", "plugin": "testbed-rule-count", "config": {"threshold": 5, "many": 3}}),
    )
    .await;
    let counted = async |least: f64| {
        eventually("the rule has seen the events", async || {
            hub.metric("streamflow_plugin_events_total").await >= least
        })
        .await;
    };
    // Two of three, before there is a shadow: it must know of them.
    send(&api, &[reading("a", 6.0), reading("a", 7.0), reading("b", 1.0)]).await;
    counted(3.0).await;
    let (status, none) = api.get("/api/v1/plugins/testbed-rule-count/shadow").await;
    assert_eq!(status, 409, "{none}");
    let told = install(&hub, "testbed/rule-count2.wasm", "--shadow");
    assert!(told.contains("1.0.0: active, with 2.0.0 in its shadow"), "{told}");
    eventually_some("the shadow follows", async || {
        send(&api, &[reading("c", 1.0)]).await;
        let found = shadow(&api, "testbed-rule-count").await;
        (found["state"] == "running" && found["calls"].as_u64()? > 0).then_some(())
    })
    .await;
    send(&api, &[reading("a", 8.0)]).await;
    let found = eventually_some("both have found the third of three", async || {
        let found = shadow(&api, "testbed-rule-count").await;
        (found["verdicts"]["changed"] == 1).then_some(found)
    })
    .await;
    assert_eq!(found["rules"], json!(["many"]));
    let example = &found["examples"][0];
    assert_eq!(
        (
            &example["kind"],
            &example["rule"],
            &example["active"]["title"],
            &example["shadow"]["title"]
        ),
        (&json!("changed"), &json!("many"), &json!("many"), &json!("very many"))
    );
    for side in ["active", "shadow"] {
        assert!(found[side]["cpu_ns_per_event"].as_u64().unwrap() > 0, "{found}");
    }
    let alert = eventually_some("the version that runs is heard", async || {
        open_alerts(&api, "many").await.first().cloned()
    })
    .await;
    assert!(!alert["title"].as_str().unwrap().contains("very"), "{alert}");
    let inspected = command(&hub, &["plugin", "inspect", "testbed-rule-count"]);
    for words in ["shadow_version = \"2.0.0\"", "1 changed", "shadow firing a: very many"] {
        assert!(inspected.contains(words), "{words}: {inspected}");
    }

    // Two of three, for the version that runs now.
    let seen = hub.metric("streamflow_plugin_events_total").await;
    send(&api, &[reading("b", 6.0), reading("b", 6.0)]).await;
    counted(seen + 2.0).await;
    assert_eq!(open_alerts(&api, "many").await.len(), 1, "the shadow is not heard");
    let promoted = command(&hub, &["plugin", "promote", "testbed-rule-count"]);
    assert!(
        promoted.contains("2.0.0: active") && !promoted.contains("shadow"),
        "{promoted}"
    );
    send(&api, &[reading("b", 6.0)]).await;
    eventually("the new version goes on from the old one's state", async || {
        let alerts = open_alerts(&api, "many").await;
        alerts.iter().any(|alert| {
            alert["labels"]["key"] == "b" && alert["title"].as_str().is_some_and(|title| title.contains("very many"))
        })
    })
    .await;
    assert_eq!(plugin(&api, "testbed-rule-count").await["previous_version"], "1.0.0");
}

#[tokio::test]
async fn a_shadow_that_traps_disturbs_nobody_and_is_discarded() {
    let hub = hub();
    let api = hub.admin().await;
    install(&hub, "testbed/rule-trap2.wasm", "--approve");
    rule(
        &api,
        json!({"name": "seen", "kind": "plugin", "plugin": "testbed-rule-trap"}),
    )
    .await;
    install(&hub, "testbed/rule-trap.wasm", "--shadow");
    let event = |kind: &str, source: &str| json!({"type": kind, "source": source});
    let mut sent = 0;
    // Each time it has begun again, it is shown poison.
    let found = eventually_some("the shadow is stopped", async || {
        sent += 1;
        send(&api, &[event("poison", "p")]).await;
        let found = shadow(&api, "testbed-rule-trap").await;
        (found["state"] == "stopped").then_some(found)
    })
    .await;
    assert!(
        found["reason"].as_str().unwrap().contains("5 failures within a minute"),
        "{found}"
    );
    assert_eq!(found["shadow"]["traps"], 5, "{found}");
    let info = plugin(&api, "testbed-rule-trap").await;
    assert_eq!(
        (&info["state"], &info["traps"]),
        (&json!("active"), &json!(0)),
        "{info}"
    );
    eventually("the version that runs has seen every event", async || {
        let alerts = open_alerts(&api, "seen").await;
        alerts.iter().any(|alert| alert["value"] == json!(f64::from(sent)))
    })
    .await;
    assert_eq!(hub.metric("streamflow_plugin_rule_skipped_events_total").await, 0.0);
    let logs = command(&hub, &["plugin", "logs", "testbed-rule-trap"]);
    assert!(
        logs.contains("1.0.0") && logs.contains("cannot look at row 0"),
        "{logs}"
    );
    let left = command(&hub, &["plugin", "discard", "testbed-rule-trap"]);
    assert!(left.contains("1.0.1: active") && !left.contains("shadow"), "{left}");
    let again = hub.command(&["plugin", "promote", "testbed-rule-trap"]);
    assert_eq!(again.status.code(), Some(1), "{again:?}");
}
