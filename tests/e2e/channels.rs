//! Every shipped channel against a real server: what it sends is what its provider documents, and what the server answers decides what comes next.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use streamflow_tests::{
    Api, Hub, HubConfig, Receiver, binaries::root, eventually, eventually_some, hub, receiver::Received,
};

/// A channel as it is configured, where its requests arrive, and what its provider answers.
struct Provider {
    plugin: &'static str,
    /// `BASE` stands for the server.
    config: Value,
    path: &'static str,
    status: u16,
    answer: Value,
    /// What the hub keeps of the answer; empty: the notification's own key.
    reference: &'static str,
    /// Requests of one test message: those that open something close it again.
    of_a_test: usize,
}

fn providers() -> Vec<Provider> {
    let provider = |plugin, config, path, status, answer, reference| Provider {
        plugin,
        config,
        path,
        status,
        answer,
        reference,
        of_a_test: 1,
    };
    vec![
        provider(
            "slack",
            json!({"url": "BASE/services/T0/B0/token", "mention": "<!here>"}),
            "/services/",
            200,
            json!("ok"),
            "",
        ),
        provider(
            "teams",
            json!({"url": "BASE/workflows/1/invoke?sig=s"}),
            "/workflows/",
            202,
            Value::Null,
            "",
        ),
        provider(
            "discord",
            json!({"url": "BASE/api/webhooks/1/token", "username": "StreamFlow"}),
            "/api/webhooks/",
            200,
            json!({"id": "900"}),
            "900",
        ),
        Provider {
            of_a_test: 2,
            ..provider(
                "pagerduty",
                json!({"url": "BASE", "routing_key": "R0UT1NG"}),
                "/v2/enqueue",
                202,
                json!({"status": "success", "message": "Event processed", "dedup_key": "pd-1"}),
                "pd-1",
            )
        },
        Provider {
            of_a_test: 2,
            ..provider(
                "opsgenie",
                json!({"url": "BASE/", "api_key": "${secret:opsgenie}", "team": "ops"}),
                "/v2/alerts",
                202,
                json!({"result": "Request will be processed", "took": 0.3, "requestId": "og-1"}),
                "og-1",
            )
        },
        provider(
            "sms",
            json!({"url": "BASE", "account_sid": "AC1", "auth_token": "t0ken", "from": "+15017122661", "to": "+15558675310"}),
            "/2010-04-01/Accounts/AC1/Messages.json",
            201,
            json!({"sid": "SM1", "status": "queued"}),
            "SM1",
        ),
        provider(
            "push",
            json!({"url": "BASE/ntfy", "topic": "ops", "token": "tk_1"}),
            "/ntfy/",
            200,
            json!({"id": "m1", "event": "message"}),
            "m1",
        ),
        provider(
            "webhook",
            json!({"url": "BASE/hook", "format": "cloudevents"}),
            "/hook",
            200,
            Value::Null,
            "",
        ),
    ]
}

async fn setup(providers: &[Provider]) -> (Hub, Api, Receiver) {
    let receiver = Receiver::start().await;
    // Read once, at the start.
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("opsgenie");
    std::fs::write(&secret, "0g-k3y\n").unwrap();
    let hub = Hub::start(&HubConfig {
        egress: vec![receiver.address.clone()],
        // No pause because a message before has failed.
        more: format!(
            "[alerting]\nbreaker_failures = 0\n[plugins.secrets]\nopsgenie = \"file:{}\"\n",
            secret.display()
        ),
        ..HubConfig::default()
    });
    let api = hub.admin().await;
    for provider in providers {
        accept(&receiver, provider);
        let text = provider
            .config
            .to_string()
            .replace("BASE", &format!("http://{}", receiver.address));
        let config: Value = serde_json::from_str(&text).unwrap();
        let channel = json!({"name": provider.plugin, "plugin": provider.plugin, "config": config});
        let (status, body) = api.post("/api/v1/channels", &channel).await;
        assert_eq!(status, 201, "{}: {body}", provider.plugin);
    }
    let names: Vec<&str> = providers.iter().map(|provider| provider.plugin).collect();
    let rule = json!({"name": "disk full", "match": "type == 'disk'", "window": "1h", "group_by": ["source"], "condition": "value >= threshold",
                      "threshold": 1, "level": "critical", "channels": names, "annotations": {"runbook": "https://runbooks.example.org/disk"}});
    let (status, body) = api.post("/api/v1/rules", &rule).await;
    assert_eq!(status, 201, "{body}");
    (hub, api, receiver)
}

