//! Plugins as users meet them: the guide from first to last command, shipped rules, and what happens when one misbehaves.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::{Value, json};
use streamflow_tests::{
    Api, Hub, HubConfig, Receiver,
    binaries::{binary, root},
    eventually, eventually_some, hub,
};

/// Commands of `docs/plugins.md` in blocks of this kind.
pub fn blocks(kind: &str) -> String {
    let guide = std::fs::read_to_string(root().join("docs/plugins.md")).unwrap();
    let opening = format!("```sh {kind}");
    let (mut script, mut inside) = ("set -eu\n".to_owned(), false);
    for line in guide.lines() {
        if line == opening {
            inside = true;
        } else if line == "```" {
            inside = false;
        } else if inside {
            script.push_str(line);
            script.push('\n');
        }
    }
    assert!(script.lines().count() > 1, "docs/plugins.md has no block `{opening}`");
    script
}

/// Runs a script with the built programs on the path.
pub fn shell(script: &str, dir: &Path, more: &[(&str, &str)]) -> Output {
    let programs = binary("streamflow-hub").parent().unwrap().to_owned();
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new("sh")
        .args(["-c", script])
        .current_dir(dir)
        .env("PATH", format!("{}:{path}", programs.display()))
        // Kept between runs: compiling is most of the time.
        .env("CARGO_TARGET_DIR", programs.join("plugin-guide"))
        .env_remove("RUSTFLAGS")
        .envs(more.iter().copied())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{script}\n--- out\n{}\n--- err\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

pub fn built(name: &str) -> PathBuf {
    let path = root().join("plugins/dist").join(name);
    assert!(
        path.is_file(),
        "{} is missing; scripts/build-plugins.sh builds it",
        path.display()
    );
    path
}

/// A hub that may post to the receiver, with a channel `ops` there.
async fn hub_with(receiver: &Receiver, more: &str) -> (Hub, Api) {
    let hub = Hub::start(&HubConfig {
        egress: vec![receiver.address.clone()],
        more: more.to_owned(),
        ..HubConfig::default()
    });
    let api = hub.admin().await;
    let channel = json!({"name": "ops", "plugin": "webhook", "config": {"url": receiver.url()}});
    let (status, body) = api.post("/api/v1/channels", &channel).await;
    assert_eq!(status, 201, "{body}");
    (hub, api)
}

pub async fn rule(api: &Api, rule: Value) {
    let (status, body) = api.post("/api/v1/rules", &rule).await;
    assert_eq!(status, 201, "{body}");
}

pub async fn send(api: &Api, events: &[Value]) {
    for event in events {
        let (status, body) = api.post("/events", event).await;
        assert_eq!(status, 202, "{body}");
    }
}

pub async fn plugin(api: &Api, name: &str) -> Value {
    let (status, body) = api.get("/api/v1/plugins").await;
    assert_eq!(status, 200, "{body}");
    let all = hub::data(&body);
    all.into_iter().find(|info| info["name"] == name).unwrap_or(Value::Null)
}

pub async fn open_alerts(api: &Api, rule: &str) -> Vec<Value> {
    let (_, alerts) = api.get("/api/v1/alerts?state=firing").await;
    hub::data(&alerts)
        .into_iter()
        .filter(|alert| alert["rule_name"] == rule)
        .collect()
}

pub fn command(hub: &Hub, arguments: &[&str]) -> String {
    let output = hub.command(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn the_guide_leads_to_a_signed_rule_that_fires() {
    let dir = tempfile::tempdir().unwrap();
    shell(&blocks("guide-key"), dir.path(), &[]);
    let public = std::fs::read_to_string(dir.path().join("my-plugins.pub")).unwrap();
    let key = public.lines().last().unwrap();
    let receiver = Receiver::start().await;
    let hub = Hub::start(&HubConfig {
        egress: vec![receiver.address.clone()],
        plugins: format!("trusted_keys = [\"{key}\"]"),
        ..HubConfig::default()
    });
    let api = hub.admin().await;
    std::fs::copy(hub.config(), dir.path().join("hub.toml")).unwrap();
    let base = format!("http://{}", hub.http);
    let (token, url) = (api.token.clone(), receiver.url());
    let environment = [("HUB", base.as_str()), ("TOKEN", token.as_str()), ("URL", url.as_str())];
    let output = shell(&blocks("guide"), dir.path(), &environment);
    let text = String::from_utf8(output.stdout).unwrap();
    let file = dir.path().join("too-hot/too-hot.wasm").canonicalize().unwrap();
    assert!(text.contains(&format!("{}\n", file.display())), "{text}");

    let told = eventually_some("the webhook is posted", async || receiver.received().first().cloned()).await;
    assert_eq!(told.body["status"], "firing");
    assert_eq!(told.body["alerts"][0]["labels"]["source"], "oven-1");
    let info = plugin(&api, "too-hot").await;
    assert_eq!((&info["state"], &info["kind"]), (&json!("active"), &json!("rule")));
    assert!(info["signature"].as_str().unwrap().starts_with("signed by "), "{info}");
    assert_eq!(open_alerts(&api, "oven too hot").await.len(), 1);

    // What somebody has changed on the way is refused.
    let mut bytes = std::fs::read(&file).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    let altered = dir.path().join("altered.wasm");
    std::fs::write(&altered, bytes).unwrap();
    let refused = hub.command(&["plugin", "install", altered.to_str().unwrap(), "--approve"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");

    // The other kind of plugin builds and passes its tests, too.
    shell(&blocks("guide-channel"), dir.path(), &environment);
    assert!(dir.path().join("my-channel/my-channel.wasm").is_file());
}

#[tokio::test]
async fn a_shipped_rule_counts_across_a_kill_and_tells_once() {
    let receiver = Receiver::start().await;
    let (mut hub, api) = hub_with(&receiver, "[analytics]\ncheckpoint_interval = \"1s\"\n").await;
    let burst = |config: Value| {
        json!({"name": "burst", "kind": "plugin", "plugin": "error-burst", "config": config, "match": "type == 'error'",
               "level": "critical", "channels": ["ops"]})
    };
    let (status, body) = api
        .post("/api/v1/rules", &burst(json!({"errors": 0, "colour": "red"})))
        .await;
    assert_eq!(status, 400, "{body}");
    let fields: Vec<&str> = body["details"]["errors"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|e| e["field"].as_str())
        .collect();
    assert!(fields.contains(&"config.errors"), "{body}");
    let (status, body) = api
        .post(
            "/api/v1/rules",
            &json!({"name": "x", "kind": "plugin", "plugin": "pigeon"}),
        )
        .await;
    assert!(
        status == 400 && body["message"].as_str().unwrap().contains("error-burst"),
        "{body}"
    );
    rule(&api, burst(json!({"errors": 5, "within_seconds": 3600}))).await;

    let error = |source: &str| json!({"type": "error", "source": source, "severity": "high"});
    send(&api, &[error("web-1"), error("web-1"), error("web-2"), error("web-1")]).await;
    eventually("the rule has seen the events", async || {
        plugin(&api, "error-burst").await["calls"].as_u64().unwrap() > 0
            && hub.metric("streamflow_plugin_events_total").await >= 4.0
    })
    .await;
    hub.kill();
    hub.restart();
    let api = hub.admin().await;
    assert_eq!(receiver.received().len(), 0);
    send(&api, &[error("web-1"), error("web-2"), error("web-1"), error("web-1")]).await;
    let told = eventually_some("the webhook is posted", async || receiver.received().first().cloned()).await;
    assert_eq!(told.body["alerts"][0]["labels"]["source"], "web-1");
    let alerts = open_alerts(&api, "burst").await;
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    assert_eq!(
        (&alerts[0]["level"], &alerts[0]["labels"]["key"]),
        (&json!("critical"), &json!("web-1"))
    );
    assert!(
        alerts[0]["title"].as_str().unwrap().starts_with("burst: web-1: "),
        "{}",
        alerts[0]["title"]
    );
    eventually("the last count is taken in", async || {
        open_alerts(&api, "burst").await[0]["value"] == 6.0
    })
    .await;
    assert_eq!(receiver.received().len(), 1, "one incident, told once");

    let (_, rules) = api.get("/api/v1/rules").await;
    let id = hub::data(&rules)
        .into_iter()
        .find(|rule| rule["name"] == "burst")
        .unwrap()["id"]
        .clone();
    let (status, _) = api.delete(&format!("/api/v1/rules/{}", id.as_str().unwrap())).await;
    assert_eq!(status, 204);
    eventually("its alert is over", async || {
        open_alerts(&api, "burst").await.is_empty()
    })
    .await;
    assert!(hub.terminate().success());
}

#[tokio::test]
async fn a_plugin_that_traps_is_contained_and_its_events_are_seen_by_the_mended_one() {
    let receiver = Receiver::start().await;
    let hub = Hub::start(&HubConfig {
        egress: vec![receiver.address.clone()],
        plugins: "allow_unsigned = true".to_owned(),
        ..HubConfig::default()
    });
    let api = hub.admin().await;
    let trap = built("testbed/rule-trap.wasm");
    let waits = command(&hub, &["plugin", "install", trap.to_str().unwrap()]);
    assert!(waits.contains("awaiting_approval"), "{waits}");
    let approved = command(&hub, &["plugin", "approve", "testbed-rule-trap"]);
    assert!(approved.contains("active"), "{approved}");
    rule(
        &api,
        json!({"name": "trap", "kind": "plugin", "plugin": "testbed-rule-trap"}),
    )
    .await;
    rule(&api, json!({"name": "other", "match": "type == 'a'", "group_by": ["source"], "condition": "value >= threshold", "threshold": 1})).await;

    let event = |kind: &str, source: &str| json!({"type": kind, "source": source});
    let value = async |source: &str| {
        let alerts = open_alerts(&api, "trap").await;
        alerts
            .iter()
            .find(|alert| alert["labels"]["key"] == source)
            .map(|alert| alert["value"].clone())
    };
    send(&api, &[event("a", "s"), event("poison", "p"), event("a", "s")]).await;
    eventually("the events around the one that traps are seen", async || {
        value("s").await == Some(json!(2.0))
    })
    .await;
    assert_eq!(hub.metric("streamflow_plugin_rule_skipped_events_total").await, 1.0);
    assert!(value("p").await.is_none());

    for n in 0..4 {
        send(&api, &[event("poison", &format!("p{n}"))]).await;
    }
    eventually("five failures put it into quarantine", async || {
        plugin(&api, "testbed-rule-trap").await["state"] == "quarantined"
    })
    .await;
    let info = plugin(&api, "testbed-rule-trap").await;
    assert!(
        info["reason"].as_str().unwrap().contains("cannot look at row"),
        "{info}"
    );
    // A group that it has not seen yet: of a group that fires, a running window tells nothing more.
    send(&api, &[event("a", "s"), event("a", "t")]).await;
    eventually("another rule goes on", async || {
        open_alerts(&api, "other")
            .await
            .iter()
            .any(|alert| alert["labels"]["source"] == "t")
    })
    .await;
    assert_eq!(value("s").await, Some(json!(2.0)), "it was called in quarantine");
    let (status, health) = api.get("/ready").await;
    assert_eq!(status, 200, "{health}");

    // Another version begins before the first event that was passed over.
    let mended = command(
        &hub,
        &[
            "plugin",
            "install",
            built("testbed/rule-trap2.wasm").to_str().unwrap(),
            "--approve",
        ],
    );
    assert!(mended.contains("1.0.1") && mended.contains("active"), "{mended}");
    eventually("the events of the quarantine are seen", async || {
        value("s").await == Some(json!(3.0))
    })
    .await;
    eventually("and those that were passed over", async || {
        value("p").await == Some(json!(1.0)) && value("p3").await == Some(json!(1.0))
    })
    .await;
    let listed = command(&hub, &["plugin", "list"]);
    assert!(
        listed.contains("testbed-rule-trap") && listed.contains("1.0.1"),
        "{listed}"
    );
    let inspected = command(&hub, &["plugin", "inspect", "testbed-rule-trap"]);
    assert!(inspected.contains("previous_version = \"1.0.0\""), "{inspected}");
    assert!(command(&hub, &["plugin", "disable", "testbed-rule-trap"]).contains("disabled"));
    assert!(command(&hub, &["plugin", "enable", "testbed-rule-trap"]).contains("active"));
    assert!(command(&hub, &["plugin", "rollback", "testbed-rule-trap"]).contains("1.0.0: active"));
    let used = hub.command(&["plugin", "remove", "testbed-rule-trap"]);
    let said = String::from_utf8_lossy(&used.stderr);
    assert!(!used.status.success() && said.contains("is used by rule"), "{used:?}");
    assert!(command(&hub, &["plugin", "remove", "testbed-rule-trap", "--force"]).contains("removed"));
    assert_eq!(plugin(&api, "testbed-rule-trap").await, Value::Null);
    let tokens = api.get("/api/v1/tokens").await.1;
    assert!(
        !tokens.to_string().contains("command-line-"),
        "a command left its token: {tokens}"
    );
}

#[tokio::test]
async fn unsigned_files_and_other_peoples_hands_are_refused() {
    let hub = Hub::start(&HubConfig::default());
    let file = built("testbed/rule-trap.wasm");
    let refused = hub.command(&["plugin", "install", file.to_str().unwrap(), "--approve"]);
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(
        refused.status.code() == Some(1) && error.contains("allow_unsigned") && error.contains("plugin sign"),
        "{error}"
    );
    let api = hub.admin().await;
    assert_eq!(plugin(&api, "testbed-rule-trap").await, Value::Null);
    let viewer = command(&hub, &["token", "create", "reader", "--role", "editor"]);
    let reader = api.with_token(viewer.trim());
    let (status, _) = reader
        .post_raw(
            "/api/v1/plugins?approve=true",
            "application/wasm",
            std::fs::read(&file).unwrap(),
        )
        .await;
    assert_eq!(status, 403);
    assert_eq!(reader.post("/api/v1/plugins/webhook/disable", &json!({})).await.0, 403);
    let (status, body) = api
        .post_raw("/api/v1/plugins", "application/wasm", b"#!/bin/sh".to_vec())
        .await;
    assert_eq!(status, 422, "{body}");
    let base = format!("http://{}", hub.http);
    let elsewhere = |token: &str| {
        let arguments = ["plugin", "list", "--hub", &base, "--token", token];
        Command::new(binary("streamflow-hub")).args(arguments).output().unwrap()
    };
    assert!(elsewhere(viewer.trim()).status.success());
    let wrong = elsewhere("nonsense");
    assert!(
        wrong.status.code() == Some(1) && String::from_utf8_lossy(&wrong.stderr).contains("401"),
        "{wrong:?}"
    );
}
