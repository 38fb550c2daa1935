//! Rules and alerts against the stored past: backtests and explanations.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use streamflow_tests::{Api, Hub, HubConfig, eventually, eventually_some, hub};

/// A boundary of windows of every common size.
pub(crate) const START: i64 = 1_780_000_200_000 / 3_600_000 * 3_600_000;
const MINUTE: i64 = 60_000;

/// Event time, source, status and ms of event number `n`: one in 200 ms, three sources, bursts of errors.
fn facts(n: i64) -> (i64, String, i64, f64) {
    let at = START + n * 200;
    let burst = (n / 900) % 4 == 1;
    let status = if burst && n % 2 == 0 { 500 } else { 200 };
    (at, format!("web-{}", n % 3), status, (n % 100) as f64 / 2.0)
}

pub(crate) const EVENTS: i64 = 12_000;

pub(crate) async fn filled(merge: bool) -> (Hub, Api) {
    let more = if merge {
        "[storage]\nmerge_events = 1000\nmerge_age = \"1s\"\n"
    } else {
        ""
    };
    let hub = Hub::start(&HubConfig {
        more: more.to_owned(),
        ..HubConfig::default()
    });
    let api = hub.admin().await;
    // Stored in another order than that of time, as a backlog of several hosts would be.
    for part in [2, 0, 3, 1] {
        let mut lines = String::new();
        for n in (0..EVENTS).filter(|n| n % 4 == part) {
            let (at, source, status, ms) = facts(n);
            let event = json!({"type": "api.response", "source": source, "timestamp": at, "data": {"status": status, "ms": ms}});
            lines.push_str(&format!("{event}\n"));
        }
        let (status, answer) = api.post_raw("/events/batch", "application/x-ndjson", lines).await;
        assert_eq!(status, 202, "{answer}");
    }
    if merge {
        eventually("frames are merged", async || {
            api.get("/api/v1/stats").await.1["data"]["inbox_frames"] == 0
        })
        .await;
    }
    (hub, api)
}

pub(crate) fn errors() -> Value {
    json!({"name": "errors", "match": "type == 'api.response' && data.status >= 500", "aggregate": "count()", "window": "1m",
           "group_by": ["source"], "condition": "value >= threshold", "threshold": 40, "evaluate": "on_close", "channels": []})
}

/// Errors of each minute and source, worked out from the same facts.
fn expected(threshold: u64) -> BTreeMap<(i64, String), u64> {
    let mut counts = BTreeMap::new();
    for n in 0..EVENTS {
        let (at, source, status, _) = facts(n);
        if status >= 500 {
            *counts.entry((at / MINUTE * MINUTE, source)).or_insert(0) += 1;
        }
    }
    counts.retain(|_, count| *count >= threshold);
    counts
}

/// Milliseconds since 1970 of `2026-05-28T20:30:00.000Z`.
fn ms(time: &Value) -> i64 {
    let text = time.as_str().unwrap();
    let digits = |range: std::ops::Range<usize>| text[range].parse::<i64>().unwrap();
    let (year, month, day) = (digits(0..4), digits(5..7), digits(8..10));
    // Days from the civil calendar (H. Hinnant's algorithm).
    let (y, m) = if month <= 2 {
        (year - 1, month + 9)
    } else {
        (year, month - 3)
    };
    let era = y.div_euclid(400);
    let day_of_year = (153 * m + 2) / 5 + day - 1;
    let year_of_era = y - era * 400;
    let days = era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
    ((days * 24 + digits(11..13)) * 60 + digits(14..16)) * 60_000 + digits(17..19) * 1000 + digits(20..23)
}