fn accept(receiver: &Receiver, provider: &Provider) {
    receiver.reply(provider.path, provider.status, None, provider.answer.clone());
}

async fn fire(api: &Api, source: &str) -> String {
    let (status, body) = api.post("/events", &json!({"type": "disk", "source": source})).await;
    assert_eq!(status, 202, "{body}");
    eventually_some("it fires", async || {
        let (_, alerts) = api.get("/api/v1/alerts?state=firing").await;
        let mine = hub::data(&alerts)
            .into_iter()
            .find(|alert| alert["labels"]["source"] == source)?;
        mine["id"].as_str().map(str::to_owned)
    })
    .await
}

async fn deliveries(api: &Api, alert: &str, state: &str) -> BTreeMap<String, Value> {
    let (_, log) = api
        .get(&format!("/api/v1/deliveries?alert_id={alert}&state={state}&limit=100"))
        .await;
    let each = hub::data(&log).into_iter();
    each.filter_map(|one| Some((one["channel"].as_str()?.to_owned(), one.clone())))
        .collect()
}

#[tokio::test]
async fn every_channel_speaks_the_language_of_its_provider() {
    let providers = providers();
    let (_hub, api, receiver) = setup(&providers).await;
    let (_, channels) = api.get("/api/v1/channels").await;
    for channel in hub::data(&channels) {
        for key in ["routing_key", "api_key", "auth_token", "token"] {
            assert!(
                matches!(channel["config"][key].as_str(), None | Some("***")),
                "{channel}"
            );
        }
    }

    for provider in &providers {
        let (status, body) = api
            .post(&format!("/api/v1/channels/{}/test", provider.plugin), &json!({}))
            .await;
        assert_eq!(
            (status.as_u16(), &body["data"]["state"]),
            (200, &json!("delivered")),
            "{}: {body}",
            provider.plugin
        );
        let reference = body["data"]["reference"].as_str().unwrap();
        let own = body["data"]["idempotency_key"].as_str().unwrap();
        assert_eq!(
            reference,
            if provider.reference.is_empty() {
                own
            } else {
                provider.reference
            },
            "{}",
            provider.plugin
        );
        let sent = receiver.received_at(provider.path);
        assert_eq!(sent.len(), provider.of_a_test, "{}", provider.plugin);
        let text = &sent[0].text;
        assert!(text.contains("test"), "{} marks a test: {text}", provider.plugin);
    }

    let id = fire(&api, "web-1").await;
    let mut told: BTreeMap<&str, Vec<Received>> = BTreeMap::new();
    let mut hear = async |provider: &Provider| {
        let before = told.entry(provider.plugin).or_default().len();
        let wanted = provider.of_a_test + before + 1;
        let sent = eventually_some(&format!("{} is told", provider.plugin), async || {
            Some(receiver.received_at(provider.path)).filter(|sent| sent.len() >= wanted)
        })
        .await;
        assert_eq!(sent.len(), wanted, "{}", provider.plugin);
        told.get_mut(provider.plugin).unwrap().push(sent[wanted - 1].clone());
    };
    for provider in &providers {
        hear(provider).await;
    }
    let act = async |what: &str| {
        let path = format!("/api/v1/alerts/{id}/{what}");
        let (status, body) = api.post(&path, &json!({"comment": "seen to it"})).await;
        assert_eq!(status, 200, "{body}");
    };
    act("acknowledge").await;
    for provider in providers.iter().filter(|provider| provider.of_a_test == 2) {
        hear(provider).await;
    }
    act("resolve").await;
    for provider in &providers {
        hear(provider).await;
    }
    for sent in told.values().flatten() {
        assert_eq!(sent.method, "POST");
        let kind = sent.headers["content-type"].to_str().unwrap();
        assert!(kind.starts_with("application/"), "{kind}");
    }
    let firing = |plugin: &str| told[plugin][0].clone();
    let over = |plugin: &str| told[plugin].last().unwrap().clone();
    taken(&told["pagerduty"][1], &told["opsgenie"][1], &firing);
    slack_teams_and_discord(&firing, &over);
    pages(&firing, &over);
    texts(&firing, &over);
}

