//! Who is told, seen from outside: a group as whatever reads Alertmanager reads it, and the past as it would have paged people.

use std::process::{Command, Stdio};

use serde_json::{Value, json};
use streamflow_tests::{Api, Hub, HubConfig, Receiver, eventually_some, process::Process};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
    sync::mpsc,
};

use crate::past::{START, filled};

const MINUTE: i64 = 60_000;

async fn made(api: &Api, path: &str, body: Value) -> Value {
    let (status, answer) = api.post(path, &body).await;
    assert!(status.is_success(), "{path}: {answer}");
    answer["data"].clone()
}

/// Says what is said in the channels of an IRC server to whoever listens.
async fn irc() -> (u16, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (said, hear) = mpsc::channel(64);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (read, mut write) = stream.into_split();
            let mut lines = BufReader::new(read).lines();
            let mut nick = String::new();
            while let Ok(Some(line)) = lines.next_line().await {
                let mut words = line.split(' ');
                let (command, argument) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
                let answer = match command {
                    "NICK" => {
                        argument.clone_into(&mut nick);
                        continue;
                    }
                    "USER" => format!(":server 001 {nick} :Welcome\r\n"),
                    "PING" => format!(":server PONG server {argument}\r\n"),
                    "JOIN" => format!(":{nick}!user@host JOIN {argument}\r\n"),
                    "PRIVMSG" if argument.starts_with('#') => {
                        drop(said.send(line).await);
                        continue;
                    }
                    _ => continue,
                };
                if write.write_all(answer.as_bytes()).await.is_err() {
                    break;
                }
            }
        }
    });
    (port, hear)
}

/// A program of Debian that reads Alertmanager's webhooks with Alertmanager's own types; it says each alert in a channel.
fn relay(dir: &std::path::Path, irc: u16) -> Option<(Process, String)> {
    let program = "alertmanager-irc-relay";
    let known = Command::new(program)
        .arg("--help")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if known.is_err() {
        assert!(
            std::env::var("CI").is_err(),
            "{program} is not installed; scripts/setup.sh test installs it"
        );
        println!("skipped: {program} is not installed");
        return None;
    }
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let config = format!(
        "http_host: 127.0.0.1\nhttp_port: {port}\nirc_host: 127.0.0.1\nirc_port: {irc}\nirc_use_ssl: no\nirc_nickname: relay\nirc_realname: relay\n\
         irc_channels: [{{name: '#ops'}}]\nuse_privmsg: yes\n\
         msg_template: '{{{{ .Status }}}}|{{{{ .Labels.alertname }}}}|{{{{ .Labels.source }}}}|{{{{ .Labels.severity }}}}|{{{{ .Fingerprint }}}}|{{{{ .GeneratorURL }}}}|{{{{ .Annotations.summary }}}}'\n"
    );
    std::fs::write(dir.join("relay.yml"), config).unwrap();
    let mut command = Command::new(program);
    command.arg("--config").arg(dir.join("relay.yml"));
    let process = Process::start(&mut command, &dir.join("relay.log"));
    Some((process, format!("127.0.0.1:{port}")))
}