#[tokio::test]
async fn a_rule_is_tried_on_the_past_before_it_is_saved() {
    for merge in [false, true] {
        let (hub, api) = filled(merge).await;
        let (from, to) = (START, START + EVENTS * 200);
        let body = json!({"rule": errors(), "from": from, "to": to});
        let (status, report) = api.post("/api/v1/rules/backtest", &body).await;
        assert_eq!(status, 200, "{report}");
        let windows = expected(40);
        // A group fires once for each run of minutes that hold.
        let begins: Vec<(i64, String)> = windows
            .keys()
            .filter(|(at, source)| !windows.contains_key(&(at - MINUTE, source.clone())))
            .cloned()
            .collect();
        let fired: Vec<(i64, String)> = hub::data(&report)
            .iter()
            .map(|one| {
                let start = ms(&one["window_start"]);
                let source = one["labels"]["source"].as_str().unwrap().to_owned();
                assert_eq!(ms(&one["at"]), start + MINUTE, "decided when the window closed");
                assert_eq!(one["state"], "firing");
                assert_eq!(one["value"].as_f64(), Some(windows[&(start, source.clone())] as f64));
                (start, source)
            })
            .collect();
        let mut sorted = fired.clone();
        sorted.sort();
        assert_eq!((sorted, fired.is_empty()), (begins.clone(), false), "{report}");
        assert_eq!(report["notifications"], json!(begins.len()), "nothing holds them back");
        assert!(report["took_ms"].is_number() && report["scanned"]["events"].is_number());
        assert_eq!(report["notes"], json!([]), "{report}");

        // Saved, and off: the same answer.
        let mut saved = errors();
        saved["enabled"] = json!(false);
        let (status, rule) = api.post("/api/v1/rules", &saved).await;
        assert_eq!(status, 201, "{rule}");
        let path = format!("/api/v1/rules/{}/backtest", rule["data"]["id"].as_str().unwrap());
        let (status, again) = api.post(&path, &json!({"from": from, "to": to})).await;
        assert_eq!((status.as_u16(), &again["data"]), (200, &report["data"]), "{again}");

        // `for` and suppression.
        let mut slow = errors();
        slow["for"] = json!("1m");
        slow["suppression_minutes"] = json!(600);
        let (_, held) = api
            .post("/api/v1/rules/backtest", &json!({"rule": slow, "from": from, "to": to}))
            .await;
        assert!(held["fired"].as_u64() < report["fired"].as_u64(), "{held}");
        let groups: std::collections::BTreeSet<String> =
            hub::data(&held).iter().map(|one| one["labels"].to_string()).collect();
        assert_eq!(held["notifications"], json!(groups.len()), "one for each group: {held}");

        // As lines, with progress before the result.
        let request = api
            .request(reqwest::Method::POST, "/api/v1/rules/backtest")
            .header("accept", "application/x-ndjson")
            .header("accept-encoding", "gzip")
            .json(&body);
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "application/x-ndjson");
        let text = response.text().await.unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let (last, progress) = lines.split_last().unwrap();
        assert_eq!((&last["type"], &last["data"]), (&json!("result"), &report["data"]));
        assert!(
            !progress.is_empty()
                && progress
                    .iter()
                    .all(|line| line["type"] == "progress" && line["progress"].is_number())
        );

        if merge {
            // Chunks that hold no such type are not read.
            let mut nobody = errors();
            nobody["match"] = json!("type == 'nobody.sends.this'");
            let (_, empty) = api
                .post(
                    "/api/v1/rules/backtest",
                    &json!({"rule": nobody, "from": from, "to": to}),
                )
                .await;
            assert_eq!(
                (&empty["scanned"]["chunks"], &empty["fired"]),
                (&json!(0), &json!(0)),
                "{empty}"
            );
            assert!(empty["skipped"].as_u64() > Some(0), "{empty}");
        }
        assert!(hub.metric("streamflow_backtests_total").await >= 4.0);
        assert_eq!(hub.metric("streamflow_backtests_running").await, 0.0);
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_backtest_is_said() {
    let hub = Hub::start(&HubConfig::default());
    let api = hub.admin().await;
    let try_it = async |rule: Value, from: Value, to: Value| {
        api.post("/api/v1/rules/backtest", &json!({"rule": rule, "from": from, "to": to}))
            .await
    };
    let mut wrong = errors();
    wrong["match"] = json!("type == 'a' &&\n kind == 'b'");
    wrong["window"] = json!("0s");
    let (status, error) = try_it(wrong, json!(0), json!(1)).await;
    assert_eq!(status, 400, "{error}");
    let errors_of = error["details"]["errors"].as_array().unwrap();
    assert!(
        errors_of
            .iter()
            .any(|e| e["field"] == "match" && e["line"] == 2 && e["column"] == 2),
        "{error}"
    );
    assert!(errors_of.iter().any(|e| e["field"] == "window"), "{error}");
    let (status, error) = try_it(errors(), json!(5), json!(5)).await;
    assert!(
        status == 400 && error["message"].as_str().unwrap().contains("before"),
        "{error}"
    );
    let (status, error) = try_it(json!({"name": "a", "thrshold": 1}), json!(0), json!(1)).await;
    assert!(
        status == 422 && error["message"].as_str().unwrap().contains("thrshold"),
        "{error}"
    );
    let (status, error) = api.post("/api/v1/rules/none/backtest", &json!({})).await;
    assert_eq!(status, 404, "{error}");
    let (status, error) = api.get("/api/v1/alerts/none/explain").await;
    assert_eq!(status, 404, "{error}");
    // Types are checked when a rule is saved.
    let mut typed = errors();
    typed["match"] = json!("type > 5");
    let (status, error) = api.post("/api/v1/rules", &typed).await;
    assert!(
        status == 400 && error["message"].as_str().unwrap().contains("have no order"),
        "{error}"
    );
    let (status, empty) = try_it(errors(), json!(0), json!(1)).await;
    assert_eq!((status.as_u16(), &empty["data"]), (200, &json!([])), "{empty}");
    assert_eq!(
        Api::anonymous(&api.base)
            .post("/api/v1/rules/backtest", &json!({}))
            .await
            .0,
        401
    );
}

#[tokio::test]
async fn an_alert_is_explained_from_the_log_also_after_kill_9() {
    let config = HubConfig {
        more: "[storage]\nmerge_events = 1000\nmerge_age = \"1s\"\n".to_owned(),
        ..HubConfig::default()
    };
    let mut hub = Hub::start(&config);
    let api = hub.admin().await;
    let rule = json!({"name": "too many", "match": "type == 'bad'", "aggregate": "sum(data.n)", "window": "10s",
                      "group_by": ["source", "data.zone"], "condition": "value >= threshold", "threshold": 10, "level": "error"});
    let (status, saved) = api.post("/api/v1/rules", &rule).await;
    assert_eq!(status, 201, "{saved}");
    let id = saved["data"]["id"].as_str().unwrap().to_owned();
    let batch: Vec<Value> = (0..8)
        .map(|n| json!({"type": if n < 6 { "bad" } else { "good" }, "source": "a", "data": {"n": 3, "zone": if n == 5 { "x" } else { "y" }}}))
        .collect();
    let (status, answer) = api.post("/events/batch", &batch.into()).await;
    assert_eq!(status, 202, "{answer}");
    let alert = eventually_some("the alert fires", async || {
        let (_, alerts) = api.get("/api/v1/alerts").await;
        hub::data(&alerts)
            .into_iter()
            .find(|alert| alert["state"] == "firing" || alert["state"] == "resolved")
    })
    .await;
    let path = format!("/api/v1/alerts/{}/explain", alert["id"].as_str().unwrap());
    let (status, explained) = api.get(&path).await;
    assert_eq!(status, 200, "{explained}");
    let explained = &explained["data"];
    assert_eq!(
        explained["events_total"], 5,
        "not those of the other zone or type: {explained}"
    );
    let events = explained["events"].as_array().unwrap();
    assert!(
        events.len() == 5 && events.iter().all(|e| e["type"] == "bad" && e["data"]["zone"] == "y"),
        "{explained}"
    );
    let window = explained["windows"]
        .as_array()
        .unwrap()
        .iter()
        .find(|w| w["met"] == true)
        .unwrap();
    assert!(window["value"].as_f64() >= Some(10.0), "{explained}");
    assert_eq!(explained["labels"], json!({"source": "a", "data.zone": "y"}));
    assert_eq!(
        (&explained["complete"], &explained["notes"]),
        (&json!(true), &json!([])),
        "{explained}"
    );
    let (_, few) = api.get(&format!("{path}?limit=2")).await;
    assert_eq!(
        (
            few["data"]["events"].as_array().map(Vec::len),
            &few["data"]["events_total"]
        ),
        (Some(2), &json!(5))
    );

    // The live alert and a backtest over the same time agree.
    let end = eventually_some("the window has ended", async || {
        let (_, report) = api.post(&format!("/api/v1/rules/{id}/backtest"), &json!({})).await;
        hub::data(&report)
            .into_iter()
            .next()
            .filter(|firing| firing["value"] == 15.0)
    })
    .await;
    assert_eq!(end["labels"], explained["labels"]);
    assert_eq!(
        end["window_start"], alert["data"]["first_window_start"],
        "{end} {alert}"
    );

    hub.kill();
    hub.restart();
    let api = hub.admin().await;
    let (status, again) = api.get(&path).await;
    assert_eq!(
        (status.as_u16(), &again["data"]["events_total"]),
        (200, &json!(5)),
        "{again}"
    );

    // When retention has removed the events, it says so.
    eventually("frames are merged", async || {
        api.get("/api/v1/stats").await.1["data"]["inbox_frames"] == 0
    })
    .await;
    let text = std::fs::read_to_string(hub.config()).unwrap();
    std::fs::write(hub.config(), text.replace("merge_age", "retention = \"1s\"\nmerge_age")).unwrap();
    hub.kill();
    hub.restart();
    let api = hub.admin().await;
    let gone = eventually_some("the events are gone", async || {
        let (_, answer) = api.get(&path).await;
        (answer["data"]["events_total"] == 0).then_some(answer)
    })
    .await;
    assert_eq!(gone["data"]["complete"], false, "{gone}");
    assert!(gone["data"]["notes"].to_string().contains("retention"), "{gone}");
    // Without its rule it is no longer known what it looked at.
    assert_eq!(api.delete(&format!("/api/v1/rules/{id}")).await.0, 204);
    let (status, orphan) = api.get(&path).await;
    assert!(
        status == 200 && orphan["data"]["notes"].to_string().contains("deleted"),
        "{orphan}"
    );
}