type Told<'a> = &'a dyn Fn(&str) -> Received;

fn slack_teams_and_discord(firing: Told<'_>, over: Told<'_>) {
    let slack = firing("slack");
    assert_eq!(slack.path, "/services/T0/B0/token");
    assert!(
        slack.body["text"].as_str().unwrap().starts_with("<!here> [critical] "),
        "{}",
        slack.body
    );
    let attachment = &slack.body["attachments"][0];
    assert_eq!(attachment["color"], "#b91c1c");
    for block in attachment["blocks"].as_array().unwrap() {
        assert!(
            ["section", "context"].contains(&block["type"].as_str().unwrap()),
            "{block}"
        );
    }
    let slack = over("slack").body;
    assert!(slack["text"].as_str().unwrap().starts_with("[resolved] "), "{slack}");
    assert_eq!(slack["attachments"][0]["color"], "#2ea44f");

    let teams = firing("teams");
    assert_eq!(teams.path, "/workflows/1/invoke?sig=s");
    assert_eq!(
        teams.body["attachments"][0]["contentType"],
        "application/vnd.microsoft.card.adaptive"
    );
    let card = |teams: &Received| teams.body["attachments"][0]["content"]["body"][0].clone();
    assert_eq!(card(&teams)["color"], "Attention");
    assert_eq!(card(&over("teams"))["color"], "Good");

    let discord = firing("discord");
    assert_eq!(discord.path, "/api/webhooks/1/token?wait=true");
    assert_eq!(discord.body["username"], "StreamFlow");
    assert_eq!(discord.body["embeds"][0]["color"], 0x00b9_1c1c);
    let fields = discord.body["embeds"][0]["fields"].to_string();
    assert!(fields.contains("web-1"), "{fields}");
}

/// What keeps an incident of its own hears that ours was acknowledged; the others were told of its end next.
fn taken(pagerduty: &Received, opsgenie: &Received, firing: Told<'_>) {
    assert_eq!(
        (&pagerduty.body["event_action"], &pagerduty.body["dedup_key"]),
        (&json!("acknowledge"), &firing("pagerduty").body["dedup_key"])
    );
    assert!(
        opsgenie.path.ends_with("/acknowledge?identifierType=alias"),
        "{}",
        opsgenie.path
    );
    assert_eq!(opsgenie.body["source"], "StreamFlow");
}

