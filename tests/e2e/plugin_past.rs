//! Rules of kind `plugin` over the stored past: backtests and explanations by the plugin itself.

use serde_json::{Value, json};
use streamflow_proto::event::time::parse_rfc3339;
use streamflow_tests::{Api, Hub, HubConfig, binaries::root, eventually, eventually_some, hub};

use crate::past::START;

fn ms(time: &Value) -> i64 {
    parse_rfc3339(time.as_str().unwrap_or_default()).unwrap_or_else(|| panic!("{time} is no time"))
}

async fn send(api: &Api, events: &[Value]) {
    let (status, answer) = api.post("/events/batch", &json!(events)).await;
    assert_eq!(status, 202, "{answer}");
}

fn burst() -> Value {
    json!({"name": "burst", "kind": "plugin", "plugin": "error-burst", "config": {"errors": 5, "within_seconds": 60}, "match": "type == 'error'",
           "level": "error"})
}

/// When, for whom, with which value, and until when, by the plugin's rule: five errors of a source within a minute.
fn expected() -> Value {
    json!([
        [START + 4000, "web-1", 5.0, START + 65_000],
        [START + 605_000, "web-1", 5.0, null],
        [START + 606_000, "web-2", 5.0, null]
    ])
}

/// The same facts, out of order and in several batches.
async fn fill(api: &Api) {
    let error =
        |source: &str, at: i64| json!({"type": "error", "severity": "high", "source": source, "timestamp": START + at});
    let mut events: Vec<Value> = Vec::new();
    events.extend((0..5).map(|n| error("web-1", n * 1000)));
    events.extend((0..4).map(|n| error("web-2", n * 1000)));
    events.extend([600, 601, 602, 604, 605].map(|at| error("web-1", at * 1000)));
    events.extend([600, 601, 602, 603, 606].map(|at| error("web-2", at * 1000)));
    events.extend((0..50).map(|n| json!({"type": "fine", "source": "web-3", "timestamp": START + n * 12_000})));
    for part in [2, 0, 1] {
        let of_part = events.iter().enumerate().filter(|(n, _)| n % 3 == part);
        let mut batch: Vec<Value> = of_part.map(|(_, event)| event.clone()).collect();
        batch.reverse();
        send(api, &batch).await;
    }
}

fn shown(report: &Value) -> Value {
    let one = |firing: &Value| {
        let resolved = firing["resolved_at"].as_str().map(|_| ms(&firing["resolved_at"]));
        json!([ms(&firing["at"]), firing["labels"]["source"], firing["value"], resolved])
    };
    hub::data(report).iter().map(one).collect()
}

async fn plugin(api: &Api, name: &str) -> Value {
    let (_, body) = api.get("/api/v1/plugins").await;
    let all = hub::data(&body);
    all.into_iter().find(|info| info["name"] == name).unwrap_or(Value::Null)
}

