//! Plugins in other languages: the rule of `sdk/examples` in JavaScript, Python and C beside the same one in Rust.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use streamflow_tests::{
    Hub, HubConfig,
    binaries::{binary, root},
    eventually, eventually_some,
};

use crate::{
    plugin_tools::{alone, lines},
    plugins::{blocks, built, command, open_alerts, plugin, rule, send, shell},
};

const CONFIG: &str = r#"{"threshold":5.5,"many":40}"#;

/// Builds an example. Where its tools cannot be had the script says so, and there is none; with CI=true that fails.
fn example(name: &str) -> Option<PathBuf> {
    let output = Command::new(root().join("scripts/build-examples.sh"))
        .arg(name)
        .env("COMPONENTIZE", binary("streamflow-componentize"))
        .output()
        .unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    println!("{said}");
    assert!(output.status.success(), "{said}");
    let file = root().join(format!("sdk/examples/dist/{name}.wasm"));
    file.is_file().then_some(file)
}

/// Sources that come and go, some of them not ASCII; values that are missing, no numbers, or not above the threshold. In the end there are more
/// sources than a rule remembers.
fn events() -> String {
    const START: i64 = 1_767_225_600_000;
    let often = ["oven-1", "öfen-2", "炉-3", "🔥-4"];
    let event = |n: usize| {
        let source = match n % 3 {
            0 => format!("host-{}", n % 97),
            _ => often[n / 3 % 4].to_owned(),
        };
        let data = match n % 5 {
            0 => json!({}),
            1 => json!({"value": "hot"}),
            2 => json!({"value": -1.5}),
            3 => json!({"value": n % 12}),
            _ => json!({"value": (n % 40) as f64 / 4.0}),
        };
        json!({"type": "reading", "source": source, "timestamp": START + 10 * n as i64, "data": data}).to_string()
    };
    let further = ["early"].into_iter().map(str::to_owned);
    let further = further.chain((0..2500).map(|n| format!("further-{n}")));
    let further = further.chain(["early", "late"].into_iter().flat_map(|name| vec![name.to_owned(); 50]));
    let high = |(n, source): (usize, String)| {
        let at = START + 30_000 + n as i64;
        json!({"type": "reading", "source": source, "timestamp": at, "data": {"value": 9}}).to_string()
    };
    let all = (0..3000).map(event).chain(further.enumerate().map(high));
    all.collect::<Vec<_>>().join("\n")
}

/// What a rule says of the events, and what it logs.
fn run(file: &Path, events: &Path) -> (Vec<Value>, Vec<Value>) {
    let [file, events] = [file, events].map(|path| path.to_str().unwrap());
    let arguments = ["plugin", "run", file, "--events", events, "--rule-config", CONFIG];
    let (status, out, err) = alone(&[&arguments[..], &["--batch", "500", "--output", "json"]].concat());
    assert_eq!(status, Some(0), "{err}");
    let (verdicts, others) = lines(&out).into_iter().partition(|line| line["state"].is_string());
    (verdicts, others)
}

fn says_what_the_one_in_rust_says(name: &str) {
    let Some(file) = example(name) else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.ndjson");
    std::fs::write(&path, events()).unwrap();
    let (verdicts, others) = run(&file, &path);
    let (expected, _) = run(&built("testbed/rule-count.wasm"), &path);
    assert_eq!(verdicts, expected);
    let mut keys: Vec<&str> = verdicts.iter().filter_map(|line| line["key"].as_str()).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["early", "oven-1", "öfen-2", "炉-3", "🔥-4"]);
    let logged = others.iter().find_map(|line| line["log"].as_str());
    assert_eq!(logged, Some(format!("counting with {CONFIG}").as_str()));
    let sum = others.last().unwrap();
    assert_eq!((&sum["events"], &sum["errors"]), (&json!(5601), &json!(0)), "{sum}");
}

#[test]
fn a_rule_in_javascript_says_what_the_one_in_rust_says() {
    says_what_the_one_in_rust_says("javascript");
}

#[test]
fn a_rule_in_javascript_on_spidermonkey_says_what_the_one_in_rust_says() {
    says_what_the_one_in_rust_says("spidermonkey");
}

