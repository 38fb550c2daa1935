//! Fire drills: from a real agent to a person, every hop timed, and nothing else disturbed.

use serde_json::{Value, json};
use streamflow_tests::{Agent, AgentConfig, Api, Hub, HubConfig, Receiver, eventually, eventually_some, hub};

/// In the order in which they happen.
const HOPS: [&str; 10] = [
    "asked",
    "emitted",
    "spooled",
    "sent",
    "stored",
    "matched",
    "fired",
    "notified",
    "accepted",
    "acknowledged",
];

/// A hub with a rule that tells `ops`, a channel for drills, and what each of the two hears.
struct Stage {
    hub: Hub,
    api: Api,
    ops: Receiver,
    drill: Receiver,
}

async fn made(api: &Api, path: &str, body: Value) -> Value {
    let (status, answer) = api.post(path, &body).await;
    assert!(status == 201 || status == 202, "{path}: {status} {answer}");
    answer["data"].clone()
}

async fn setup(more: &str) -> Stage {
    let (ops, drill) = (Receiver::start().await, Receiver::start().await);
    let hub = Hub::start(&HubConfig {
        egress: vec![ops.address.clone(), drill.address.clone()],
        more: more.to_owned(),
        fixed_ports: true,
        ..HubConfig::default()
    });
    let api = hub.admin().await;
    for (name, receiver) in [("ops", &ops), ("drill", &drill)] {
        let channel = json!({"name": name, "plugin": "webhook", "config": {"url": receiver.url()}});
        made(&api, "/api/v1/channels", channel).await;
    }
    let rule = json!({"name": "api errors", "match": "type == 'api.response' && data.status >= 500", "window": "1h", "group_by": ["source"],
        "condition": "value >= threshold", "threshold": 2, "level": "critical", "labels": {"team": "web"}, "channels": ["ops"]});
    made(&api, "/api/v1/rules", rule).await;
    Stage { hub, api, ops, drill }
}

async fn send(api: &Api, kind: &str) {
    let event = json!({"type": kind, "source": "web-1", "data": {"status": 503}});
    let (status, answer) = api.post("/events", &event).await;
    assert_eq!(status, 202, "{answer}");
}

/// The drill when it is over.
async fn ended(api: &Api, id: &str) -> Value {
    eventually_some("the drill is over", async || {
        let (_, answer) = api.get(&format!("/api/v1/drills/{id}")).await;
        let drill = answer["data"].clone();
        (drill["state"] != "running").then_some(drill)
    })
    .await
}

fn hops(drill: &Value) -> Vec<String> {
    let hops = drill["hops"].as_array().cloned().unwrap_or_default();
    hops.iter().map(|hop| hop["hop"].as_str().unwrap().to_owned()).collect()
}

async fn connected(api: &Api) -> String {
    eventually_some("the agent is connected", async || {
        let (_, agents) = api.get("/api/v1/agents").await;
        let agents = hub::data(&agents);
        let agent = agents.iter().find(|agent| agent["connected"] == true)?;
        Some(agent["name"].as_str()?.to_owned())
    })
    .await
}

#[tokio::test]
async fn a_drill_goes_from_a_real_agent_to_a_person_and_disturbs_nothing() {
    let Stage { hub, api, ops, drill } = setup("").await;
    let _agent = Agent::start(&AgentConfig::tail("event"), &hub);
    let agent = connected(&api).await;
    // One more would make the rule fire; the drill's event is not that one.
    send(&api, "api.response").await;
    let begun = made(
        &api,
        "/api/v1/drills",
        json!({"rule": "api errors", "agent": agent, "channels": ["drill"]}),
    )
    .await;
    let id = begun["id"].as_str().unwrap().to_owned();
    assert_eq!(begun["would_tell"], json!(["ops"]), "{begun}");
    let message = eventually_some("the channel for drills hears of it", async || drill.received().pop()).await;
    let alert = &message.body["alerts"][0];
    assert_eq!(message.body["status"], "firing");
    assert!(
        message.body.to_string().contains("DRILL: api errors"),
        "{}",
        message.body
    );
    assert_eq!(alert["labels"]["drill"], id.as_str(), "{alert}");
    assert_eq!(
        alert["labels"]["source"], "web-1",
        "the newest event that the rule matched is the model"
    );

    let (_, shown) = api.get(&format!("/api/v1/drills/{id}")).await;
    assert_eq!(shown["data"]["state"], "running", "a person is waited for: {shown}");
    let alert_id = eventually_some("the drill knows its alert", async || {
        let (_, shown) = api.get(&format!("/api/v1/drills/{id}")).await;
        shown["data"]["alert_id"].as_str().map(str::to_owned)
    })
    .await;
    let (status, answer) = api
        .post(
            &format!("/api/v1/alerts/{alert_id}/acknowledge"),
            &json!({"comment": "here"}),
        )
        .await;
    assert_eq!(status, 200, "{answer}");
    let over = ended(&api, &id).await;
    assert_eq!(
        (&over["state"], &over["lost_at"]),
        (&json!("passed"), &Value::Null),
        "{over}"
    );
    assert_eq!(hops(&over), HOPS, "{over}");
    assert!(over["hops"].to_string().contains("\"detail\":\"admin\""), "{over}");

    // Its alert ended with it, its event can be found and is marked, and no rule has seen it.
    eventually("its end is told as well", async || {
        drill.received().iter().any(|one| one.body["status"] == "resolved")
    })
    .await;
    let marked = json!({"filter": format!("metadata.streamflow_drill == '{id}'"), "limit": 10});
    let (_, found) = api.post("/api/v1/events/query", &marked).await;
    let found = hub::data(&found);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["id"], over["event_id"]);
    let (_, rules) = api.get("/api/v1/rules?limit=1000").await;
    assert!(!rules.to_string().contains(&id), "nobody sees the copy of the rule");
    made(
        &api,
        "/api/v1/rules",
        json!({"name": "marker", "match": "type == 'marker'", "condition": "value >= threshold", "threshold": 1, "level": "info"}),
    )
    .await;
    send(&api, "api.response").await;
    send(&api, "marker").await;
    let open = eventually_some("what was stored later is judged", async || {
        let (_, open) = api.get("/api/v1/alerts?state=firing").await;
        let open = hub::data(&open);
        open.iter().any(|alert| alert["rule_name"] == "marker").then_some(open)
    })
    .await;
    let real = open.iter().find(|alert| alert["rule_name"] == "api errors").unwrap();
    assert_eq!(real["value"], 2.0, "two real events, and not the drill's: {real}");
    eventually("ops hears of the real alert", async || ops.count() > 0).await;
    assert_eq!(ops.count(), 1, "and of it alone");
    let metrics = hub.metrics().await;
    assert!(
        metrics.contains("streamflow_drills_total{outcome=\"passed\"} 1"),
        "{metrics}"
    );
    assert!(metrics.contains("streamflow_drill_hop_duration_seconds_count{hop=\"acknowledged\"} 1"));
    assert_eq!(hub.metric("streamflow_drills_running").await, 0.0);
}

