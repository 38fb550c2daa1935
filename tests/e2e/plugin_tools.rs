//! Looking at a plugin: events of a file through it, what it costs, what it logs.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use streamflow_tests::{Agent, AgentConfig, Hub, HubConfig, Receiver, binaries::binary, eventually, eventually_some};

use crate::plugins::{built, command, open_alerts, plugin, rule, send};

/// Runs the hub's program without a hub.
pub fn alone(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(binary("streamflow-hub")).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

pub fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
        .collect()
}

#[test]
fn events_of_a_file_run_through_a_rule_and_its_verdicts_are_printed() {
    const START: i64 = 1_767_225_600_000;
    let dir = tempfile::tempdir().unwrap();
    let file = built("error-burst.wasm");
    let file = file.to_str().unwrap();
    let events = dir.path().join("events.ndjson");
    let error = |n: i64, kind: &str| {
        json!({"type": kind, "source": "web-1", "severity": "high", "timestamp": START + n * 1000}).to_string()
    };
    let mut text: Vec<String> = (0..5).map(|n| error(n, "error")).collect();
    text.insert(2, error(2, "other"));
    std::fs::write(&events, text.join("\n")).unwrap();
    let events = events.to_str().unwrap();
    let config = r#"{"errors": 5, "within_seconds": 60}"#;
    let arguments = [
        "plugin",
        "run",
        file,
        "--events",
        events,
        "--rule-config",
        config,
        "--match",
        "type == 'error'",
    ];
    let run = |more: &[&str]| alone(&[&arguments[..], more].concat());

    let (status, out, err) = run(&["--then", "5m", "--output", "json"]);
    assert_eq!(status, Some(0), "{err}");
    let found = lines(&out);
    let shown: Vec<Value> = found
        .iter()
        .map(|line| json!([line["state"], line["key"], line["line"], line["value"]]))
        .collect();
    assert_eq!(
        shown,
        [
            json!(["firing", "web-1", 6, 5.0]),
            json!(["resolved", "web-1", null, 0.0]),
            json!([null, null, null, null])
        ],
        "{out}"
    );
    assert_eq!(found[0]["at"], "2026-01-01T00:00:04.000Z");
    let sum = &found[2];
    assert_eq!(
        (&sum["events"], &sum["firing"], &sum["resolved"]),
        (&json!(5), &json!(1), &json!(1)),
        "{sum}"
    );

    // One event a call gives the same verdicts, and without time nothing is over.
    let (_, out, _) = run(&["--batch", "1"]);
    assert!(
        out.contains("line 6   firing   web-1: web-1: 5 errors in 60 s") && !out.contains("resolved "),
        "{out}"
    );

    // Mistakes are told with their place.
    let webhook = built("webhook.wasm");
    let (status, _, err) = alone(&["plugin", "run", webhook.to_str().unwrap(), "--events", events]);
    assert!(status == Some(1) && err.contains("only rules"), "{err}");
    let (status, _, err) = alone(&[
        "plugin",
        "run",
        file,
        "--events",
        events,
        "--rule-config",
        r#"{"errors": 0}"#,
    ]);
    assert!(status == Some(2) && err.contains("config.errors"), "{err}");
    std::fs::write(events, "{\"type\": \"a\", \"source\": \"b\"}\nnonsense\n").unwrap();
    let (status, _, err) = run(&[]);
    assert!(status == Some(2) && err.contains("events.ndjson:2"), "{err}");
}

#[test]
fn a_plugin_that_fails_on_an_event_says_where() {
    let dir = tempfile::tempdir().unwrap();
    let events = dir.path().join("events.ndjson");
    std::fs::write(
        &events,
        "{\"type\":\"a\",\"source\":\"s\"}\n{\"type\":\"poison\",\"source\":\"s\"}\n",
    )
    .unwrap();
    let file = built("testbed/rule-trap.wasm");
    let (status, out, err) = alone(&[
        "plugin",
        "run",
        file.to_str().unwrap(),
        "--events",
        events.to_str().unwrap(),
        "--batch",
        "1",
    ]);
    assert_eq!(status, Some(1), "{err}");
    assert!(out.contains("firing   s: seen") && out.contains("log error"), "{out}");
    assert!(
        err.contains("cannot look at row 0") && err.contains("on lines 2 to 2"),
        "{err}"
    );
}

#[test]
fn what_a_rule_costs_is_printed_for_each_size_of_batch() {
    let file = built("testbed/rule-count.wasm");
    let file = file.to_str().unwrap();
    let config = r#"{"threshold": 5, "many": 100}"#;
    let arguments = ["plugin", "bench", file, "--rule-config", config, "--time", "50ms"];
    let (status, out, err) = alone(&[&arguments[..], &["--output", "json"]].concat());
    assert_eq!(status, Some(0), "{err}");
    let [found] = lines(&out).try_into().unwrap();
    let sizes: Vec<u64> = found["batches"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["events"].as_u64().unwrap())
        .collect();
    assert_eq!(sizes, [256, 1000, 4096]);
    for key in ["call_ns_per_event", "native_ns_per_event", "columns_ns_per_event"] {
        assert!(found["batches"][1][key].as_f64().unwrap() > 0.0, "{key}: {found}");
    }
    for key in ["bytes", "compile_ms", "cached_load_ms", "memory_bytes", "empty_call_ns"] {
        assert!(found[key].as_f64().unwrap() > 0.0, "{key}: {found}");
    }
    let (_, out, _) = alone(&[&arguments[..], &["--batch", "1,10"]].concat());
    assert!(out.contains("NATIVE PASS") && out.lines().count() == 4, "{out}");
    // The schema that the code brings.
    let (status, _, err) = alone(&[
        "plugin",
        "bench",
        file,
        "--rule-config",
        "{\"threshold\": 5}",
        "--time",
        "1ms",
    ]);
    assert!(status != Some(0) && err.contains("many"), "{err}");
}

