//! What the hub tells of itself, its agents, plugins and channels; and the heartbeat that ceases when it is not well.

use serde_json::{Value, json};
use streamflow_tests::{
    Agent, AgentConfig, Api, Hub, HubConfig, Receiver, binaries::root, eventually, eventually_some, hub,
};

/// A hub that looks often, and tells what it finds to `told`.
async fn setup(more: &str, receivers: &[&Receiver], fixed_ports: bool) -> (Hub, Api) {
    let hub = Hub::start(&HubConfig {
        egress: receivers.iter().map(|receiver| receiver.address.clone()).collect(),
        plugins: "allow_unsigned = true".to_owned(),
        more: format!("[self]\ninterval = \"100ms\"\n{more}"),
        fixed_ports,
        ..HubConfig::default()
    });
    let api = hub.admin().await;
    made(
        &api,
        "/api/v1/channels",
        &json!({"name": "told", "plugin": "webhook", "config": {"url": receivers[0].url()}}),
    )
    .await;
    let tree = json!({"route": {"routes": [{"matchers": [{"name": "streamflow", "value": "self"}], "channels": ["told"],
        "group_by": ["..."], "group_wait": "0s", "group_interval": "1s"}]}});
    let (status, answer) = api.put("/api/v1/routing", &tree).await;
    assert_eq!(status, 200, "{answer}");
    (hub, api)
}

async fn made(api: &Api, path: &str, body: &Value) {
    let (status, answer) = api.post(path, body).await;
    assert_eq!(status, 201, "{path}: {answer}");
}

/// Status and labels of every notification of one built-in rule.
fn told(receiver: &Receiver, rule: &str) -> Vec<(String, Value)> {
    let all = receiver.received().into_iter();
    let own = all.filter(|one| one.body["alerts"][0]["labels"]["alertname"] == rule);
    own.map(|one| {
        let status = one.body["status"].as_str().unwrap_or_default().to_owned();
        (status, one.body["alerts"][0]["labels"].clone())
    })
    .collect()
}

fn statuses(receiver: &Receiver, rule: &str) -> Vec<String> {
    told(receiver, rule).into_iter().map(|(status, _)| status).collect()
}

async fn findings(api: &Api, key: &str) -> Vec<Value> {
    let (status, answer) = api.get("/api/v1/self").await;
    assert_eq!(status, 200, "{answer}");
    let checks = hub::data(&json!({"data": answer["data"]["checks"]}));
    let check = checks.iter().find(|check| check["key"] == key).cloned();
    hub::data(&json!({"data": check.unwrap_or_else(|| panic!("no check {key} in {answer}"))["findings"]}))
}

async fn open(api: &Api, rule: &str) -> Option<Value> {
    let (_, alerts) = api.get("/api/v1/alerts?limit=100").await;
    let alerts = hub::data(&alerts);
    let own = |alert: &&Value| alert["rule_name"] == rule && alert["resolved_at"].is_null();
    alerts.iter().find(own).cloned()
}

