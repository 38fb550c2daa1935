//! The hub in the place of an Alertmanager: a real Prometheus sends to it, and the real `amtool` works on it.

use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};
use streamflow_tests::{Api, Hub, HubConfig, Receiver, eventually, eventually_some, hub};

/// A program of the operating system. Without it a test says so; where everything must run that is a failure.
fn program(name: &str) -> Option<&str> {
    if Command::new(name).arg("--version").output().is_ok() {
        return Some(name);
    }
    assert!(
        std::env::var("CI").is_err(),
        "{name} is not installed; scripts/setup.sh test installs it"
    );
    println!("skipped: {name} is not installed");
    None
}

struct Prometheus(Child);

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

async fn setup() -> (Hub, Api, Receiver, String) {
    let receiver = Receiver::start().await;
    let hub = Hub::start(&HubConfig {
        egress: vec![receiver.address.clone()],
        ..HubConfig::default()
    });
    let api = hub.admin().await;
    let channel = json!({"name": "ops", "plugin": "webhook", "config": {"url": receiver.url()}});
    assert_eq!(api.post("/api/v1/channels", &channel).await.0, 201);
    let routing = json!({"route": {"channels": ["ops"], "group_wait": "0s", "group_interval": "1s"}});
    assert_eq!(api.put("/api/v1/routing", &routing).await.0, 200);
    let output = hub.command(&["token", "create", "tools", "--role", "editor"]);
    assert!(output.status.success(), "{output:?}");
    let token = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    (hub, api, receiver, token)
}

#[tokio::test]
async fn a_real_prometheus_is_pointed_at_the_hub() {
    let Some(prometheus) = program("prometheus") else {
        return;
    };
    let (hub, api, receiver, token) = setup().await;
    let dir = tempfile::tempdir().unwrap();
    let rules = |expression: &str| {
        let text = format!(
            "groups: [{{name: g, interval: 1s, rules: [{{alert: DiskFull, expr: '{expression}', labels: {{severity: critical, team: web}}, annotations: {{summary: the disk is full}}}}]}}]\n"
        );
        std::fs::write(dir.path().join("rules.yml"), text).unwrap();
    };
    rules("vector(1)");
    let config = format!(
        "global: {{evaluation_interval: 1s}}\nrule_files: [rules.yml]\nalerting: {{alertmanagers: [{{authorization: {{credentials: {token}}}, static_configs: [{{targets: ['{}']}}]}}]}}\n",
        hub.http
    );
    std::fs::write(dir.path().join("prometheus.yml"), config).unwrap();
    let log = std::fs::File::create(dir.path().join("prometheus.log")).unwrap();
    let process = Command::new(prometheus)
        .arg(format!("--config.file={}", dir.path().join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
        .args(["--web.listen-address=127.0.0.1:0", "--rules.alert.resend-delay=1s"])
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let prometheus = Prometheus(process);
    let alert = eventually_some("its alert fires here", async || {
        let (_, alerts) = api.get("/api/v1/alerts?state=firing").await;
        hub::data(&alerts).first().cloned()
    })
    .await;
    assert_eq!(
        (&alert["title"], &alert["level"], &alert["labels"]["team"]),
        (&json!("the disk is full"), &json!("critical"), &json!("web")),
        "{alert}"
    );
    eventually("the channel is told", async || !receiver.received().is_empty()).await;
    let told = receiver.received()[0].body.clone();
    assert_eq!(
        (&told["status"], &told["commonLabels"]["alertname"]),
        (&json!("firing"), &json!("DiskFull"))
    );
    rules("vector(1) > 2");
    let pid = prometheus.0.id().to_string();
    assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    eventually("its end is told", async || {
        receiver
            .received()
            .last()
            .is_some_and(|last| last.body["status"] == "resolved")
    })
    .await;
    assert_eq!(receiver.received().len(), 2, "mentioned every second, told once");
    let (_, alert) = api
        .get(&format!("/api/v1/alerts/{}", alert["id"].as_str().unwrap()))
        .await;
    assert_eq!(alert["data"]["state"], "resolved");
}

#[tokio::test]
async fn an_alert_that_nobody_mentions_any_more_is_stale_and_not_resolved() {
    let (_hub, api, receiver, _) = setup().await;
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let soon = u64::try_from(now.as_millis()).unwrap() + 2000;
    let alert = json!([{"labels": {"alertname": "Down", "instance": "a"}, "endsAt": soon}, {"labels": {}}]);
    let (status, error) = api.post("/api/v2/alerts", &alert).await;
    assert!(status == 400 && error.to_string().contains("[1].labels"), "{error}");
    eventually("the good one is taken in all the same", async || {
        receiver.received().len() == 1
    })
    .await;
    eventually("it is stale", async || {
        let (_, alerts) = api.get("/api/v1/alerts?state=stale").await;
        hub::data(&alerts).len() == 1
    })
    .await;
    assert_eq!(receiver.received().len(), 1, "silence is no good news");
}

#[tokio::test]
async fn amtool_works_on_the_hub() {
    let Some(amtool) = program("amtool") else { return };
    let (hub, api, _receiver, token) = setup().await;
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("http.yml");
    std::fs::write(&config, format!("authorization: {{credentials: {token}}}\n")).unwrap();
    let run = |arguments: &[&str]| -> Output {
        Command::new(amtool)
            .args(arguments)
            .args(["--no-version-check", &format!("--alertmanager.url=http://{}", hub.http)])
            .arg(format!("--http.config.file={}", config.display()))
            .env("HOME", dir.path())
            .output()
            .unwrap()
    };
    let text = |arguments: &[&str]| {
        let output = run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    text(&[
        "alert",
        "add",
        "alertname=DiskFull",
        "instance=web-1",
        "--annotation=summary=the disk is full",
    ]);
    let shown = text(&["alert", "query", "alertname=DiskFull"]);
    assert!(
        shown.contains("DiskFull") && shown.contains("the disk is full"),
        "{shown}"
    );
    assert!(!text(&["alert", "query", "alertname=Other"]).contains("DiskFull"));
    let id = text(&[
        "silence",
        "add",
        "instance=~web-.*",
        "--duration=1h",
        "--author=eva",
        "--comment=patches",
    ]);
    let id = id.trim();
    let (_, silence) = api.get(&format!("/api/v1/silences/{id}")).await;
    assert_eq!(
        (
            &silence["data"]["state"],
            &silence["data"]["matchers"][0]["op"],
            &silence["data"]["alerts"][0]["title"]
        ),
        (&json!("active"), &json!("=~"), &json!("the disk is full")),
        "{silence}"
    );
    assert!(text(&["silence", "query"]).contains("eva"));
    assert!(
        !text(&["alert", "query"]).contains("DiskFull"),
        "silenced ones are not listed unless asked for"
    );
    assert!(text(&["alert", "query", "--silenced"]).contains("DiskFull"));
    text(&["silence", "expire", id]);
    let (_, silence) = api.get(&format!("/api/v1/silences/{id}")).await;
    assert_eq!(silence["data"]["state"], "expired");
    let active: Value = serde_json::from_str(&text(&["alert", "query", "-o", "json"])).unwrap();
    assert_eq!(active.as_array().unwrap().len(), 1);
}
