//! What goes wrong between an alert and its receiver: hanging, slow down, errors for long, templates that fail, a clock that jumps.

use std::{path::Path, process::Command};

use serde_json::{Value, json};
use streamflow_tests::{
    Api, Hub, HubConfig, Receiver, binaries, eventually, eventually_some, hub, hub::PASSWORD, process::Process,
};

async fn made(api: &Api, path: &str, body: Value) {
    let (status, answer) = api.post(path, &body).await;
    assert_eq!(status, 201, "{path}: {answer}");
}

/// A rule that tells these channels of each new source of `bad` events.
fn rule(channels: &[&str]) -> Value {
    json!({"name": "bad", "match": "type == 'bad'", "window": "1h", "group_by": ["source"], "condition": "value >= threshold", "threshold": 1,
        "channels": channels})
}

async fn fire(api: &Api, source: &str) {
    let (status, answer) = api.post("/events", &json!({"type": "bad", "source": source})).await;
    assert_eq!(status, 202, "{answer}");
}

async fn setup(alerting: &str, receivers: &[(&str, &Receiver)]) -> (Hub, Api) {
    let hub = Hub::start(&HubConfig {
        egress: receivers.iter().map(|(_, receiver)| receiver.address.clone()).collect(),
        more: format!("[alerting]\n{alerting}\n"),
        ..HubConfig::default()
    });
    let api = hub.admin().await;
    for (name, receiver) in receivers {
        let channel = json!({"name": name, "plugin": "webhook", "config": {"url": receiver.url()}});
        made(&api, "/api/v1/channels", channel).await;
    }
    let names: Vec<&str> = receivers.iter().map(|(name, _)| *name).collect();
    made(&api, "/api/v1/rules", rule(&names)).await;
    (hub, api)
}

fn keys(receiver: &Receiver) -> Vec<String> {
    let key = |one: &streamflow_tests::receiver::Received| one.headers["idempotency-key"].to_str().unwrap().to_owned();
    receiver.received().iter().map(key).collect()
}

#[tokio::test]
async fn a_channel_that_hangs_holds_up_nobody_and_gets_its_message_when_it_answers_again() {
    let (dead, alive) = (Receiver::start().await, Receiver::start().await);
    let alerting = "send_timeout = \"1s\"\nretry_first = \"100ms\"\nretry_longest = \"500ms\"\nbreaker_failures = 0";
    let (_hub, api) = setup(alerting, &[("dead", &dead), ("alive", &alive)]).await;
    dead.hold();
    for source in ["a", "b", "c"] {
        fire(&api, source).await;
    }
    eventually("the other channel hears of all", async || alive.count() == 3).await;
    eventually("an attempt at the first has been given up", async || dead.count() > 3).await;
    let (_, waiting) = api.get("/api/v1/deliveries?state=pending&channel=dead").await;
    assert_eq!(hub::data(&waiting).len(), 3, "{waiting}");
    dead.let_go();
    eventually("it gets everything", async || {
        let (_, done) = api.get("/api/v1/deliveries?state=delivered&channel=dead").await;
        hub::data(&done).len() == 3
    })
    .await;
    let mut distinct = keys(&dead);
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), 3, "the same keys over all attempts");
    assert_eq!(alive.count(), 3, "and nobody else hears twice");
    let (_, waiting) = api.get("/api/v1/deliveries?state=pending").await;
    assert!(hub::data(&waiting).is_empty(), "{waiting}");
}

#[tokio::test]
async fn a_receiver_that_asks_to_wait_is_waited_for() {
    let receiver = Receiver::start().await;
    let (_hub, api) = setup(
        "retry_first = \"10ms\"\nretry_longest = \"20ms\"",
        &[("ops", &receiver)],
    )
    .await;
    receiver.reply("/hook", 429, Some(3), json!({}));
    fire(&api, "a").await;
    let waiting = eventually_some("the first attempt is noted", async || {
        let (_, log) = api.get("/api/v1/deliveries").await;
        hub::data(&log).into_iter().find(|delivery| delivery["attempts"] == 1)
    })
    .await;
    assert!(waiting["error"].as_str().unwrap().contains("429"), "{waiting}");
    receiver.reply("/hook", 200, None, json!({}));
    eventually("the second attempt arrives", async || {
        let (_, log) = api.get("/api/v1/deliveries").await;
        hub::data(&log)[0]["state"] == "delivered"
    })
    .await;
    let received = receiver.received();
    assert_eq!(received.len(), 2, "nothing in between, although the own wait is 20 ms");
    let between = received[1].at - received[0].at;
    assert!(between.as_millis() >= 2900, "{between:?}");
    let keys = keys(&receiver);
    assert_eq!(keys[0], keys[1]);
}

#[tokio::test]
async fn errors_for_a_long_time_end_in_one_delivery_under_one_key() {
    let receiver = Receiver::start().await;
    // Minutes, as fast as seconds.
    let alerting = "retry_first = \"20ms\"\nretry_longest = \"100ms\"\nbreaker_failures = 5\nbreaker_pause = \"100ms\"\nbreaker_longest = \"200ms\"";
    let (hub, api) = setup(alerting, &[("ops", &receiver)]).await;
    receiver.reply("/hook", 500, None, json!({"error": "down"}));
    for source in ["a", "b", "c"] {
        fire(&api, source).await;
    }
    eventually("many attempts", async || receiver.count() >= 30).await;
    assert!(hub.metric("streamflow_channel_breaker_opened_total").await >= 1.0);
    let (_, failed) = api.get("/api/v1/deliveries?state=failed").await;
    assert!(hub::data(&failed).is_empty(), "it gives nothing up: {failed}");
    receiver.reply("/hook", 200, None, json!({}));
    eventually("everything is delivered", async || {
        let (_, done) = api.get("/api/v1/deliveries?state=delivered").await;
        hub::data(&done).len() == 3
    })
    .await;
    let mut distinct = keys(&receiver);
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), 3);
}