#[tokio::test]
async fn an_agent_that_is_killed_is_told_through_the_tree_and_so_is_its_return() {
    const RULE: &str = "streamflow: agent silent";
    let receiver = Receiver::start().await;
    let (mut hub, api) = setup("agent_silent_after = \"12s\"\n", &[&receiver], true).await;
    let mut agent = Agent::start(&AgentConfig::host_metrics(), &hub);
    let id = eventually_some("the agent is connected", async || {
        let (_, agents) = api.get("/api/v1/agents").await;
        let agent = hub::data(&agents).first().cloned()?;
        (agent["connected"] == true).then(|| agent["id"].as_str().unwrap().to_owned())
    })
    .await;
    agent.kill();
    eventually("it is told", async || !told(&receiver, RULE).is_empty()).await;
    let (status, labels) = told(&receiver, RULE)[0].clone();
    assert_eq!(status, "firing");
    assert_eq!(
        (&labels["agent"], &labels["check"], &labels["streamflow"]),
        (&json!(id), &json!("agent_silent"), &json!("self"))
    );
    assert!(labels["host"].is_string(), "{labels}");
    let alert = open(&api, RULE).await.unwrap();
    assert_eq!(
        (&alert["rule_id"], &alert["level"]),
        (&json!("self:agent_silent"), &json!("error"))
    );
    let message = alert["message"].as_str().unwrap();
    assert!(message.contains("agent revoke") && message.contains(&id), "{message}");
    assert_eq!(findings(&api, "agent_silent").await.len(), 1);

    // It is a rule that can be looked at and not be written.
    let (status, rule) = api.get("/api/v1/rules/self:agent_silent").await;
    assert_eq!((status.as_u16(), &rule["data"]["name"]), (200, &json!(RULE)));
    let (status, answer) = api
        .put("/api/v1/rules/self:agent_silent", &json!({"name": "x", "threshold": 1}))
        .await;
    assert!(
        status == 409 && answer["message"].as_str().unwrap().contains("[self]"),
        "{answer}"
    );
    assert_eq!(api.delete("/api/v1/rules/self:agent_silent").await.0, 409);
    let path = format!("/api/v1/alerts/{}/explain", alert["id"].as_str().unwrap());
    let (status, explained) = api.get(&path).await;
    assert!(
        status == 200 && explained.to_string().contains("the hub itself has seen it"),
        "{explained}"
    );

    // A hub that starts has heard of nobody: that ends nothing.
    hub.kill();
    hub.restart();
    let api = hub.admin().await;
    eventually("the hub has looked again", async || {
        !findings(&api, "agent_silent").await.is_empty()
    })
    .await;
    assert_eq!(open(&api, RULE).await.unwrap()["id"], alert["id"]);
    agent.restart();
    eventually("its return is told", async || {
        statuses(&receiver, RULE).contains(&"resolved".to_owned())
    })
    .await;
    assert_eq!(
        statuses(&receiver, RULE)
            .iter()
            .filter(|status| *status == "firing")
            .count(),
        1
    );

    // An agent that was taken off the allow-list is not missed.
    agent.kill();
    eventually("it is silent again", async || open(&api, RULE).await.is_some()).await;
    let revoked = hub.command(&["agent", "revoke", &id]);
    assert!(revoked.status.success(), "{revoked:?}");
    eventually("nobody misses it", async || open(&api, RULE).await.is_none()).await;
}

#[tokio::test]
async fn a_channel_that_fails_is_told_by_another_one() {
    const RULE: &str = "streamflow: channel failing";
    let (receiver, bad) = (Receiver::start().await, Receiver::start().await);
    bad.answer_next(&[500; 25]);
    let more = "[alerting]\nbreaker_failures = 3\nbreaker_pause = \"200ms\"\nbreaker_longest = \"200ms\"\nretry_first = \"10ms\"\nretry_longest = \"100ms\"\n";
    let (_hub, api) = setup(more, &[&receiver, &bad], false).await;
    made(
        &api,
        "/api/v1/channels",
        &json!({"name": "bad", "plugin": "webhook", "config": {"url": bad.url()}}),
    )
    .await;
    let rule = json!({"name": "any", "match": "type == 'x'", "window": "1h", "condition": "value >= threshold", "threshold": 1, "channels": ["bad"]});
    made(&api, "/api/v1/rules", &rule).await;
    let (status, answer) = api.post("/events/batch", &json!([{"type": "x", "source": "s"}])).await;
    assert_eq!(status, 202, "{answer}");
    eventually("the failing channel is told of", async || {
        !told(&receiver, RULE).is_empty()
    })
    .await;
    let (status, labels) = told(&receiver, RULE)[0].clone();
    assert_eq!((status.as_str(), &labels["channel"]), ("firing", &json!("bad")));
    eventually("it works again", async || {
        statuses(&receiver, RULE) == ["firing", "resolved"]
    })
    .await;
}

#[tokio::test]
async fn a_plugin_in_quarantine_is_told_and_so_is_its_way_out() {
    const RULE: &str = "streamflow: plugin quarantined";
    let receiver = Receiver::start().await;
    let (hub, api) = setup("", &[&receiver], false).await;
    let file = root().join("plugins/dist/testbed/rule-trap.wasm");
    let installed = hub.command(&["plugin", "install", file.to_str().unwrap(), "--approve"]);
    assert!(installed.status.success(), "{installed:?}");
    let rule = json!({"name": "trap", "kind": "plugin", "plugin": "testbed-rule-trap"});
    let (status, rule) = api.post("/api/v1/rules", &rule).await;
    assert_eq!(status, 201, "{rule}");
    for n in 0..5 {
        let event = json!([{"type": "poison", "source": format!("p{n}")}]);
        assert_eq!(api.post("/events/batch", &event).await.0, 202);
    }
    eventually("the quarantine is told", async || {
        statuses(&receiver, RULE) == ["firing"]
    })
    .await;
    assert_eq!(told(&receiver, RULE)[0].1["plugin"], "testbed-rule-trap");
    // A plugin goes when no rule needs it any more.
    let rule = rule["data"]["id"].as_str().unwrap();
    for (path, expected) in [
        ("/api/v1/plugins/testbed-rule-trap".to_owned(), 409),
        (format!("/api/v1/rules/{rule}"), 204),
        ("/api/v1/plugins/testbed-rule-trap".to_owned(), 204),
    ] {
        let (status, answer) = api.delete(&path).await;
        assert_eq!(status, expected, "{path}: {answer}");
    }
    eventually("it is over", async || {
        statuses(&receiver, RULE) == ["firing", "resolved"]
    })
    .await;
}

