//! Who is told, through which route, when not, and who is told next: with the real hub and a real receiver.

use serde_json::{Value, json};
use streamflow_tests::{Api, Hub, HubConfig, Receiver, eventually, eventually_some, hub};

async fn setup() -> (Hub, Api, Receiver) {
    let receiver = Receiver::start().await;
    let hub = Hub::start(&HubConfig {
        egress: vec![receiver.address.clone()],
        fixed_ports: true,
        ..HubConfig::default()
    });
    let api = hub.admin().await;
    for name in ["ops", "pager"] {
        made(
            &api,
            "/api/v1/channels",
            json!({"name": name, "plugin": "webhook", "config": {"url": receiver.url()}}),
        )
        .await;
    }
    (hub, api, receiver)
}

async fn made(api: &Api, path: &str, body: Value) -> Value {
    let (status, answer) = api.post(path, &body).await;
    assert!(status.is_success(), "{path}: {answer}");
    answer["data"].clone()
}

/// Fires with the first event of a source, and goes on for an hour.
fn rule(change: Value) -> Value {
    let mut rule = json!({"name": "bad", "match": "type == 'bad'", "window": "1h", "group_by": ["source"],
        "condition": "value >= threshold", "threshold": 1, "level": "error"});
    rule.as_object_mut()
        .unwrap()
        .extend(change.as_object().unwrap().clone());
    rule
}

async fn send(api: &Api, sources: &[&str]) {
    let batch: Vec<Value> = sources
        .iter()
        .map(|source| json!({"type": "bad", "source": source}))
        .collect();
    let (status, answer) = api.post("/events/batch", &batch.into()).await;
    assert_eq!(status, 202, "{answer}");
}

/// Receiver, status, and the idempotency key of everything that was received.
fn heard(receiver: &Receiver) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = receiver.received().into_iter();
    all.map(|one| {
        let key = one.headers["idempotency-key"].to_str().unwrap_or_default().to_owned();
        (text(&one.body["receiver"]), text(&one.body["status"]), key)
    })
    .collect()
}

fn to<'a>(heard: &'a [(String, String, String)], channel: &str) -> Vec<&'a str> {
    let mine = heard.iter().filter(|(receiver, ..)| receiver == channel);
    mine.map(|(_, status, _)| status.as_str()).collect()
}

#[tokio::test]
async fn alerts_of_a_group_share_notifications_and_survive_kill_9() {
    let (mut hub, api, receiver) = setup().await;
    let routing = json!({"route": {"channels": ["ops"], "group_by": ["alertname"], "group_wait": "2s", "group_interval": "1s",
        "routes": [{"level": "critical", "channels": ["pager"]}]}});
    let (status, answer) = api.put("/api/v1/routing", &routing).await;
    assert_eq!(
        (status.as_u16(), &answer["data"]["version"]),
        (200, &json!(1)),
        "{answer}"
    );
    made(&api, "/api/v1/rules", rule(json!({}))).await;
    send(&api, &["a", "b", "c"]).await;
    let group = eventually_some("they are one group", async || {
        let (_, groups) = api.get("/api/v1/routing/groups").await;
        let group = groups["data"][0].clone();
        (group["alerts"].as_array()?.len() == 3).then_some(group)
    })
    .await;
    assert_eq!(group["labels"], json!({"alertname": "bad"}));
    hub.kill();
    hub.restart();
    let api = hub.admin().await;
    eventually("the group is told after the restart", async || {
        !receiver.received().is_empty()
    })
    .await;
    let first = receiver.received()[0].clone();
    assert_eq!(
        first.headers["idempotency-key"].to_str().unwrap(),
        format!("{}:firing:1", group["id"].as_str().unwrap())
    );
    let text = first.body.to_string();
    assert!(
        text.contains("3 firing")
            && ["a", "b", "c"]
                .iter()
                .all(|source| text.contains(&format!("source={source}"))),
        "{text}"
    );
    let (_, alerts) = api.get("/api/v1/alerts?state=firing").await;
    for alert in hub::data(&alerts) {
        let path = format!("/api/v1/alerts/{}/resolve", alert["id"].as_str().unwrap());
        assert_eq!(api.post(&path, &json!({})).await.0, 200);
    }
    eventually("the end is told", async || {
        heard(&receiver).last().is_some_and(|last| last.1 == "resolved")
    })
    .await;
    let keys: Vec<String> = heard(&receiver).into_iter().map(|one| one.2).collect();
    let different: std::collections::HashSet<&String> = keys.iter().collect();
    assert_eq!(different.len(), keys.len(), "each notification once: {keys:?}");
    let (status, way) = api
        .post(
            "/api/v1/routing/test",
            &json!({"labels": {"alertname": "x"}, "level": "critical"}),
        )
        .await;
    assert_eq!((status.as_u16(), &way["data"][0]["channels"]), (200, &json!(["pager"])));
    let wrong =
        json!({"route": {"routes": [{"channels": ["nobody"], "matchers": [{"name": "a", "op": "=~", "value": "("}]}]}});
    let (status, error) = api.put("/api/v1/routing", &wrong).await;
    assert_eq!(status, 400);
    for place in ["route.routes[0].channels[0]", "route.routes[0].matchers[0].value"] {
        assert!(error["details"].to_string().contains(place), "{place}: {error}");
    }
    assert_eq!(api.delete("/api/v1/channels/pager").await.0, 409, "a route names it");
}

