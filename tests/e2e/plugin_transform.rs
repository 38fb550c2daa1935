//! Transforms on a real agent before a real hub: what they take out never arrives, what they fail on is contained and counted, and kill -9 loses and doubles nothing.

use std::{fs, net::TcpListener, path::Path};

use serde_json::{Value, json};
use streamflow_tests::{Agent, AgentConfig, Api, Hub, HubConfig, eventually};

use crate::{
    plugin_tools::alone,
    plugins::{built, plugin},
};

/// An agent that tails logs through one processor; `more` is TOML.
fn config(format: &str, processors: &str, more: &str) -> AgentConfig {
    let mut config = AgentConfig::tail(format);
    config.pipeline.push_str(processors);
    config.pipeline.push_str(more);
    config
}

/// The real component of the testbed as a processor of an agent.
fn looping(on_error: &str) -> String {
    let file = built("testbed/transform-loop.wasm");
    format!(
        "[plugins]\nallow_unsigned = true\n[[processors]]\nkind = \"plugin\"\nplugin = {file:?}\nname = \"loop\"\non_error = \"{on_error}\"\n"
    )
}

async fn messages(api: &Api) -> Vec<String> {
    let events = api.all_events(&json!({"types": ["log"], "order": "asc"})).await;
    let mut messages: Vec<String> = events
        .iter()
        .map(|event| event["data"]["message"].as_str().unwrap_or_default().to_owned())
        .collect();
    messages.sort();
    messages
}

