//! Rules in files: checked, explained, tested and tried on the past from the command line.

use std::{path::Path, process::Command};

use serde_json::Value;
use streamflow_tests::binaries::{binary, root};

use crate::past::{EVENTS, START, errors, filled};

fn rule(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(binary("streamflow-hub"))
        .arg("rule")
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap_or(-1),
        text(output.stdout),
        text(output.stderr),
    )
}

/// The files in the documentation: code blocks whose first line names them.
fn documented(dir: &Path) {
    let text = std::fs::read_to_string(root().join("docs/analytics.md")).unwrap();
    let mut written = 0;
    for block in text.split("\n```").skip(1).step_by(2) {
        let (_, contents) = block.split_once('\n').unwrap();
        let name = contents.lines().next().and_then(|line| line.strip_prefix("# "));
        if let Some(name) = name.filter(|name| name.ends_with(".toml")) {
            std::fs::write(dir.join(name), contents).unwrap();
            written += 1;
        }
    }
    assert!(written >= 2, "the documentation shows rules and their tests");
}

#[test]
fn the_documented_rules_pass_their_documented_tests() {
    let dir = tempfile::tempdir().unwrap();
    documented(dir.path());
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (code, out, error) = rule(&["check", &path("rules.toml")]);
    assert_eq!(code, 0, "{out}{error}");
    let (code, out, error) = rule(&["test", &path("tests.toml")]);
    assert_eq!(code, 0, "{out}{error}");
    let (code, out, _) = rule(&["explain", &path("rules.toml")]);
    assert!(
        code == 0 && out.contains("columnar") && out.contains("bloom filter"),
        "{out}"
    );
    // Each wrong expectation is a difference, and the exit status says so.
    let text = std::fs::read_to_string(path("tests.toml")).unwrap();
    std::fs::write(
        path("tests.toml"),
        text.replace("value = 5", "value = 6")
            .replace("notifications = 1", "notifications = 7"),
    )
    .unwrap();
    let (code, out, error) = rule(&["test", &path("tests.toml")]);
    assert!(code == 1 && error.contains("failed"), "{out}{error}");
    for part in [
        "FAIL",
        "- expected",
        "value 6",
        "+ fired",
        "value 5",
        "notifications instead of 7",
    ] {
        assert!(out.contains(part), "{part} is not in {out}");
    }
    let (code, out, _) = rule(&["test", "--output", "json", &path("tests.toml")]);
    let json: Value = serde_json::from_str(&out).unwrap();
    assert!(code == 1 && json["failed"].as_u64() >= Some(1), "{json}");
    // A file that is wrong is wrong usage.
    std::fs::write(path("tests.toml"), text.replace("name =", "nam =")).unwrap();
    let (code, _, error) = rule(&["test", &path("tests.toml")]);
    assert!(code == 2 && error.contains("tests"), "{error}");
}

#[test]
fn every_mistake_in_rule_files_is_named_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let bad = file(
        "bad.json",
        r#"[{"name": "a", "match": "data.ms >> 5", "thrshold": 1, "window": "soon"}, {"name": "b", "condition": "value > 'x'", "level": "loud"}]"#,
    );
    let good = file("good.toml", "name = \"c\"\nthreshold = 3\n");
    let (code, out, error) = rule(&["check", &bad, &good]);
    assert!(code == 2 && out.is_empty(), "{out}");
    for part in [
        "a: match",
        "1 | data.ms >> 5",
        "^",
        "a: thrshold",
        "a: window",
        "b: level",
        "b: condition",
        "have no order",
    ] {
        assert!(error.contains(part), "{part} is not in {error}");
    }
    let (code, out, _) = rule(&["check", "--output", "json", &bad]);
    let json: Value = serde_json::from_str(&out).unwrap();
    assert!(
        code == 2 && json["mistakes"].as_array().is_some_and(|all| all.len() >= 5),
        "{json}"
    );
    let (code, out, _) = rule(&["check", &good]);
    assert!(code == 0 && out.contains("1 rule is fine"), "{out}");
    assert_eq!(rule(&["check"]).0, 2, "wrong usage");
    assert_eq!(rule(&["check", "/nowhere.toml"]).0, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_lists_explains_and_backtests() {
    let (hub, api) = filled(false).await;
    let (status, saved) = api.post("/api/v1/rules", &errors()).await;
    assert_eq!(status, 201, "{saved}");
    let url = format!("http://{}", hub.http);
    let ask = |arguments: &[&str]| {
        let target = ["--hub", url.as_str(), "--token", api.token.as_str()];
        rule(&arguments.iter().copied().chain(target).collect::<Vec<_>>())
    };
    let (code, out, error) = ask(&["list"]);
    assert!(
        code == 0 && out.contains("errors") && out.contains("count() over 1m"),
        "{out}{error}"
    );
    let (code, out, error) = ask(&["explain", "errors"]);
    assert!(
        code == 0 && out.contains("data.status >= 500") && out.contains("numbers") && out.contains("on_close"),
        "{out}{error}"
    );
    let (from, to) = (START.to_string(), (START + EVENTS * 200).to_string());
    let (code, out, error) = ask(&["backtest", "errors", "--output", "json", "--from", &from, "--to", &to]);
    assert_eq!(code, 0, "{error}");
    let by_id: Value = serde_json::from_str(&out).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rule.json");
    std::fs::write(&file, errors().to_string()).unwrap();
    let (code, out, error) = ask(&[
        "backtest",
        file.to_str().unwrap(),
        "--output",
        "json",
        "--from",
        &from,
        "--to",
        &to,
    ]);
    assert_eq!(code, 0, "{error}");
    let by_file: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(by_id["data"], by_file["data"]);
    assert!(by_id["fired"].as_u64() > Some(0), "{by_id}");
    let (code, out, _) = ask(&["backtest", "errors", "--from", &from, "--to", &to]);
    assert!(
        code == 0 && out.contains("would have fired") && out.contains("source=web-0"),
        "{out}"
    );
    let (code, _, error) = ask(&["backtest", "nothing"]);
    assert!(code == 2 && error.contains("neither a file nor a rule"), "{error}");
    let (code, _, error) = ask(&["backtest", "errors", "--from", "yesterday"]);
    assert!(code == 2 && error.contains("--from"), "{error}");
    let (code, _, error) = rule(&["list", "--hub", "http://127.0.0.1:1", "--token", "x"]);
    assert!(code == 1 && error.contains("does not answer"), "{error}");
}