#[tokio::test]
async fn a_silence_is_previewed_holds_back_and_lets_go_also_over_kill_9() {
    let (mut hub, api, receiver) = setup().await;
    made(&api, "/api/v1/rules", rule(json!({"channels": ["ops"]}))).await;
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let end = u64::try_from(now.as_millis()).unwrap() + 3_600_000;
    let quiet =
        json!({"matchers": [{"name": "source", "op": "=~", "value": "a|c"}], "ends_at": end, "comment": "upgrade"});
    let silence = made(&api, "/api/v1/silences", quiet.clone()).await;
    assert_eq!(
        (&silence["state"], &silence["created_by"]),
        (&json!("active"), &json!("admin"))
    );
    send(&api, &["a", "b"]).await;
    eventually("b is told", async || heard(&receiver).len() == 1).await;
    let preview = json!({"matchers": quiet["matchers"]});
    let meant = eventually_some("a fires in silence", async || {
        let (_, meant) = api.post("/api/v1/silences/preview", &preview).await;
        meant["data"].as_array()?.first().cloned()
    })
    .await;
    let (_, alert) = api
        .get(&format!("/api/v1/alerts/{}", meant["id"].as_str().unwrap()))
        .await;
    let by = format!("silence:{}", silence["id"].as_str().unwrap());
    assert_eq!(alert["data"]["muted_by"], json!([by]), "{alert}");
    hub.kill();
    hub.restart();
    let api = hub.admin().await;
    let path = format!("/api/v1/silences/{}", silence["id"].as_str().unwrap());
    let (_, kept) = api.get(&path).await;
    assert_eq!(
        (&kept["data"]["state"], &kept["data"]["alerts"][0]["id"]),
        (&json!("active"), &meant["id"])
    );
    assert_eq!(heard(&receiver).len(), 1, "still only b");
    assert_eq!(api.delete(&path).await.0, 204);
    eventually("a is told when the silence ends", async || heard(&receiver).len() == 2).await;
    let (_, list) = api.get("/api/v1/silences?state=expired").await;
    assert_eq!(hub::data(&list).len(), 1);
    for wrong in [
        json!({"matchers": [], "ends_at": end}),
        json!({"matchers": [{"name": "a", "op": "=~", "value": ".*"}], "ends_at": end}),
        json!({"matchers": [{"name": "a", "value": "b"}], "ends_at": 5}),
    ] {
        assert_eq!(api.post("/api/v1/silences", &wrong).await.0, 400, "{wrong}");
    }
}