#[test]
fn a_rule_in_python_says_what_the_one_in_rust_says() {
    says_what_the_one_in_rust_says("python");
}

#[test]
fn a_rule_in_c_says_what_the_one_in_rust_says() {
    says_what_the_one_in_rust_says("c");
}

/// The guide's commands, from a new folder to one file.
#[tokio::test]
async fn a_new_rule_in_javascript_is_packed_signed_and_installed_and_its_counts_outlive_the_hub() {
    if example("javascript").is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    shell(&blocks("guide-javascript"), dir.path(), &[]);
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (file, key) = (path("too-many/too-many.wasm"), path("mine"));
    for arguments in [
        &["plugin", "keygen", &key][..],
        &["plugin", "sign", &file, "--key", &format!("{key}.key")],
    ] {
        let (status, _, err) = alone(arguments);
        assert_eq!(status, Some(0), "{arguments:?}: {err}");
    }
    let public = std::fs::read_to_string(path("mine.pub")).unwrap();
    let mut hub = Hub::start(&HubConfig {
        plugins: format!("trusted_keys = [{:?}]", public.lines().last().unwrap()),
        more: "[analytics]\ncheckpoint_interval = \"1s\"\n".to_owned(),
        ..HubConfig::default()
    });
    let api = hub.admin().await;
    let told = command(&hub, &["plugin", "install", &file, "--approve"]);
    assert!(told.contains("too-many 1.0.0: active"), "{told}");
    let config = json!({"threshold": 5, "many": 3});
    let plugin_rule =
        json!({"name": "many", "kind": "plugin", "plugin": "too-many", "config": config, "match": "type == 'reading'"});
    rule(&api, plugin_rule).await;

    let reading = || json!({"type": "reading", "source": "öfen-2", "data": {"value": 7.5}});
    send(&api, &[reading(), reading()]).await;
    eventually("the rule has seen the events", async || {
        hub.metric("streamflow_plugin_events_total").await >= 2.0
    })
    .await;
    hub.kill();
    hub.restart();
    let api = hub.admin().await;
    assert!(open_alerts(&api, "many").await.is_empty());
    send(&api, &[reading()]).await;
    let alert = eventually_some("the third one fires", async || {
        open_alerts(&api, "many").await.first().cloned()
    })
    .await;
    assert_eq!(alert["labels"]["key"], "öfen-2", "{alert}");

    // A state of more bytes than a function of JavaScript takes arguments.
    let source = |n: usize| format!("{n:0>100}");
    let first = |n: usize| json!({"type": "reading", "source": source(n), "data": {"value": 7.5}});
    let many: Vec<Value> = (0..900).map(first).collect();
    let (status, answer) = api.post("/events/batch", &many.into()).await;
    assert_eq!(status, 202, "{answer}");
    eventually("the rule has seen them", async || {
        hub.metric("streamflow_plugin_events_total").await >= 900.0
    })
    .await;
    assert!(hub.terminate().success());
    hub.restart();
    let api = hub.admin().await;
    send(&api, &[first(7), first(7)]).await;
    eventually("the third one fires again", async || {
        let open = open_alerts(&api, "many").await;
        open.iter().any(|alert| alert["labels"]["key"] == source(7))
    })
    .await;
    let info = plugin(&api, "too-many").await;
    assert!(info["signature"].as_str().unwrap().starts_with("signed by "), "{info}");
    assert_eq!(info["traps"], 0, "{info}");
}

/// The folders that `plugin new` makes hold everything but the compiler.
#[test]
fn a_new_rule_in_c_is_built_and_packed() {
    if example("c").is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let script = "set -eu\nstreamflow-hub plugin new mine --language c\ncd mine\nsh build.sh\nstreamflow-hub plugin pack rule.wasm\n";
    let output = shell(script, dir.path(), &[]);
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("mine.wasm"),
        "{output:?}"
    );
    let (status, _, err) = alone(&["plugin", "new", "other", "--language", "c", "--kind", "channel"]);
    assert!(status == Some(2) && err.contains("rule"), "{err}");
}
