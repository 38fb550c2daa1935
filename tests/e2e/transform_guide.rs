//! The way from an idea to a transform on an agent, as docs/plugins.md has it, and the shipped transforms as docs/transforms.md configures them.

use std::process::Command;

use serde_json::{Value, json};
use streamflow_tests::{
    Agent, AgentConfig, Hub, HubConfig,
    binaries::{binary, root},
    eventually_some, hub,
    process::Process,
};

use crate::plugins::{blocks, shell};

/// The first stored request.
async fn stored(hub: &Hub) -> Value {
    let api = hub.admin().await;
    eventually_some("a request is stored", async || {
        let (status, body) = api.post("/api/v1/events/query", &json!({"types": ["request"]})).await;
        assert_eq!(status, 200, "{body}");
        hub::data(&body).first().cloned()
    })
    .await
}

#[tokio::test]
async fn the_guide_leads_to_a_signed_transform_on_an_agent() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::start(&HubConfig::default());
    std::fs::copy(hub.config(), dir.path().join("hub.toml")).unwrap();
    shell(&blocks("guide-key"), dir.path(), &[]);
    let output = shell(&blocks("guide-transform"), dir.path(), &[("QUIC", &hub.quic)]);
    let printed = String::from_utf8(output.stdout).unwrap();
    let shown = printed
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let shown: Vec<Value> = shown.filter(|event| event["type"] == "request").collect();
    let cart = json!({"url": "/cart", "path": "/cart", "ms": 700, "slow": true});
    assert!(
        shown.len() == 2 && shown.iter().all(|event| event["data"] == cart),
        "{printed}"
    );

    let folder = dir.path().join("shop-requests");
    let programs = binary("streamflow-agent").parent().unwrap().to_owned();
    let path = std::env::var("PATH").unwrap_or_default();
    let script =
        blocks("guide-transform-run").replace("streamflow-agent run", "exec streamflow-agent run --ready-json");
    let mut agent = Process::start(
        Command::new("sh")
            .args(["-c", &script])
            .current_dir(&folder)
            .env("PATH", format!("{}:{path}", programs.display())),
        &dir.path().join("agent.log"),
    );
    agent.wait_for_event("ready");
    shell(&blocks("guide-transform-log"), &folder, &[]);
    let event = stored(&hub).await;
    let pay = json!({"url": "/pay", "path": "/pay", "ms": 20, "slow": false});
    assert_eq!(event["data"], pay, "{event}");
    agent.kill();
}

/// What stands in the blocks of docs/transforms.md that are marked as `transform`.
fn documented() -> String {
    let text = std::fs::read_to_string(root().join("docs/transforms.md")).unwrap();
    let blocks = text.split("```toml transform\n").skip(1);
    let all: Vec<&str> = blocks.map(|block| block.split("```").next().unwrap()).collect();
    assert_eq!(all.len(), 3, "one for each shipped transform");
    all.concat()
}

#[tokio::test]
async fn shipped_transforms_do_what_their_documentation_says() {
    let hub = Hub::start(&HubConfig::default());
    let tail = AgentConfig::tail("event");
    let pipeline = format!(
        "{}{}\n[plugins]\nshipped_dir = {:?}\n",
        tail.pipeline,
        documented(),
        root().join("plugins/dist")
    );
    let agent = Agent::start(&AgentConfig { pipeline, ..tail }, &hub);
    let event = json!({"type": "request", "source": "web-1", "user_id": "eva@example.org", "data": {
        "message": "ORD-1234567 of eva@example.org, card 4111 1111 1111 1111",
        "ip": "10.1.2.3:8080",
        "headers": {"user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"},
    }});
    agent.write_log("requests.log", &format!("{event}\n"));

    let stored = stored(&hub).await;
    let user = stored["user_id"].as_str().unwrap();
    assert!(user.starts_with("[email:"), "{stored}");
    let message = stored["data"]["message"].as_str().unwrap();
    for part in ["[order:", user, "[card:"] {
        assert!(message.contains(part), "{message}");
    }
    assert!(!message.contains("4111") && !message.contains("1234567"), "{message}");
    let client = json!({"browser": "Firefox", "browser_version": "128.0", "os": "Linux", "device": "desktop"});
    assert_eq!(stored["data"]["client"], client);
    assert_eq!(stored["data"]["site"], json!({"name": "berlin"}));
}
