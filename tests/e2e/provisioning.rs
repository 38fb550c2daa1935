//! Rules, channels and routing in files, taken in by a running hub.

use std::path::Path;

use serde_json::{Value, json};
use streamflow_tests::{Api, Hub, HubConfig, Receiver, eventually, eventually_some, hub};
use tempfile::TempDir;

const RULES: &str = "[[rules]]\nname = \"bad\"\nmatch = \"type == 'bad'\"\nwindow = \"1h\"\ngroup_by = [\"source\"]\n\
    condition = \"value >= threshold\"\nthreshold = 1\nlevel = \"error\"\n";

async fn setup(folder: &Path, receiver: &Receiver, more: &str) -> (Hub, Api) {
    let hub = Hub::start(&HubConfig {
        egress: vec![receiver.address.clone()],
        more: format!("[provisioning]\nrules = {folder:?}\n{more}"),
        ..HubConfig::default()
    });
    let api = hub.admin().await;
    (hub, api)
}

fn put(folder: &TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

async fn rule(api: &Api, name: &str) -> Option<Value> {
    let (_, rules) = api.get("/api/v1/rules?limit=1000").await;
    hub::data(&rules).into_iter().find(|rule| rule["name"] == name)
}

async fn alert(api: &Api, rule: &str) -> Option<Value> {
    let (_, alerts) = api.get("/api/v1/alerts?limit=1000").await;
    hub::data(&alerts)
        .into_iter()
        .find(|alert| alert["rule_name"] == rule && alert["resolved_at"].is_null())
}

async fn file(api: &Api, name: &str) -> Value {
    let (_, answer) = api.get("/api/v1/provisioning").await;
    let files = hub::data(&json!({"data": answer["data"]["files"]}));
    let found = files.into_iter().find(|file| file["file"] == name);
    found.unwrap_or_default()
}

#[tokio::test]
async fn files_are_taken_in_and_changed_without_losing_state() {
    let (folder, receiver) = (TempDir::new().unwrap(), Receiver::start().await);
    let rules = put(&folder, "web.toml", RULES);
    put(
        &folder,
        "people.yaml",
        &format!(
            "channels:\n  - name: ops\n    plugin: webhook\n    config:\n      url: {}\nrouting:\n  route:\n    channels: [ops]\n    group_wait: 0s\n",
            receiver.url()
        ),
    );
    let (hub, api) = setup(folder.path(), &receiver, "interval = \"100ms\"\n").await;
    let before = eventually_some("the rule is there", async || rule(&api, "bad").await).await;
    assert_eq!((&before["provisioned"], &before["version"]), (&json!(rules), &json!(1)));
    let (status, answer) = api
        .post("/events/batch", &json!([{"type": "bad", "source": "a"}]))
        .await;
    assert_eq!(status, 202, "{answer}");
    let firing = eventually_some("it fires", async || alert(&api, "bad").await).await;
    eventually("it is told by the provisioned channel", async || {
        receiver.received().len() == 1
    })
    .await;

    // The API refuses, and names the file.
    let path = format!("/api/v1/rules/{}", before["id"].as_str().unwrap());
    let mut edited = before.clone();
    edited["threshold"] = json!(7);
    for (status, answer) in [
        api.put(&path, &edited).await,
        api.delete(&path).await,
        api.delete("/api/v1/channels/ops").await,
        api.put("/api/v1/routing", &json!({"route": {}})).await,
    ] {
        assert_eq!(status, 409, "{answer}");
        let file = answer["details"]["file"].as_str().unwrap();
        assert!(answer["message"].as_str().unwrap().contains(file), "{answer}");
    }

    // A level is no part of the question: the alert goes on.
    put(&folder, "web.toml", &RULES.replace("\"error\"", "\"critical\""));
    eventually("the level is another", async || {
        rule(&api, "bad").await.unwrap()["level"] == "critical"
    })
    .await;
    let (now, going) = (rule(&api, "bad").await.unwrap(), alert(&api, "bad").await.unwrap());
    assert_eq!(
        (&now["id"], &now["version"], &going["id"]),
        (&before["id"], &json!(2), &firing["id"])
    );

    // A broken file leaves everything as it is, and says where it is wrong.
    put(
        &folder,
        "web.toml",
        &RULES.replace("level = \"error\"", "levl = \"error\""),
    );
    eventually("the mistake is shown", async || {
        !file(&api, &rules).await["mistakes"][0].is_null()
    })
    .await;
    assert_eq!(hub.metric("streamflow_provisioning_files").await, 2.0);
    let metrics = hub.metrics().await;
    assert!(
        metrics.contains("streamflow_provisioning_files{state=\"broken\"} 1"),
        "{metrics}"
    );
    let shown = file(&api, &rules).await["mistakes"].to_string();
    assert!(shown.contains("web.toml:8: bad: levl: unknown field"), "{shown}");
    let log = std::fs::read_to_string(hub.dir().join("hub.log")).unwrap();
    let line = log
        .lines()
        .find(|line| line.contains("a provisioning file is wrong"))
        .unwrap();
    for part in ["web.toml", "line=8", "levl"] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    assert_eq!(alert(&api, "bad").await.unwrap()["id"], firing["id"]);
    let check = hub.command(&["config", "check"]);
    let said = String::from_utf8_lossy(&check.stderr).into_owned();
    assert!(
        check.status.code() == Some(2) && said.contains("web.toml:8: bad: levl"),
        "{said}"
    );

    // Another question begins anew.
    put(&folder, "web.toml", &RULES.replace("threshold = 1", "threshold = 5"));
    eventually("the old question's alert is over", async || {
        alert(&api, "bad").await.is_none()
    })
    .await;
    assert_eq!(rule(&api, "bad").await.unwrap()["id"], before["id"]);
    // A file that is gone takes its rules along.
    std::fs::remove_file(&rules).unwrap();
    eventually("the rule is gone", async || rule(&api, "bad").await.is_none()).await;
    let (status, _) = api.get("/api/v1/channels/ops").await;
    assert_eq!(status, 200, "what other files hold stays");
}

#[tokio::test]
async fn what_is_refused_for_want_of_something_is_taken_in_when_that_is_there() {
    let (folder, receiver) = (TempDir::new().unwrap(), Receiver::start().await);
    let text = format!(
        "{RULES}escalation = \"night\"\n[[channels]]\nname = \"ops\"\nplugin = \"webhook\"\nconfig = {{url = \"{}\"}}\n",
        receiver.url()
    );
    let rules = put(&folder, "web.toml", &text);
    let (_hub, api) = setup(folder.path(), &receiver, "interval = \"100ms\"\n").await;
    eventually("the policy is missed", async || {
        file(&api, &rules).await["mistakes"].to_string().contains("night")
    })
    .await;
    let channel = json!({"name": "other", "plugin": "webhook", "config": {"url": receiver.url()}});
    let (status, answer) = api.post("/api/v1/channels", &channel).await;
    assert!(status.is_success(), "{answer}");
    let policy = json!({"name": "night", "steps": [{"after": "5m", "channels": ["other"]}]});
    let (status, answer) = api.post("/api/v1/escalations", &policy).await;
    assert!(status.is_success(), "{answer}");
    eventually("the rule is there", async || rule(&api, "bad").await.is_some()).await;
    assert_eq!(file(&api, &rules).await["mistakes"], json!([]));
}

#[tokio::test]
async fn sighup_reads_at_once_and_a_restart_keeps_state() {
    let (folder, receiver) = (TempDir::new().unwrap(), Receiver::start().await);
    put(&folder, "web.toml", RULES);
    let (mut hub, api) = setup(folder.path(), &receiver, "interval = \"1h\"\n").await;
    let before = eventually_some("the rule is there", async || rule(&api, "bad").await).await;
    put(&folder, "more.yml", "- name: more\n  threshold: 1\n");
    hub.process().signal("HUP");
    eventually("the new file is taken in", async || rule(&api, "more").await.is_some()).await;
    assert_eq!(
        api.post("/events/batch", &json!([{"type": "bad", "source": "a"}]))
            .await
            .0,
        202
    );
    let firing = eventually_some("it fires", async || alert(&api, "bad").await).await;
    assert!(hub.terminate().success());
    hub.restart();
    let api = hub.admin().await;
    eventually("the files are taken in", async || {
        hub.metric("streamflow_provisioning_rules").await >= 2.0
    })
    .await;
    assert_eq!(rule(&api, "bad").await.unwrap(), before, "nothing about it is new");
    assert_eq!(alert(&api, "bad").await.unwrap()["id"], firing["id"]);

    // Without the folder what it held can be edited.
    let text = std::fs::read_to_string(hub.config()).unwrap();
    let rest: Vec<&str> = text.lines().filter(|line| !line.starts_with("rules = ")).collect();
    std::fs::write(hub.config(), rest.join("\n")).unwrap();
    assert!(hub.terminate().success());
    hub.restart();
    let api = hub.admin().await;
    eventually("it is let go", async || {
        rule(&api, "bad").await.unwrap()["provisioned"].is_null()
    })
    .await;
    let path = format!("/api/v1/rules/{}", before["id"].as_str().unwrap());
    assert_eq!(api.delete(&path).await.0, 204);
}

#[tokio::test]
async fn rules_for_prometheus_are_evaluated_and_what_is_not_supported_is_refused() {
    let (folder, receiver) = (TempDir::new().unwrap(), Receiver::start().await);
    let text = "groups:\n  - name: test\n    interval: 1s\n    rules:\n      - alert: AlwaysThree\n        expr: vector(3) > 1\n        \
                for: 1s\n        labels:\n          severity: page\n        annotations:\n          summary: \"it is {{ $value }}\"\n";
    let path = put(&folder, "prometheus.yml", text);
    let (mut hub, api) = setup(folder.path(), &receiver, "interval = \"100ms\"\n").await;
    let firing = eventually_some("it fires", async || alert(&api, "AlwaysThree").await).await;
    assert_eq!(
        (&firing["rule_id"], &firing["level"], &firing["title"]),
        (&json!("external"), &json!("critical"), &json!("it is 3"))
    );
    eventually("the group says so", async || {
        let (_, answer) = api.get("/api/v1/provisioning").await;
        answer["data"]["groups"][0]["rules"][0]["firing"] == 1
    })
    .await;
    let check = hub.command(&["config", "check"]);
    assert!(check.status.success(), "{check:?}");

    put(
        &folder,
        "prometheus.yml",
        &text.replace("vector(3) > 1", "vector(3) < 1"),
    );
    eventually("it is over", async || alert(&api, "AlwaysThree").await.is_none()).await;
    put(
        &folder,
        "prometheus.yml",
        &text.replace("vector(3)", "holt_winters(a[1h], 1, 1)"),
    );
    let check = hub.command(&["config", "check"]);
    let said = String::from_utf8_lossy(&check.stderr).into_owned();
    assert!(
        check.status.code() == Some(2) && said.contains("prometheus.yml:6: test: AlwaysThree: expr"),
        "{said}"
    );
    // It is broken now, and what it held goes on, also after a restart.
    let group = async |api: &Api| api.get("/api/v1/provisioning").await.1["data"]["groups"][0].clone();
    eventually("the mistake is shown", async || {
        !file(&api, &path).await["mistakes"][0].is_null()
    })
    .await;
    assert!(hub.terminate().success());
    hub.restart();
    let api = hub.admin().await;
    eventually("the group is evaluated", async || {
        !group(&api).await["evaluated_at"].is_null()
    })
    .await;
    assert_eq!(group(&api).await["rules"][0]["expr"], "vector(3) < 1");
    // A folder without a file takes nothing away until somebody asks for it.
    std::fs::remove_file(&path).unwrap();
    eventually("it says so", async || {
        let (_, answer) = api.get("/api/v1/provisioning").await;
        answer["data"]["error"]
            .as_str()
            .is_some_and(|error| error.contains("SIGHUP"))
    })
    .await;
    assert_eq!(group(&api).await["name"], "test");
    hub.process().signal("HUP");
    eventually("no group is left", async || {
        api.get("/api/v1/provisioning").await.1["data"]["groups"] == json!([])
    })
    .await;
}

#[tokio::test]
async fn the_shipped_example_is_right_and_yaml_is_read_by_the_command_line() {
    let example = streamflow_tests::binaries::root().join("deploy/config/rules.d/example.toml");
    let run = |arguments: &[&str]| {
        let binary = streamflow_tests::binaries::binary("streamflow-hub");
        std::process::Command::new(binary).args(arguments).output().unwrap()
    };
    let output = run(&["rule", "check", example.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    let text = std::fs::read_to_string(&example).unwrap();
    let folder = TempDir::new().unwrap();
    // What is commented out is right as well.
    let rest: Vec<&str> = text
        .lines()
        .map(|line| line.strip_prefix("# ").unwrap_or(line))
        .collect();
    let at = rest.iter().position(|line| line.starts_with("[[channels]]")).unwrap();
    let commented = put(
        &folder,
        "commented.toml",
        &format!("{RULES}\n{}", rest[at..].join("\n").replace("\n#\n", "\n\n")),
    );
    let output = run(&["rule", "check", &commented]);
    assert!(output.status.success(), "{output:?}");
    let yaml = put(
        &folder,
        "r.yaml",
        "rules:\n- name: a\n  threshold: 1\n  match: type == 'bad'\n",
    );
    for arguments in [["rule", "check", &yaml], ["rule", "explain", &yaml]] {
        let output = run(&arguments);
        assert!(output.status.success(), "{output:?}");
    }
    put(&folder, "r.yaml", "rules:\n- name: a\n  threshold: 1\n  windw: 1m\n");
    let output = run(&["rule", "check", &yaml]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.code() == Some(2) && said.contains("r.yaml:4: a: windw"),
        "{said}"
    );
}