#[tokio::test]
async fn the_lines_of_a_plugin_are_read_and_followed_and_a_quarantine_is_told() {
    let hub = Hub::start(&HubConfig {
        plugins: "allow_unsigned = true".to_owned(),
        ..HubConfig::default()
    });
    let api = hub.admin().await;
    let (status, _) = api.get("/api/v1/plugins/nobody/logs").await;
    assert_eq!(status, 404);
    let file = built("testbed/rule-log-flood.wasm");
    command(&hub, &["plugin", "install", file.to_str().unwrap(), "--approve"]);
    rule(
        &api,
        json!({"name": "flooded", "kind": "plugin", "plugin": "testbed-rule-log-flood"}),
    )
    .await;
    let mut follow = Command::new(binary("streamflow-hub"))
        .args([
            "plugin",
            "logs",
            "testbed-rule-log-flood",
            "--follow",
            "--output",
            "json",
            "--config",
        ])
        .arg(hub.config())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let poison = |n: u32| json!({"type": "poison", "source": format!("p{n}")});
    send(&api, &[json!({"type": "a", "source": "s"})]).await;
    let mut sent = 0;
    let info = eventually_some("five failures put it into quarantine", async || {
        sent += 1;
        send(&api, &[poison(sent)]).await;
        let info = plugin(&api, "testbed-rule-log-flood").await;
        (info["state"] == "quarantined").then_some(info)
    })
    .await;
    assert_eq!(info["quarantine_cause"], "deadline", "{info}");
    assert!(
        info["quarantined_since"].is_string() && info["reason"].as_str().unwrap().contains("deadline"),
        "{info}"
    );
    let metrics = hub.metrics().await;
    assert!(
        metrics.contains("streamflow_plugin_quarantined{cause=\"deadline\",plugin=\"testbed-rule-log-flood\"} 1"),
        "{metrics}"
    );

    let followed = BufReader::new(follow.stdout.take().unwrap()).lines();
    let first: Value = serde_json::from_str(&followed.map_while(Result::ok).next().unwrap()).unwrap();
    assert_eq!(
        (&first["line"], &first["level"]),
        (&json!("a line of a flood"), &json!("warn"))
    );
    follow.kill().unwrap();
    follow.wait().unwrap();

    let (_, body) = api
        .get("/api/v1/plugins/testbed-rule-log-flood/logs?level=error&limit=1000")
        .await;
    let logs = &body["data"];
    assert!(logs["dropped"].as_u64().unwrap() > 0, "{logs}");
    let last = logs["lines"].as_array().unwrap().last().unwrap().clone();
    assert!(
        last["line"].as_str().unwrap().contains("quarantine") && last["instance"].is_null(),
        "{last}"
    );
    let after = logs["last"].as_u64().unwrap();
    let (_, body) = api
        .get(&format!("/api/v1/plugins/testbed-rule-log-flood/logs?after={after}"))
        .await;
    assert_eq!(body["data"]["lines"], json!([]));
    assert_eq!(
        api.get("/api/v1/plugins/testbed-rule-log-flood/logs?limit=0").await.0,
        400
    );
    let printed = command(&hub, &["plugin", "logs", "testbed-rule-log-flood", "--level", "error"]);
    assert!(printed.contains("call ended by the sandbox"), "{printed}");
    command(&hub, &["plugin", "enable", "testbed-rule-log-flood"]);
    let (status, health) = api.get("/ready").await;
    assert_eq!(status, 200, "{health}");
}

/// Without heartbeats the agent would be missed for ever, and what ends by silence would not end.
#[tokio::test]
async fn a_quiet_agent_that_is_heard_does_not_keep_a_plugins_incident_open() {
    let receiver = Receiver::start().await;
    let hub = Hub::start(&HubConfig {
        egress: vec![receiver.address.clone()],
        fixed_ports: true,
        ..HubConfig::default()
    });
    let api = hub.admin().await;
    rule(
        &api,
        json!({"name": "burst", "kind": "plugin", "plugin": "error-burst", "config": {"errors": 2, "within_seconds": 5}, "match": "type == 'error'"}),
    )
    .await;
    let agent = Agent::start(&AgentConfig::tail("event"), &hub);
    let error = json!({"type": "error", "source": "web-1", "severity": "high"});
    agent.write_log("quiet.log", &format!("{error}\n{error}\n"));
    let alert = eventually_some("the burst fires", async || {
        open_alerts(&api, "burst").await.first().cloned()
    })
    .await;
    let id = alert["id"].as_str().unwrap().to_owned();
    // The agent has nothing more to send, and says so.
    let over = eventually_some("the burst is over", async || {
        let (_, body) = api.get(&format!("/api/v1/alerts/{id}")).await;
        (body["data"]["state"] == "resolved").then(|| body["data"].clone())
    })
    .await;
    assert_eq!(over["completeness"]["complete"], true, "{over}");
    eventually("and stays so", async || open_alerts(&api, "burst").await.is_empty()).await;
}