#[tokio::test]
async fn a_plugin_is_tried_on_the_past_before_its_rule_is_saved() {
    for merge in [false, true] {
        let more = if merge {
            "[storage]\nmerge_events = 10\nmerge_age = \"1s\"\n"
        } else {
            ""
        };
        let hub = Hub::start(&HubConfig {
            more: more.to_owned(),
            ..HubConfig::default()
        });
        let api = hub.admin().await;
        fill(&api).await;
        if merge {
            eventually("frames are merged", async || {
                api.get("/api/v1/stats").await.1["data"]["inbox_frames"] == 0
            })
            .await;
        }
        let range = (START, START + 620_000);
        let body = json!({"rule": burst(), "from": range.0, "to": range.1});
        let (status, report) = api.post("/api/v1/rules/backtest", &body).await;
        assert_eq!(status, 200, "{report}");
        assert_eq!(shown(&report), expected(), "{report}");
        assert_eq!(
            (&report["fired"], &report["notifications"], &report["endings"]),
            (&json!(3), &json!(3), &json!(1)),
            "{report}"
        );
        let notes = report["notes"].to_string();
        assert!(
            notes.contains("error-burst 1.0.0 began at") && notes.contains("without any memory"),
            "{notes}"
        );
        // Begun in the middle of the burst, it sees too few.
        let late = json!({"rule": burst(), "from": START + 1000, "to": START + 60_000});
        let (_, report) = api.post("/api/v1/rules/backtest", &late).await;
        assert_eq!(report["fired"], 0, "{report}");
        assert_eq!(
            plugin(&api, "error-burst").await["calls"],
            0,
            "a trial does not count as work of the live plugin"
        );

        // Saved, and off; on the command line.
        let mut saved = burst();
        saved["enabled"] = json!(false);
        let (status, rule) = api.post("/api/v1/rules", &saved).await;
        assert_eq!(status, 201, "{rule}");
        let path = format!("/api/v1/rules/{}/backtest", rule["data"]["id"].as_str().unwrap());
        let (_, again) = api
            .post(&path, &json!({"from": range.0, "to": range.1, "version": "1.0.0"}))
            .await;
        assert_eq!(shown(&again), expected(), "{again}");
        let (from, to) = (range.0.to_string(), range.1.to_string());
        let output = hub.command(&[
            "rule", "backtest", "burst", "--from", &from, "--to", &to, "--output", "json",
        ]);
        let text = String::from_utf8(output.stdout).unwrap();
        let told: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert_eq!(shown(&told), expected(), "{told}");

        // What does not fit is said, with its field.
        let (status, error) = api
            .post(&path, &json!({"from": range.0, "to": range.1, "version": "9.9.9"}))
            .await;
        assert_eq!(
            (status.as_u16(), &error["details"]["field"]),
            (400, &json!("version")),
            "{error}"
        );
        assert!(error["message"].as_str().unwrap().contains("there is 1.0.0"), "{error}");
        for (change, field) in [
            (json!({"plugin": "pigeon"}), "plugin"),
            (json!({"config": {"errors": 0}}), "config.errors"),
        ] {
            let mut wrong = burst();
            wrong
                .as_object_mut()
                .unwrap()
                .extend(change.as_object().unwrap().clone());
            let (status, error) = api.post("/api/v1/rules/backtest", &json!({"rule": wrong})).await;
            assert!(status == 400 && error["details"].to_string().contains(field), "{error}");
        }
        let threshold = json!({"rule": {"name": "t", "threshold": 1}, "version": "1.0.0"});
        let (status, error) = api.post("/api/v1/rules/backtest", &threshold).await;
        assert_eq!(
            (status.as_u16(), &error["details"]["field"]),
            (400, &json!("version")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_plugin_that_breaks_in_a_trial_goes_on_live_and_versions_are_compared() {
    let hub = Hub::start(&HubConfig {
        plugins: "allow_unsigned = true".to_owned(),
        ..HubConfig::default()
    });
    let api = hub.admin().await;
    let install = |file: &str| {
        let path = root().join("plugins/dist/testbed").join(file);
        let output = hub.command(&["plugin", "install", path.to_str().unwrap(), "--approve"]);
        assert!(output.status.success(), "{output:?}");
    };
    install("rule-trap.wasm");
    let event = |kind: &str, source: &str, at: i64| json!({"type": kind, "source": source, "timestamp": START + at});
    send(&api, &[event("a", "s", 0), event("a", "s", 1000)]).await;
    send(&api, &[event("poison", "p", 2000), event("a", "s", 3000)]).await;
    let body = |version: Option<&str>| json!({"rule": {"name": "trap", "kind": "plugin", "plugin": "testbed-rule-trap"}, "from": START, "to": START + 10_000, "version": version});
    for _ in 0..6 {
        let (status, report) = api.post("/api/v1/rules/backtest", &body(None)).await;
        assert_eq!((status.as_u16(), &report["fired"]), (200, &json!(1)), "{report}");
        assert_eq!(report["data"][0]["labels"]["key"], "s");
        let notes = report["notes"].to_string();
        assert!(
            notes.contains("the plugin broke at") && notes.contains("cannot look at row"),
            "{notes}"
        );
        assert_eq!(ms(&report["to"]), START + 2000, "judged up to there: {report}");
    }
    let info = plugin(&api, "testbed-rule-trap").await;
    assert_eq!(
        (&info["state"], &info["traps"]),
        (&json!("active"), &json!(0)),
        "{info}"
    );

    install("rule-trap2.wasm");
    let (_, mended) = api.post("/api/v1/rules/backtest", &body(None)).await;
    assert_eq!(mended["fired"], 2, "{mended}");
    assert!(!mended["notes"].to_string().contains("broke"), "{mended}");
    let (_, before) = api.post("/api/v1/rules/backtest", &body(Some("1.0.0"))).await;
    assert!(
        before["fired"] == 1 && before["notes"].to_string().contains("broke"),
        "the version before is still there to be compared: {before}"
    );
}

#[tokio::test]
async fn an_alert_of_a_plugin_is_explained_from_the_log() {
    let hub = Hub::start(&HubConfig::default());
    let api = hub.admin().await;
    let (status, saved) = api.post("/api/v1/rules", &burst()).await;
    assert_eq!(status, 201, "{saved}");
    let error =
        |source: &str, n: usize| json!({"type": "error", "severity": "high", "source": source, "data": {"n": n}});
    let mut events: Vec<Value> = (0..6).map(|n| error("web-1", n)).collect();
    events.push(error("web-2", 0));
    events.push(json!({"type": "fine", "source": "web-1"}));
    send(&api, &events).await;
    let alert = eventually_some("the alert fires", async || {
        let (_, alerts) = api.get("/api/v1/alerts?state=firing").await;
        hub::data(&alerts).into_iter().next()
    })
    .await;
    let path = format!("/api/v1/alerts/{}/explain", alert["id"].as_str().unwrap());
    let (status, explained) = api.get(&path).await;
    assert_eq!(status, 200, "{explained}");
    let explained = &explained["data"];
    let shown = explained["events"].as_array().unwrap();
    assert!(
        explained["events_total"] == 6
            && shown
                .iter()
                .all(|event| event["type"] == "error" && event["source"] == "web-1"),
        "{explained}"
    );
    let windows = explained["windows"].as_array().unwrap();
    assert!(
        windows
            .iter()
            .any(|said| said["met"] == true && said["value"].as_f64() >= Some(5.0)),
        "{explained}"
    );
    assert_eq!(explained["complete"], true, "{explained}");
    assert!(explained["notes"].to_string().contains("without memory"), "{explained}");
}