// The receiver answers while the command waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_agent_it_says_so_and_can_begin_in_the_hub_from_the_command_line() {
    let Stage { hub, api, ops, drill } = setup("[drills]\nchannels = [\"drill\"]\n").await;
    let (status, error) = api.post("/api/v1/drills", &json!({"rule": "api errors"})).await;
    assert_eq!(status, 409, "{error}");
    assert!(
        error["message"].as_str().unwrap().contains("no agent is connected"),
        "{error}"
    );
    for (request, expected, field) in [
        (json!({"rule": "nothing", "from_hub": true}), 404, ""),
        (json!({"rule": "api errors", "agent": "nobody"}), 404, ""),
        (json!({"from_hub": true}), 400, "rule"),
        (
            json!({"rule": "api errors", "from_hub": true, "channels": ["pigeon"]}),
            400,
            "channels",
        ),
        (
            json!({"rule": "api errors", "from_hub": true, "channels": ["ops"], "page": true}),
            400,
            "channels",
        ),
        (
            json!({"rule": "api errors", "from_hub": true, "event": {"type": "other"}}),
            400,
            "event",
        ),
        (
            json!({"rule": "api errors", "from_hub": true, "deadline": "0s"}),
            400,
            "deadline",
        ),
    ] {
        let (status, error) = api.post("/api/v1/drills", &request).await;
        assert_eq!(status, expected, "{request}: {error}");
        if !field.is_empty() {
            assert_eq!(error["details"]["field"], field, "{request}: {error}");
        }
    }
    let event = r#"{"type":"api.response","source":"web-7","data":{"status":500}}"#;
    let arguments = [
        "alert",
        "drill",
        "api errors",
        "--from-hub",
        "--no-ack",
        "--wait",
        "--event",
        event,
        "--output",
        "json",
    ];
    let output = hub.command(&arguments);
    assert!(output.status.success(), "{output:?}");
    let over: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(over["state"], "passed", "{over}");
    let wanted: Vec<&str> = HOPS
        .into_iter()
        .filter(|hop| !["emitted", "spooled", "sent", "acknowledged"].contains(hop))
        .collect();
    assert_eq!(hops(&over), wanted, "{over}");
    assert!(drill.received()[0].body.to_string().contains("web-7"));

    // Labels go by the routing tree, and page only whom a drill may page.
    let routing = json!({"route": {"channels": ["ops"], "group_wait": "0s", "routes": [{"matchers": [{"name": "team", "value": "db"}], "channels": ["drill"]}]}});
    assert_eq!(api.put("/api/v1/routing", &routing).await.0, 200);
    let before = drill.received().len();
    let text = hub.command(&[
        "alert",
        "drill",
        "team=db,service=orders",
        "--from-hub",
        "--no-ack",
        "--page",
        "--wait",
    ]);
    let shown = String::from_utf8(text.stdout).unwrap();
    assert!(
        text.status.success() && shown.contains("passed") && shown.contains("accepted"),
        "{shown}"
    );
    assert!(drill.received().len() > before);
    assert!(ops.received().is_empty(), "ops is of another route");
    let listed = hub.command(&["alert", "drills"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("team=db") && listed.contains("api errors"), "{listed}");
    let refused = hub.command(&["alert", "drill", "api errors"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no agent is connected"));
}

#[tokio::test]
async fn a_drill_that_is_lost_names_the_hop_and_the_reason() {
    let Stage { hub, api, drill, .. } = setup("[alerting]\nretry_first = \"100ms\"\n").await;
    let filtering = AgentConfig {
        pipeline: format!(
            "{}[[processors]]\nkind = \"filter\"\nmatch = \"type != 'api.response'\"\n",
            AgentConfig::tail("event").pipeline
        ),
        ..AgentConfig::tail("event")
    };
    let _agent = Agent::start(&filtering, &hub);
    connected(&api).await;
    let event = json!({"type": "api.response", "source": "web-1", "data": {"status": 500}});
    let request = json!({"rule": "api errors", "event": event, "channels": ["drill"]});
    let filtered = made(&api, "/api/v1/drills", request).await;
    let filtered = ended(&api, filtered["id"].as_str().unwrap()).await;
    assert_eq!(
        (&filtered["state"], &filtered["lost_at"]),
        (&json!("failed"), &json!("emitted")),
        "{filtered}"
    );
    assert!(
        filtered["reason"].as_str().unwrap().contains("[[processors]]"),
        "{filtered}"
    );

    // The receiver answers with 503 as long as it is asked.
    drill.answer_next(&[503; 200]);
    let request =
        json!({"rule": "api errors", "event": event, "channels": ["drill"], "from_hub": true, "deadline": "3s"});
    let refused = made(&api, "/api/v1/drills", request.clone()).await;
    let refused = ended(&api, refused["id"].as_str().unwrap()).await;
    assert_eq!(refused["lost_at"], "accepted", "{refused}");
    assert!(refused["reason"].as_str().unwrap().contains("drill after"), "{refused}");
    assert_eq!(hops(&refused).last().unwrap(), "notified");

    let silence =
        json!({"matchers": [{"name": "team", "value": "web"}], "ends_at": "2099-01-01T00:00:00Z", "comment": "night"});
    made(&api, "/api/v1/silences", silence).await;
    let muted = made(&api, "/api/v1/drills", request).await;
    let muted = ended(&api, muted["id"].as_str().unwrap()).await;
    assert_eq!(muted["lost_at"], "notified", "{muted}");
    let reason = muted["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("muted by the silence of admin until 2099-") && reason.ends_with("(night)"),
        "{muted}"
    );
    let (_, failed) = api.get("/api/v1/drills?state=failed").await;
    assert_eq!(hub::data(&failed).len(), 3);
    let (_, open) = api.get("/api/v1/alerts?state=firing").await;
    assert!(
        hub::data(&open).is_empty(),
        "a drill that is over leaves no alert: {open}"
    );
}

#[tokio::test]
async fn a_schedule_drills_by_itself_and_kill_9_ends_what_is_under_way() {
    let Stage {
        mut hub, api, drill, ..
    } = setup("").await;
    // Nobody acknowledges this one before the hub is killed.
    let request = json!({"rule": "api errors", "from_hub": true, "channels": ["drill"]});
    let begun = made(&api, "/api/v1/drills", request).await;
    let path = format!("/api/v1/drills/{}", begun["id"].as_str().unwrap());
    eventually("it waits for a person", async || {
        let (_, shown) = api.get(&path).await;
        hops(&shown["data"]).last().is_some_and(|hop| hop == "accepted")
    })
    .await;
    assert_eq!(drill.count(), 1);
    hub.kill();
    let config = std::fs::read_to_string(hub.config()).unwrap();
    let schedule = "[drills]\nsettle = \"1s\"\n[[drills.schedule]]\nname = \"hourly\"\nevery = \"1h\"\nrule = \"api errors\"\nfrom_hub = true\n\
                    channels = [\"drill\"]\nacknowledge = false\n";
    std::fs::write(hub.config(), format!("{config}\n{schedule}")).unwrap();
    hub.restart();
    let api = hub.admin().await;
    let over = ended(&api, begun["id"].as_str().unwrap()).await;
    assert_eq!(
        (&over["state"], &over["lost_at"]),
        (&json!("failed"), &json!("acknowledged")),
        "{over}"
    );
    eventually("its alert ended with its rule", async || {
        let (_, open) = api.get("/api/v1/alerts?limit=1000").await;
        hub::data(&open)
            .iter()
            .all(|alert| alert["state"] == "resolved" || alert["labels"]["drill"] != begun["id"])
    })
    .await;
    let scheduled = eventually_some("the schedule has drilled", async || {
        let (_, drills) = api.get("/api/v1/drills").await;
        let mut drills = hub::data(&drills).into_iter();
        drills.find(|drill| drill["schedule"] == "hourly" && drill["state"] != "running")
    })
    .await;
    assert_eq!(scheduled["state"], "passed", "{scheduled}");
    assert_eq!(scheduled["by"], "schedule hourly");
    let (_, schedules) = api.get("/api/v1/drills/schedules").await;
    assert_eq!(hub::data(&schedules)[0]["name"], "hourly", "{schedules}");
}