#[tokio::test]
async fn each_alert_of_a_group_reaches_what_reads_alertmanager() {
    let dir = tempfile::tempdir().unwrap();
    let (irc, mut said) = irc().await;
    let Some((_relay, address)) = relay(dir.path(), irc) else {
        return;
    };
    let receiver = Receiver::start().await;
    let hub = Hub::start(&HubConfig {
        egress: vec![address.clone(), receiver.address.clone()],
        ..HubConfig::default()
    });
    let api = hub.admin().await;
    let channel = |name: &str, config: Value| json!({"name": name, "plugin": "webhook", "config": config});
    let ops = json!({"url": format!("http://{address}/ops")});
    let first = json!({"url": receiver.url(), "max_alerts": 1});
    made(&api, "/api/v1/channels", channel("irc", ops)).await;
    made(&api, "/api/v1/channels", channel("first", first)).await;
    let routing = json!({"route": {"channels": ["irc", "first"], "group_by": ["alertname"], "group_wait": "2s", "group_interval": "1s"}});
    assert_eq!(api.put("/api/v1/routing", &routing).await.0, 200);
    let rule = json!({"name": "bad", "match": "type == 'bad'", "window": "1h", "group_by": ["source"], "condition": "value >= threshold",
        "threshold": 1, "level": "error"});
    made(&api, "/api/v1/rules", rule).await;
    let events = json!([{"type": "bad", "source": "web-1"}, {"type": "bad", "source": "web-2"}]);
    assert_eq!(api.post("/events/batch", &events).await.0, 202);

    let mut lines = Vec::new();
    for _ in 0..2 {
        let line = tokio::time::timeout(streamflow_tests::wait::DEADLINE, said.recv()).await;
        lines.push(line.expect("the relay says an alert").unwrap());
    }
    lines.sort();
    let words: Vec<Vec<&str>> = lines
        .iter()
        .map(|line| line.split_once(" :").unwrap().1.split('|').collect())
        .collect();
    for (words, source) in words.iter().zip(["web-1", "web-2"]) {
        assert_eq!(words[..4], ["firing", "bad", source, "error"], "{words:?}");
        assert_eq!(words[4].len(), 16, "{words:?}");
        assert!(words[5].contains("/alerts/"), "{words:?}");
        assert!(words[6].contains(source), "its own summary: {words:?}");
    }
    assert_ne!(words[0][4], words[1][4], "fingerprints");
    assert_ne!(words[0][5], words[1][5], "addresses");

    let received = eventually_some("the channel that takes one alert", async || receiver.received().pop()).await;
    let body = received.body;
    assert_eq!(
        (body["alerts"].as_array().map(Vec::len), &body["truncatedAlerts"]),
        (Some(1), &json!(1)),
        "{body}"
    );
    assert!(
        body["commonAnnotations"]["summary"]
            .as_str()
            .is_some_and(|text| text.starts_with("bad")),
        "{body}"
    );
}

/// The rules of a past of 40 minutes: bursts from minute 3, 15, 27 and 39 on, of three sources.
async fn with_people() -> (Hub, Api) {
    let (hub, api) = filled(false).await;
    for name in ["ops", "ann", "bob"] {
        let channel = json!({"name": name, "plugin": "webhook", "config": {"url": "https://hooks.example.org/x"}});
        made(&api, "/api/v1/channels", channel).await;
    }
    let schedule = json!({"name": "primary",
        "people": [{"name": "Ann", "channels": ["ann"]}, {"name": "Bob", "channels": ["bob"]}],
        "rotations": [{"people": ["Ann", "Bob"], "starts_on": "2026-05-27", "hand_over": "20:20", "every_days": 1}]});
    made(&api, "/api/v1/oncall/schedules", schedule).await;
    let backup = json!({"name": "backup", "comment": "nightly backup", "matchers": [{"name": "source", "op": "=", "value": "web-0"}],
        "hours": {"time_zone": "UTC", "spans": [{"from": "20:00", "to": "20:10"}]}});
    made(&api, "/api/v1/maintenance", backup).await;
    (hub, api)
}

fn errors(change: Value) -> Value {
    let mut rule = json!({"name": "errors", "match": "type == 'api.response' && data.status >= 500", "aggregate": "count()",
        "window": "1m", "group_by": ["source"], "condition": "value >= threshold", "threshold": 40, "evaluate": "on_close",
        "channels": ["oncall:primary"], "level": "warning", "flap_detection": false});
    let fields = rule.as_object_mut().unwrap();
    fields.extend(change.as_object().unwrap().clone());
    rule
}

fn range(more: Value) -> Value {
    let mut range = json!({"from": START, "to": START + 40 * MINUTE});
    range.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    range
}

/// Channel, person, notifications.
fn who(paging: &Value) -> Vec<(&str, &str, u64)> {
    let all = paging["who"].as_array().unwrap().iter();
    let mut who: Vec<_> = all
        .map(|one| {
            let (channel, person) = (one["channel"].as_str().unwrap(), one["person"].as_str().unwrap_or(""));
            (channel, person, one["notifications"].as_u64().unwrap())
        })
        .collect();
    who.sort_unstable();
    who
}

/// Gate, count, told later.
fn held(paging: &Value) -> Vec<(String, u64, u64)> {
    let all = paging["held"].as_array().unwrap().iter();
    let mut held: Vec<_> = all
        .map(|held| {
            let gate = held["gate"].as_str().unwrap().to_owned();
            (
                gate,
                held["count"].as_u64().unwrap(),
                held["told_later"].as_u64().unwrap(),
            )
        })
        .collect();
    held.sort_unstable();
    held
}