#[tokio::test]
async fn nobody_reacts_so_the_next_one_is_told_until_somebody_acknowledges() {
    let (mut hub, api, receiver) = setup().await;
    let schedule = json!({"name": "primary", "time_zone": "Europe/Vienna", "people": [{"name": "eva", "channels": ["pager"]}],
        "rotations": [{"people": ["eva"], "starts_on": "2026-01-05", "hand_over": "09:00"}]});
    made(&api, "/api/v1/oncall/schedules", schedule).await;
    let (_, oncall) = api.get("/api/v1/oncall?at=2026-02-03T12:00:00Z").await;
    assert_eq!(
        (&oncall["data"][0]["person"], &oncall["data"][0]["channels"]),
        (&json!("eva"), &json!(["pager"]))
    );
    assert!(oncall["data"][0]["why"].as_str().unwrap().contains("turn"), "{oncall}");
    let policy = json!({"name": "page", "steps": [{"after": "2s", "channels": ["oncall:primary"]}], "repeat": 50});
    made(&api, "/api/v1/escalations", policy).await;
    made(
        &api,
        "/api/v1/rules",
        rule(json!({"channels": ["ops"], "escalation": "page"})),
    )
    .await;
    send(&api, &["a"]).await;
    eventually("the first is told", async || to(&heard(&receiver), "ops").len() == 1).await;
    hub.kill();
    hub.restart();
    let api = hub.admin().await;
    eventually("who is on call is told, twice", async || {
        to(&heard(&receiver), "pager").len() >= 2
    })
    .await;
    let (_, alerts) = api.get("/api/v1/alerts?state=firing").await;
    let id = hub::data(&alerts)[0]["id"].as_str().unwrap().to_owned();
    let (_, taken) = api
        .post(&format!("/api/v1/alerts/{id}/acknowledge"), &json!({"comment": "mine"}))
        .await;
    assert_eq!(taken["data"]["state"], "acknowledged", "{taken}");
    eventually("nothing is under way", async || {
        hub.metric("streamflow_channel_waiting").await == 0.0
    })
    .await;
    let pages = to(&heard(&receiver), "pager").len();
    assert_eq!(
        api.post(&format!("/api/v1/alerts/{id}/resolve"), &json!({})).await.0,
        200
    );
    eventually("both are told the end", async || {
        let heard = heard(&receiver);
        to(&heard, "pager").last() == Some(&"resolved") && to(&heard, "ops") == ["firing", "resolved"]
    })
    .await;
    assert_eq!(
        to(&heard(&receiver), "pager").len(),
        pages + 1,
        "no step after the acknowledgement"
    );
    assert_eq!(api.delete("/api/v1/escalations/page").await.0, 409, "a rule follows it");
    assert_eq!(
        api.delete("/api/v1/oncall/schedules/primary").await.0,
        409,
        "a policy names it"
    );
    let (status, error) = api
        .post(
            "/api/v1/rules",
            &rule(json!({"name": "x", "channels": ["oncall:none"], "escalation": "none"})),
        )
        .await;
    assert_eq!(status, 400);
    assert!(
        error.to_string().contains("on-call schedule called `none`")
            && error.to_string().contains("escalation policy called `none`"),
        "{error}"
    );
}

#[tokio::test]
async fn a_channel_that_fails_again_and_again_is_left_alone_and_its_dead_letters_are_sent_again() {
    let receiver = Receiver::start().await;
    let hub = Hub::start(&HubConfig {
        egress: vec![receiver.address.clone()],
        more: "[alerting]\nretry_first = \"10ms\"\nretry_longest = \"20ms\"\nbreaker_failures = 3\nbreaker_pause = \"1s\"\nbreaker_longest = \"1s\"\nmax_attempts = 5\n".to_owned(),
        ..HubConfig::default()
    });
    let api = hub.admin().await;
    let template = "[{{ level|upper }}] {{ rule }} at {{ labels.source }}";
    let channel =
        json!({"name": "ops", "plugin": "webhook", "config": {"url": receiver.url()}, "title_template": template});
    made(&api, "/api/v1/channels", channel).await;
    made(&api, "/api/v1/rules", rule(json!({"channels": ["ops"]}))).await;
    receiver.answer_next(&[500; 5]);
    send(&api, &["a"]).await;
    let opened = eventually_some("its breaker opens", async || {
        let (_, channel) = api.get("/api/v1/channels/ops").await;
        let health = channel["data"]["health"].clone();
        (health["breaker"] == "open").then_some(health)
    })
    .await;
    assert!(
        opened["failures"].as_u64() >= Some(3) && opened["paused_until"].is_string(),
        "{opened}"
    );
    eventually("it is given up", async || {
        let (_, dead) = api.get("/api/v1/deliveries?state=failed").await;
        hub::data(&dead).len() == 1
    })
    .await;
    assert_eq!(receiver.received().len(), 5);
    assert!(hub.metric("streamflow_channel_breaker_opened_total").await >= 1.0);
    let again = made(&api, "/api/v1/deliveries/retry", json!({"channel": "ops"})).await;
    assert_eq!(again, json!({"retried": 1, "more": false}));
    eventually("it is delivered", async || {
        let (_, done) = api.get("/api/v1/deliveries?state=delivered").await;
        hub::data(&done).len() == 1
    })
    .await;
    let all = heard(&receiver);
    assert!(
        all.iter().all(|one| one.2 == all[0].2),
        "one key over all attempts: {all:?}"
    );
    let last = receiver.received().pop().unwrap();
    assert_eq!(last.body["commonAnnotations"]["summary"], "[ERROR] bad at a");
    eventually("the breaker closes", async || {
        let (_, channel) = api.get("/api/v1/channels/ops").await;
        channel["data"]["health"]["breaker"] == "closed"
    })
    .await;
    let wrong = json!({"name": "w", "plugin": "webhook", "config": {"url": receiver.url()}, "body_template": "{{ value ", "rate_per_minute": 0,
        "active_hours": {"time_zone": "Mars", "spans": []}});
    let (status, error) = api.post("/api/v1/channels", &wrong).await;
    assert_eq!(status, 400);
    for field in [
        "body_template",
        "rate_per_minute",
        "active_hours.time_zone",
        "active_hours.spans",
    ] {
        assert!(error["details"].to_string().contains(field), "{field}: {error}");
    }
}