#[tokio::test]
async fn a_template_that_fails_when_it_is_sent_is_replaced_by_the_hub_s_own_words() {
    let receiver = Receiver::start().await;
    let (hub, api) = setup("", &[("ops", &receiver)]).await;
    // Fine on every sample, and too long a way for this one alert.
    let template = "{% if labels.source == 'huge' %}{% for a in range(1000) %}{% for b in range(1000) %}{{ a }}{% endfor %}{% endfor %}{% endif %}own words";
    let channel = json!({"plugin": "webhook", "config": {"url": receiver.url()}, "title_template": template, "body_template": template});
    let (status, answer) = api.put("/api/v1/channels/ops", &channel).await;
    assert_eq!(status, 200, "{answer}");
    fire(&api, "small").await;
    eventually("the template is used", async || receiver.count() == 1).await;
    assert!(receiver.received()[0].text.contains("own words"));
    fire(&api, "huge").await;
    eventually("the message goes out all the same", async || receiver.count() == 2).await;
    let text = receiver.received()[1].text.clone();
    assert!(text.contains("bad: 1 >= 1") && text.contains("source=huge"), "{text}");
    assert!(!text.contains("own words"), "{text}");
    assert!(hub.metric("streamflow_template_failures_total").await >= 1.0);
}

/// Keys of the messages that an alert of this source fires.
fn firing(receiver: &Receiver, source: &str) -> Vec<String> {
    let own = |one: &streamflow_tests::receiver::Received| {
        one.body["status"] == "firing" && one.body["commonLabels"]["source"] == source
    };
    let own = receiver.received().into_iter().filter(own);
    own.map(|one| one.headers["idempotency-key"].to_str().unwrap().to_owned())
        .collect()
}

/// Makes the wall clock of programs what a file says; their monotonic clock goes on.
const LIBFAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

fn faked(dir: &Path, clock: &Path) -> Process {
    let mut process = Process::start(
        Command::new(binaries::binary("streamflow-hub"))
            .args(["serve", "--ready-json", "--config"])
            .arg(dir.join("hub.toml"))
            .env("STREAMFLOW_ADMIN_PASSWORD", PASSWORD)
            .env("LD_PRELOAD", LIBFAKETIME)
            .env("FAKETIME_TIMESTAMP_FILE", clock)
            .env("FAKETIME_NO_CACHE", "1")
            .env("DONT_FAKE_MONOTONIC", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        &dir.join("faked.log"),
    );
    process.wait_for_event("ready");
    process
}

#[tokio::test]
async fn a_clock_that_jumps_an_hour_loses_no_alert_and_tells_none_twice() {
    if !Path::new(LIBFAKETIME).exists() {
        assert!(
            std::env::var_os("CI").is_none(),
            "libfaketime is not installed; scripts/setup.sh test installs it"
        );
        println!("skipped: libfaketime is not installed (scripts/setup.sh test installs it)");
        return;
    }
    let receiver = Receiver::start().await;
    let mut hub = Hub::start(&HubConfig {
        egress: vec![receiver.address.clone()],
        fixed_ports: true,
        more: "[alerting]\nretry_first = \"50ms\"\n".to_owned(),
        ..HubConfig::default()
    });
    let api = hub.admin().await;
    made(
        &api,
        "/api/v1/channels",
        json!({"name": "ops", "plugin": "webhook", "config": {"url": receiver.url()}}),
    )
    .await;
    // Events that a clock which was set back makes look old still count.
    let mut patient = rule(&["ops"]);
    patient["allowed_lateness"] = json!("3h");
    made(&api, "/api/v1/rules", patient).await;
    assert!(hub.terminate().success());
    let clock = hub.dir().join("clock");
    let set = |offset: &str| {
        let next = hub.dir().join("clock.next");
        std::fs::write(&next, format!("{offset}\n")).unwrap();
        std::fs::rename(&next, &clock).unwrap();
    };
    // An hour back and forth, always later than the rule was made: what was stored before a rule is nothing to it.
    let jumps = ["+7200", "+10800", "+7200", "+3600", "+10800", "+3600", "+7200"];
    set(jumps[0]);
    let _process = faked(hub.dir(), &clock);
    for (round, offset) in jumps.iter().enumerate() {
        set(offset);
        // What was signed an hour ago, or will be, may be over: a person signs in again, and is let in.
        let api = hub.admin().await;
        let source = format!("s{round}");
        fire(&api, &source).await;
        eventually("it is told, whatever the clock says", async || {
            !firing(&receiver, &source).is_empty()
        })
        .await;
    }
    let api = hub.admin().await;
    eventually("everything is delivered", async || {
        let (_, waiting) = api.get("/api/v1/deliveries?state=pending").await;
        hub::data(&waiting).is_empty()
    })
    .await;
    let (_, alerts) = api.get("/api/v1/alerts?limit=1000").await;
    assert_eq!(
        hub::data(&alerts).len(),
        jumps.len(),
        "one alert for each source: {alerts}"
    );
    for round in 0..jumps.len() {
        assert_eq!(firing(&receiver, &format!("s{round}")).len(), 1, "told once");
    }
}