fn status(agent: &Agent) -> Value {
    let output = agent.command(&["status", "--output", "json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn dropped(status: &Value, reason: &str) -> u64 {
    let all = status["dropped"].as_array().unwrap();
    all.iter().find(|one| one["reason"] == reason).unwrap()["events"]
        .as_u64()
        .unwrap()
}

#[tokio::test]
async fn an_address_is_taken_out_before_it_leaves_the_host() {
    let mut hub = Hub::start(&HubConfig::default());
    let api = hub.admin().await;
    let redact = built("redact-pii.wasm");
    // One that came with the agent needs no signature.
    let shipped = redact.parent().unwrap();
    let processors = format!(
        "[plugins]\nshipped_dir = {shipped:?}\n[[processors]]\nkind = \"plugin\"\nplugin = \"redact-pii\"\nconfig = {{ fields = [\"data.message\"] }}\n"
    );
    let mut agent = Agent::start(&config("text", &processors, ""), &hub);
    agent.write_log(
        "app.log",
        "a mail of jane.doe@example.org arrived\nnothing to see\nanother of JANE@EXAMPLE.ORG\n",
    );
    eventually("three events are stored", async || messages(&api).await.len() == 3).await;
    let stored = messages(&api).await;
    assert!(stored.contains(&"nothing to see".to_owned()), "{stored:?}");
    assert!(
        stored
            .iter()
            .any(|message| message.starts_with("a mail of ") && message.ends_with(" arrived")),
        "{stored:?}"
    );
    assert!(
        stored
            .iter()
            .all(|message| !message.to_lowercase().contains("example.org")),
        "{stored:?}"
    );
    let status = status(&agent);
    let [transform] = status["transforms"].as_array().unwrap().as_slice() else {
        panic!("{status}");
    };
    assert_eq!(
        (
            &transform["name"],
            &transform["state"],
            &transform["signature"],
            &transform["events"]
        ),
        (&json!("redact-pii"), &json!("active"), &json!("shipped"), &json!(3))
    );
    // Neither on the way nor on the disk.
    for folder in ["data/spool", "data/plugin-cache"] {
        for entry in fs::read_dir(agent.dir().join(folder)).unwrap() {
            let bytes = fs::read(entry.unwrap().path()).unwrap();
            assert!(!bytes.windows(8).any(|window| window == b"jane.doe"), "{folder}");
        }
    }
    assert!(agent.terminate().success());
    assert!(hub.terminate().success());
}

#[tokio::test]
async fn what_it_turns_away_and_what_it_fails_on_is_counted_and_the_rest_goes_on() {
    let mut hub = Hub::start(&HubConfig::default());
    let api = hub.admin().await;
    let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let metrics = format!("[metrics]\nlisten = \"{listen}\"\n");
    let mut agent = Agent::start(&config("text", &looping("drop"), &metrics), &hub);
    agent.write_log("app.log", "one\nsome noise\ntwo\n");
    eventually("two of three are stored", async || {
        messages(&api).await == ["one", "two"]
    })
    .await;
    let events = api.all_events(&json!({"types": ["log"]})).await;
    assert!(events.iter().all(|event| event["data"]["seen"] == true), "{events:?}");
    let source = &status(&agent)["sources"][0];
    assert_eq!((&source["events"], &source["filtered"]), (&json!(3), &json!(1)));

    // Each batch that it loops on is tried twice and given up; the third of them puts it into quarantine.
    let mut written = 3;
    let quarantined = async || status(&agent)["transforms"][0]["state"] == "quarantined";
    let mut round = 0;
    while !quarantined().await {
        round += 1;
        assert!(round < 20, "{}", status(&agent));
        agent.write_log("app.log", &format!("poison {round}\n"));
        written += 1;
        eventually("the poison is given up", async || {
            dropped(&status(&agent), "transform_failed") == written - 3
        })
        .await;
    }
    agent.write_log("app.log", "after\n");
    written += 1;
    eventually("on_error applies in quarantine", async || {
        dropped(&status(&agent), "transform_failed") == written - 3
    })
    .await;
    let status = status(&agent);
    let transform = &status["transforms"][0];
    assert!(
        transform["reason"]
            .as_str()
            .unwrap()
            .contains("5 failures within a minute"),
        "{transform}"
    );
    assert!(
        transform["last_error"].as_str().unwrap().contains("quarantine"),
        "{transform}"
    );
    // What was read is what was stored, what was turned away, and what was dropped by name.
    assert_eq!(status["sources"][0]["events"], json!(written));
    assert_eq!(
        written,
        2 + transform["turned_away"].as_u64().unwrap() + transform["dropped"].as_u64().unwrap(),
        "{status}"
    );
    assert_eq!(messages(&api).await, ["one", "two"]);
    let text = reqwest::get(format!("http://{listen}/metrics"))
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    for line in [
        "streamflow_agent_transform_quarantined{transform=\"loop\"} 1".to_owned(),
        format!(
            "streamflow_agent_transform_events_dropped_total{{transform=\"loop\"}} {}",
            written - 3
        ),
        "streamflow_agent_transform_turned_away_total{transform=\"loop\"} 1".to_owned(),
        format!(
            "streamflow_agent_events_dropped_total{{reason=\"transform_failed\"}} {}",
            written - 3
        ),
    ] {
        assert!(text.contains(&line), "{line}\n{text}");
    }
    assert!(agent.terminate().success());
    assert!(hub.terminate().success());
}

#[tokio::test]
async fn with_pass_events_go_on_as_they_were_and_with_block_they_wait_for_a_better_one() {
    let mut hub = Hub::start(&HubConfig::default());
    let api = hub.admin().await;
    let mut agent = Agent::start(&config("text", &looping("pass"), ""), &hub);
    agent.write_log("app.log", "poison\n");
    eventually("the poison passes", async || messages(&api).await == ["poison"]).await;
    assert_eq!(status(&agent)["transforms"][0]["passed"], 1);
    agent.terminate();

    let text = fs::read_to_string(agent.config()).unwrap();
    fs::write(agent.config(), text.replace("\"pass\"", "\"block\"")).unwrap();
    agent.restart();
    agent.write_log("app.log", "more poison\n");
    eventually("it fails again and again", async || {
        let failures = status(&agent)["transforms"][0]["failures"].clone();
        let count = |cause: &str| -> u64 {
            let all = failures.as_array().unwrap();
            all.iter().find(|one| one[0] == cause).unwrap()[1].as_u64().unwrap()
        };
        count("deadline") >= 5 && count("quarantined") >= 1
    })
    .await;
    assert_eq!(dropped(&status(&agent), "transform_failed"), 0);
    assert_eq!(messages(&api).await, ["poison"]);
    // A source that waits for its transform does not keep the agent from stopping, and reads the line again.
    assert!(agent.terminate().success());
    fs::write(agent.config(), without_processor(&agent.config())).unwrap();
    agent.restart();
    eventually("what had waited arrives", async || {
        messages(&api).await == ["more poison", "poison"]
    })
    .await;
    assert!(agent.terminate().success());
    assert!(hub.terminate().success());
}

fn without_processor(config: &Path) -> String {
    let text = fs::read_to_string(config).unwrap();
    text.split("[plugins]").next().unwrap().to_owned()
}

#[tokio::test]
async fn kills_of_the_agent_lose_and_double_nothing_behind_a_transform() {
    let mut hub = Hub::start(&HubConfig {
        fixed_ports: true,
        ..HubConfig::default()
    });
    let api = hub.admin().await;
    let mut agent = Agent::start(&config("text", &looping("drop"), ""), &hub);
    let mut lines = 0;
    for round in 0..10 {
        let text: String = (lines..lines + 300)
            .map(|n| format!("line {n:05}{}\n", if n % 10 == 0 { " noise" } else { "" }))
            .collect();
        agent.write_log("app.log", &text);
        lines += 300;
        // In the midst of its work, at another place each time.
        tokio::time::sleep(std::time::Duration::from_millis(20 + round * 37 % 150)).await;
        agent.kill();
        agent.restart();
    }
    let wanted: Vec<String> = (0..lines)
        .filter(|n| n % 10 != 0)
        .map(|n| format!("line {n:05}"))
        .collect();
    eventually("everything that was not turned away is stored", async || {
        messages(&api).await.len() >= wanted.len()
    })
    .await;
    let stored = messages(&api).await;
    assert!(stored == wanted, "{} for {}", stored.len(), wanted.len());
    let events = api.all_events(&json!({"types": ["log"]})).await;
    assert!(events.iter().all(|event| event["data"]["seen"] == true));
    assert!(agent.terminate().success());
    assert!(hub.terminate().success());
}

#[tokio::test]
async fn validate_names_what_is_wrong_with_a_plugin_and_test_shows_what_it_makes_of_lines() {
    let file = built("testbed/transform-loop.wasm");
    let broken = config(
        "text",
        &format!(
            "[[processors]]\nkind = \"plugin\"\nplugin = {file:?}\n[[processors]]\nkind = \"plugin\"\nplugin = \"/nowhere/gone.wasm\"\n[[processors]]\nkind = \"plugin\"\n\
             plugin = {:?}\nname = \"rule\"\n",
            built("error-burst.wasm")
        ),
        "",
    );
    let agent = Agent::prepare(&broken, "127.0.0.1:1");
    let output = agent.command(&["validate"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    for part in [
        "processors[0].plugin: not signed; set [plugins] allow_unsigned = true",
        "processors[1].plugin: /nowhere/gone.wasm",
        "processors[2].plugin: not signed",
        "agent.toml:",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }

    let agent = Agent::prepare(&config("text", &looping("drop"), ""), "127.0.0.1:1");
    let valid = agent.command(&["validate"]);
    assert!(valid.status.success(), "{valid:?}");
    let mut child = std::process::Command::new(streamflow_tests::binaries::binary("streamflow-agent"))
        .args(["test", "--config"])
        .arg(agent.config())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"fine\nnoise\npoison\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    let event: Value = serde_json::from_str(stdout.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&event["data"]["message"], &event["data"]["seen"]),
        (&json!("fine"), &json!(true))
    );
    assert!(stderr.contains("line 2: turned away"), "{stderr}");
    assert!(
        stderr.contains("line 3: transform loop:") && stderr.contains("dropped"),
        "{stderr}"
    );
    assert_eq!(output.status.code(), Some(1));
}

#[tokio::test]
async fn the_tools_of_plugins_take_transforms_and_a_hub_says_where_they_run() {
    let dir = tempfile::tempdir().unwrap();
    let events = dir.path().join("events.ndjson");
    let event = |message: &str| json!({"type": "log", "source": "s", "data": {"message": message}}).to_string();
    fs::write(
        &events,
        format!("{}\n{}\n", event("ask eva@example.org"), event("nothing")),
    )
    .unwrap();
    let file = built("redact-pii.wasm");
    let (file, events) = (file.to_str().unwrap(), events.to_str().unwrap());
    let chosen = r#"{"fields": ["data.message"]}"#;
    let run = |config: &str| {
        let arguments = [
            "plugin",
            "run",
            file,
            "--events",
            events,
            "--transform-config",
            config,
            "--output",
            "json",
        ];
        alone(&arguments)
    };
    let (status, out, err) = run(chosen);
    assert_eq!(status, Some(0), "{err}");
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [first, second, sum] = lines.as_slice() else {
        panic!("{out}");
    };
    assert!(
        !first.to_string().contains("eva@") && first["data"]["message"].as_str().unwrap().starts_with("ask "),
        "{first}"
    );
    assert_eq!(second["data"]["message"], "nothing");
    assert_eq!(
        (&sum["events"], &sum["left"], &sum["turned_away"], &sum["calls"]),
        (&json!(2), &json!(2), &json!(0), &json!(1))
    );
    let (status, out, err) = run(r#"{"fields": ["data.message"], "action": "drop_event"}"#);
    assert_eq!(status, Some(0), "{err}");
    assert!(out.contains("\"turned_away\":1") && !out.contains("eva@"), "{out}");
    let (status, _, err) = run(r#"{"fields": 7}"#);
    assert!(status == Some(2) && err.contains("config.fields"), "{err}");

    let (status, out, err) = alone(&[
        "plugin",
        "bench",
        file,
        "--transform-config",
        chosen,
        "--batch",
        "256",
        "--time",
        "10ms",
        "--output",
        "json",
    ]);
    assert_eq!(status, Some(0), "{err}");
    let cost: Value = serde_json::from_str(out.trim()).unwrap();
    assert_eq!(cost["batches"][0]["events"], 256);
    assert!(cost["batches"][0]["batch_ns"].as_u64().unwrap() > 0, "{cost}");
    let (status, out, _) = alone(&["plugin", "check", file]);
    assert!(status == Some(0) && out.contains("a transform plugin"), "{out}");
    assert!(out.contains("shown      config:fields\n"), "{out}");
    let rule = built("error-burst.wasm");
    let (status, out, _) = alone(&["plugin", "check", rule.to_str().unwrap()]);
    assert!(
        status == Some(0) && out.contains("shown      timestamp, severity, source\n"),
        "{out}"
    );

    let mut hub = Hub::start(&HubConfig::default());
    let api = hub.admin().await;
    let listed = plugin(&api, "redact-pii").await;
    assert_eq!(
        (&listed["state"], &listed["kind"]),
        (&json!("for_agents"), &json!("transform"))
    );
    assert!(listed["reason"].as_str().unwrap().contains("agent.toml"), "{listed}");
    let shipped = plugin(&api, "error-burst").await;
    assert_eq!(shipped["envelope"], json!(["timestamp", "severity", "source"]));
    let copy = dir.path().join("mine.wasm");
    fs::copy(built("testbed/transform-loop.wasm"), &copy).unwrap();
    let refused = hub.command(&["plugin", "install", copy.to_str().unwrap(), "--approve"]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(
        !refused.status.success() && said.contains("transforms run in agents"),
        "{said}"
    );
    assert!(hub.terminate().success());
}