/// The requests of the guide, as a reader would send them: `post PATH 'BODY'` and `put PATH 'BODY'` in its shell examples.
fn requests(guide: &str) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    for block in guide.split("```sh\n").skip(1) {
        let block = format!("\n{}", block.split("```").next().unwrap());
        let mut rest = block.as_str();
        while let Some(at) = ["\npost /", "\nput /"]
            .iter()
            .filter_map(|start| rest.find(start))
            .min()
        {
            rest = &rest[at + 1..];
            let (verb, after) = rest.split_once(' ').unwrap();
            let (path, after) = after.split_once(" '").unwrap();
            // A quote inside the body is written '\''.
            let body = after.replace("'\\''", "\u{1}");
            let (body, after) = body.split_once('\'').unwrap();
            found.push((verb.to_owned(), path.to_owned(), body.replace('\u{1}', "'")));
            rest = &rest[rest.len() - after.replace('\u{1}', "'\\''").len()..];
        }
    }
    found
}

#[tokio::test]
async fn the_examples_of_the_guide_work_in_their_order() {
    let hub = Hub::start(&HubConfig::default());
    let api = hub.admin().await;
    let guide = std::fs::read_to_string(streamflow_tests::binaries::root().join("docs/alerting.md")).unwrap();
    let requests = requests(&guide);
    assert!(requests.len() >= 14, "{requests:?}");
    for (verb, path, body) in requests {
        let body: Value = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error} in {body}"));
        let (status, answer) = match verb.as_str() {
            "put" => api.put(&path, &body).await,
            _ => api.post(&path, &body).await,
        };
        assert!(status.is_success(), "{verb} {path}: {answer}");
    }
}

#[tokio::test]
async fn a_link_in_the_message_asks_first_and_then_acknowledges() {
    let (hub, api, receiver) = setup().await;
    made(&api, "/api/v1/rules", rule(json!({"channels": ["ops"]}))).await;
    send(&api, &["<b>a</b>"]).await;
    eventually("it is told", async || !receiver.received().is_empty()).await;
    let message = receiver.received()[0].body.clone();
    let link = message["commonAnnotations"]["acknowledge_url"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        message["commonAnnotations"]["description"]
            .as_str()
            .unwrap()
            .contains(&link),
        "{message}"
    );
    assert!(link.starts_with(&format!("http://{}/ack?t=", hub.http)), "{link}");
    let anonymous = streamflow_tests::api::client();
    let page = anonymous.get(&link).send().await.unwrap();
    assert_eq!(
        (page.status().as_u16(), &page.headers()["cache-control"]),
        (200, &"no-store".parse().unwrap())
    );
    let page = page.text().await.unwrap();
    assert!(
        page.contains("<form method=\"post\"") && page.contains("&lt;b&gt;a&lt;") && !page.contains("<b>a<"),
        "{page}"
    );
    let (_, alerts) = api.get("/api/v1/alerts?state=firing").await;
    assert_eq!(hub::data(&alerts).len(), 1, "looking acknowledges nothing");
    let post = |url: &str, body: &'static str| {
        let request = anonymous
            .post(url)
            .header("content-type", "application/x-www-form-urlencoded");
        request.body(body).send()
    };
    let broken = post(&format!("{link}x"), "comment=no").await.unwrap();
    assert_eq!(broken.status().as_u16(), 403);
    let done = post(&link, "comment=on+my+way").await.unwrap();
    assert_eq!(done.status().as_u16(), 200);
    let (_, alerts) = api.get("/api/v1/alerts?state=acknowledged").await;
    let alert = hub::data(&alerts)[0].clone();
    assert_eq!(alert["acknowledged_by"], "link sent to ops");
    assert!(alert["timeline"].to_string().contains("on my way"), "{alert}");
    let log = std::fs::read_to_string(hub.dir().join("hub.log")).unwrap();
    let token = link.split_once("t=").unwrap().1;
    assert!(!log.contains(token), "the log holds no link that works");
}