#[tokio::test]
async fn a_backtest_says_whom_a_rule_would_have_paged() {
    let (_hub, api) = with_people().await;
    let rule = made(&api, "/api/v1/rules", errors(json!({"enabled": false}))).await;
    let path = format!("/api/v1/rules/{}/backtest", rule["id"].as_str().unwrap());
    let (status, plain) = api.post(&path, &range(json!({}))).await;
    assert_eq!((status.as_u16(), &plain["paging"]), (200, &Value::Null), "{plain}");

    let (status, report) = api.post(&path, &range(json!({"paging": true}))).await;
    assert_eq!(status, 200, "{report}");
    let paging = &report["paging"];
    assert_eq!((&paging["fired"], &report["fired"]), (&json!(12), &json!(12)));
    // Ann until 20:20: two alerts of the first burst (the third is in the maintenance window) and three of the second, and
    // their ends. Bob: three of the third with their ends, and three of the fourth, which goes on.
    assert_eq!(who(paging), [("ann", "Ann", 10), ("bob", "Bob", 9)]);
    assert_eq!(held(paging), [("maintenance".to_owned(), 1, 0)]);
    assert_eq!(paging["held"][0]["comment"], "nightly backup");
    assert_eq!(paging["days"], json!({"2026-05-28": 19}));
    let first = &paging["pages"][0];
    assert_eq!(
        (&first["at"], &first["schedule"], &first["cause"], &first["alerts"]),
        (
            &json!("2026-05-28T20:04:00.000Z"),
            &json!("primary"),
            &json!("fired"),
            &json!(1)
        )
    );

    // Of an alert that somebody takes within a minute.
    let body = range(json!({"rule": errors(json!({"name": "draft"})), "paging": true, "acknowledge_after": "1m"}));
    let (status, report) = api.post("/api/v1/rules/backtest", &body).await;
    assert_eq!(status, 200, "{report}");
    assert_eq!(
        report["paging"]["acknowledged"], 8,
        "those of the last burst are not over, nor a minute old"
    );
    let (_, open) = api.get("/api/v1/alerts").await;
    assert_eq!(open["data"], json!([]), "nothing of it happened");
    let (_, deliveries) = api.get("/api/v1/deliveries").await;
    assert_eq!(deliveries["data"], json!([]));
}

#[tokio::test]
async fn the_command_line_says_what_the_time_would_have_been_like() {
    let (hub, api) = with_people().await;
    let routing = json!({"route": {"channels": ["ops"]}, "inhibit": [{"source": [{"name": "level", "op": "=", "value": "critical"}],
        "target": [{"name": "level", "op": "=", "value": "warning"}], "equal": ["source"]}]});
    assert_eq!(api.put("/api/v1/routing", &routing).await.0, 200);
    made(&api, "/api/v1/rules", errors(json!({}))).await;
    // It fires before the other one, and until after it.
    let outage = json!({"name": "outage", "level": "critical", "window": "30s", "threshold": 20, "channels": ["ops"], "keep_firing_for": "5m"});
    made(&api, "/api/v1/rules", errors(outage)).await;
    let (from, to) = (START.to_string(), (START + 40 * MINUTE).to_string());
    let run = |more: &[&str]| {
        let mut arguments = vec!["rule", "backtest", "--from", &from, "--to", &to];
        arguments.extend(more);
        let output = hub.command(&arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let report: Value = serde_json::from_str(&run(&["--all", "--output", "json"])).unwrap();
    let rules = report["rules"].as_array().unwrap();
    assert!(
        rules.contains(&json!("errors")) && rules.contains(&json!("outage")),
        "{rules:?}"
    );
    let paging = &report["paging"];
    let told: Vec<_> = who(paging).into_iter().map(|(channel, ..)| channel).collect();
    assert_eq!(told, ["ops"], "the critical alerts inhibit the others: {paging}");
    assert_eq!(
        held(paging),
        [("inhibition".to_owned(), 12, 0), ("maintenance".to_owned(), 2, 1)],
        "{paging}"
    );

    let text = run(&["--all"]);
    for part in ["HELD BACK BY", "inhibition", "nightly backup", "ops"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    // One rule alone is not inhibited, and says so.
    let text = run(&["errors", "--paging"]);
    for part in ["Ann (primary)", "Bob (primary)", "note: only this rule's alerts"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let (status, answer) = api
        .post("/api/v1/paging/backtest", &range(json!({"rules": ["nothing"]})))
        .await;
    assert_eq!(
        (status.as_u16(), &answer["details"]["field"]),
        (400, &json!("rules[0]"))
    );
}