fn pages(firing: Told<'_>, over: Told<'_>) {
    let (trigger, resolve) = (firing("pagerduty"), over("pagerduty").body);
    assert_eq!(trigger.path, "/v2/enqueue");
    assert_eq!(
        (&trigger.body["routing_key"], &trigger.body["event_action"]),
        (&json!("R0UT1NG"), &json!("trigger"))
    );
    let payload = &trigger.body["payload"];
    assert_eq!(
        (&payload["severity"], &payload["source"]),
        (&json!("critical"), &json!("web-1"))
    );
    assert!(
        trigger.body["links"]
            .to_string()
            .contains("https://runbooks.example.org/disk"),
        "{}",
        trigger.body
    );
    assert_eq!(
        (&resolve["event_action"], &resolve["dedup_key"]),
        (&json!("resolve"), &trigger.body["dedup_key"])
    );
    assert!(resolve.get("payload").is_none());

    let (create, close) = (firing("opsgenie"), over("opsgenie"));
    assert_eq!(create.path, "/v2/alerts");
    assert_eq!(
        create.headers["authorization"], "GenieKey 0g-k3y",
        "the secret is filled in on the way out"
    );
    assert_eq!(
        (&create.body["priority"], &create.body["source"]),
        (&json!("P1"), &json!("StreamFlow"))
    );
    let alias = create.body["alias"].as_str().unwrap();
    let kept = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let encode = |byte: u8| {
        if kept(byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    let encoded: String = alias.bytes().map(encode).collect();
    assert_eq!(close.path, format!("/v2/alerts/{encoded}/close?identifierType=alias"));
}

fn texts(firing: Told<'_>, over: Told<'_>) {
    let sms = firing("sms");
    assert_eq!(sms.headers["content-type"], "application/x-www-form-urlencoded");
    // base64 of `AC1:t0ken`
    assert_eq!(sms.headers["authorization"], "Basic QUMxOnQwa2Vu");
    assert!(
        sms.text
            .starts_with("To=%2B15558675310&From=%2B15017122661&Body=%5Bcritical%5D+"),
        "{}",
        sms.text
    );
    assert!(
        over("sms").text.contains("Body=%5Bresolved%5D+"),
        "{}",
        over("sms").text
    );

    let push = firing("push");
    assert_eq!(
        (push.path.as_str(), &push.headers["authorization"]),
        ("/ntfy/", &"Bearer tk_1".parse().unwrap())
    );
    assert_eq!(
        (&push.body["topic"], &push.body["priority"], &push.body["tags"][0]),
        (&json!("ops"), &json!(5), &json!("rotating_light"))
    );
    assert!(
        push.body["click"].as_str().unwrap().contains("/alerts/"),
        "{}",
        push.body
    );
    assert_eq!(over("push").body["priority"], 2);

    let event = firing("webhook");
    assert_eq!(
        event.headers["content-type"],
        "application/cloudevents+json; charset=utf-8"
    );
    assert_eq!(event.body["specversion"], "1.0");
    assert_eq!(event.body["id"], event.headers["idempotency-key"].to_str().unwrap());
    assert_eq!(event.body["type"], "streamflow.alert.firing");
    assert_eq!(event.body["data"]["alerts"][0]["labels"]["source"], "web-1");
    assert_eq!(over("webhook").body["type"], "streamflow.alert.resolved");
}

#[tokio::test]
async fn what_a_provider_refuses_is_a_dead_letter_and_what_it_cannot_take_now_comes_again() {
    let providers = providers();
    let (_hub, api, receiver) = setup(&providers).await;
    for provider in &providers {
        receiver.reply(provider.path, 400, None, json!({"message": "no such thing"}));
    }
    let refused = fire(&api, "refused").await;
    eventually("all of them are dead letters", async || {
        deliveries(&api, &refused, "failed").await.len() == providers.len()
    })
    .await;
    for (channel, one) in deliveries(&api, &refused, "failed").await {
        assert_eq!(one["attempts"], 1, "{channel}: {one}");
        assert!(
            one["error"].as_str().unwrap().contains("answered 400"),
            "{channel}: {one}"
        );
    }

    // Longer than the hub's own wait after a first failure, which is at most a second.
    for (n, provider) in providers.iter().enumerate() {
        let (status, after) = if n % 2 == 0 { (429, Some(2)) } else { (503, Some(2)) };
        receiver.reply(provider.path, status, after, Value::Null);
    }
    let busy = fire(&api, "busy").await;
    let mut first = BTreeMap::new();
    for provider in &providers {
        let about = |sent: &Received| sent.text.contains("busy");
        let sent = eventually_some(&format!("{} is tried", provider.plugin), async || {
            receiver.received_at(provider.path).into_iter().find(about)
        })
        .await;
        first.insert(provider.plugin, sent);
        accept(&receiver, provider);
    }
    eventually("all of them are delivered", async || {
        deliveries(&api, &busy, "delivered").await.len() == providers.len()
    })
    .await;
    for provider in &providers {
        let sent = receiver.received_at(provider.path);
        let last = sent.last().unwrap();
        let first = &first[provider.plugin];
        assert_eq!(last.text, first.text, "{}: the same again", provider.plugin);
        let waited = last.at.duration_since(first.at);
        assert!(
            waited.as_secs() >= 2,
            "{}: before Retry-After: {waited:?}",
            provider.plugin
        );
    }
    assert!(deliveries(&api, &busy, "failed").await.is_empty());
}

#[tokio::test]
async fn a_configuration_that_cannot_work_is_refused_with_its_reason() {
    let hub = Hub::start(&HubConfig::default());
    let api = hub.admin().await;
    let (_, plugins) = api.get("/api/v1/plugins").await;
    let plugins = hub::data(&plugins);
    for name in [
        "slack",
        "teams",
        "discord",
        "pagerduty",
        "opsgenie",
        "sms",
        "push",
        "email",
        "webhook",
    ] {
        let info = plugins.iter().find(|info| info["name"] == name).unwrap();
        assert_eq!(
            (&info["state"], &info["signature"]),
            (&json!("active"), &json!("shipped")),
            "{info}"
        );
        for (key, property) in info["config_schema"]["properties"].as_object().unwrap() {
            assert!(property["title"].is_string(), "{name}: {key} has a title for its form");
        }
    }
    for (plugin, config, words) in [
        ("slack", json!({}), "url"),
        ("slack", json!({"url": "ftp://a.example"}), "url"),
        ("slack", json!({"url": "http://127.0.0.1:9/x"}), "[egress] allow"),
        (
            "slack",
            json!({"url": "https://a.example/", "mention": "hello"}),
            "mention",
        ),
        ("pagerduty", json!({"routing_key": "${secret:x}"}), "routing_key"),
        ("opsgenie", json!({"api_key": "${secret:nowhere}"}), "nowhere"),
        (
            "sms",
            json!({"account_sid": "AC1", "auth_token": "t", "from": "x"}),
            "to",
        ),
        ("push", json!({"topic": "a b"}), "topic"),
        ("email", json!({"to": "eva@example.org"}), "[mail] host"),
    ] {
        let channel = json!({"name": "x", "plugin": plugin, "config": config});
        let (status, body) = api.post("/api/v1/channels", &channel).await;
        assert_eq!(status, 400, "{plugin}: {body}");
        assert!(body.to_string().contains(words), "{plugin}: {body}");
    }
}

/// The examples of `docs/channels.md`, each a channel.
fn examples() -> Vec<Value> {
    let guide = std::fs::read_to_string(root().join("docs/channels.md")).unwrap();
    let blocks = guide.split("```json channel\n").skip(1);
    let text = |block: &str| block.split("```").next().unwrap().to_owned();
    blocks
        .map(|block| serde_json::from_str(&text(block)).unwrap())
        .collect()
}

#[tokio::test]
async fn the_guides_examples_are_taken_as_they_stand() {
    let hub = Hub::start(&HubConfig {
        more: "[mail]\nhost = \"smtp.example.com\"\nfrom = \"alerts@example.com\"\n\
               [plugins.secrets]\nops-token = \"env:PATH\"\nopsgenie = \"env:PATH\"\nntfy = \"env:PATH\"\n"
            .to_owned(),
        ..HubConfig::default()
    });
    let api = hub.admin().await;
    let examples = examples();
    let mut shown: Vec<&str> = examples
        .iter()
        .map(|example| example["plugin"].as_str().unwrap())
        .collect();
    shown.sort_unstable();
    let (_, plugins) = api.get("/api/v1/plugins").await;
    let plugins = hub::data(&plugins);
    let channels = plugins.iter().filter(|info| info["kind"] == "channel");
    let there: Vec<&str> = channels.map(|info| info["name"].as_str().unwrap()).collect();
    assert_eq!(shown, there, "every shipped channel has an example in docs/channels.md");
    for example in examples {
        let (status, body) = api.post("/api/v1/channels", &example).await;
        assert_eq!(status, 201, "{example}: {body}");
    }
}