#[tokio::test]
async fn a_fresh_hub_is_quiet_and_a_check_is_switched_off_by_its_key() {
    let receiver = Receiver::start().await;
    // Every disk is used to a per cent; what has to last a minute is pending at first.
    let (hub, api) = setup("store_full_percent = 1\n", &[&receiver], false).await;
    let alert = eventually_some("a store that is nearly full is pending", async || {
        open(&api, "streamflow: store nearly full").await
    })
    .await;
    assert_eq!(alert["state"], "pending");
    let others = [
        "agent_silent",
        "agent_dropping",
        "agent_clock",
        "plugin_quarantined",
        "channel_failing",
        "log_lag",
        "certificate",
    ];
    for key in others {
        assert_eq!(findings(&api, key).await, Vec::<Value>::new(), "{key}");
    }
    assert!(
        hub.metrics()
            .await
            .contains("streamflow_self_findings{check=\"store_full\"} 1")
    );

    let off = Hub::start(&HubConfig {
        more: "[self]\ninterval = \"100ms\"\nstore_full_percent = 1\nstore_full = false\n".to_owned(),
        ..HubConfig::default()
    });
    let api = off.admin().await;
    eventually("it has looked", async || {
        !api.get("/api/v1/self").await.1["data"]["looked_at"].is_null()
    })
    .await;
    assert_eq!(findings(&api, "store_full").await, Vec::<Value>::new());
    let (_, rule) = api.get("/api/v1/rules/self:store_full").await;
    assert_eq!(rule["data"]["enabled"], false);
    let wrong = Hub::start(&HubConfig::default());
    std::fs::write(
        wrong.config(),
        "[self]\nstore_full_percent = 0\ninterval = \"1h\"\n[heartbeat]\nurl = \"ftp://x\"\n",
    )
    .unwrap();
    let output = wrong.command(&["config", "check"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{error}");
    for part in [
        "hub.toml:2: self.store_full_percent",
        "hub.toml:3: self.interval",
        "hub.toml:5: heartbeat.url",
    ] {
        assert!(error.contains(part), "{part} is not in {error}");
    }
}

#[tokio::test]
async fn the_heartbeat_goes_out_while_the_hub_is_well_and_ceases_when_it_cannot_write() {
    let outside = Receiver::start().await;
    let hub = Hub::start(&HubConfig {
        egress: vec![outside.address.clone()],
        more: format!(
            "[heartbeat]\nurl = {:?}\ninterval = \"1s\"\n[storage]\nmax_mib = 8\n",
            outside.url()
        ),
        ..HubConfig::default()
    });
    let api = hub.admin().await;
    eventually("heartbeats arrive", async || outside.received().len() >= 2).await;
    assert_eq!(outside.received()[0].body["status"], "ok");
    assert!(hub.metric("streamflow_heartbeat_last_success_timestamp_seconds").await > 1e9);
    // Noise does not compress, so the store is full soon.
    let mut state = 88_172_645_463_325_252_u64;
    let mut noise = || {
        let words = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            format!("{state:016x}")
        });
        words.take(2000).collect::<String>()
    };
    eventually("the store is full", async || {
        let event = json!({"type": "full", "source": "s", "data": {"noise": noise()}});
        api.post("/events", &event).await.0 == 503
    })
    .await;
    let count = async || {
        let metrics = hub.metrics().await;
        let line = metrics
            .lines()
            .find(|line| line.starts_with("streamflow_heartbeat_total{outcome=\"withheld\"}"));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .unwrap_or_default()
    };
    eventually("a heartbeat is withheld", async || count().await >= 1.0).await;
    // Whenever there is room again for a moment, a heartbeat may go out: what counts is that none does while they are withheld.
    let mut base = (outside.received().len(), count().await);
    eventually("several are withheld in a row, and none goes out", async || {
        let event = json!({"type": "full", "source": "s", "data": {"noise": noise()}});
        api.post("/events", &event).await;
        let now = (outside.received().len(), count().await);
        if now.0 != base.0 {
            base = now;
        }
        now.1 >= base.1 + 3.0
    })
    .await;
}
