//! Who may connect as an agent.

use serde_json::json;
use streamflow_tests::{Agent, AgentConfig, Hub, HubConfig, eventually, hub};

#[tokio::test]
async fn a_token_works_once_and_only_in_time() {
    let hub = Hub::start(&HubConfig::default());
    let token = hub.enrolment_token("10m");
    let (first, second) = (
        Agent::prepare(&AgentConfig::tail("event"), &hub.quic),
        Agent::prepare(&AgentConfig::tail("event"), &hub.quic),
    );
    let output = first.enroll(&hub.quic, &token);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = second.enroll(&hub.quic, &token);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert_eq!(
        error.trim(),
        "error: the hub refuses: this token has been used; make a new one on the hub with `streamflow-hub agent token --ttl 1h`"
    );

    let expired = hub.enrolment_token("1ms");
    let output = second.enroll(&hub.quic, &expired);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && error.contains("expired"), "{error}");

    let other = Hub::start(&HubConfig::default());
    let output = second.enroll(&hub.quic, &other.enrolment_token("10m"));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success(),
        "a token of another hub pins another CA: {error}"
    );
    assert!(!error.to_lowercase().contains("panic"), "{error}");
}

#[tokio::test]
async fn an_agent_goes_where_it_enrolled_unless_the_configuration_names_another_hub() {
    let hub = Hub::start(&HubConfig::default());
    let api = hub.admin().await;
    let mut agent = Agent::prepare(&AgentConfig::tail("event"), "127.0.0.1:1");
    let output = agent.enroll(&hub.quic, &hub.enrolment_token("10m"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let advice = format!("write in {}: endpoints = [\"{}\"]", agent.config().display(), hub.quic);
    assert!(said.contains("127.0.0.1:1;") && said.contains(&advice), "{said}");

    let text = std::fs::read_to_string(agent.config()).unwrap();
    let without = text.replace("endpoints = [\"127.0.0.1:1\"]\n", "");
    assert_ne!(text, without);
    std::fs::write(agent.config(), without).unwrap();
    agent.restart();
    agent.write_log("a.log", "{\"type\":\"t\",\"source\":\"s\"}\n");
    eventually("the event arrives where the agent enrolled", async || {
        api.all_events(&json!({"types": ["t"]})).await.len() == 1
    })
    .await;
    let output = agent.command(&["enroll", "--hub", "no-port", "--token", &hub.enrolment_token("10m")]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[tokio::test]
async fn an_agent_of_another_hub_and_a_revoked_one_stay_outside() {
    let (hub, other) = (Hub::start(&HubConfig::default()), Hub::start(&HubConfig::default()));
    let api = hub.admin().await;
    let agent = Agent::start(&AgentConfig::tail("event"), &hub);
    agent.write_log("a.log", "{\"type\":\"t\",\"source\":\"s\"}\n");
    eventually("the first event", async || {
        api.all_events(&json!({"types": ["t"]})).await.len() == 1
    })
    .await;

    let stranger = Agent::start(&AgentConfig::tail("event"), &other);
    let text = std::fs::read_to_string(stranger.config())
        .unwrap()
        .replace(&other.quic, &hub.quic);
    std::fs::write(stranger.config(), text).unwrap();
    let mut stranger = stranger;
    assert!(stranger.terminate().success());
    stranger.restart();
    stranger.write_log("a.log", "{\"type\":\"t\",\"source\":\"stranger\"}\n");
    eventually("the stranger's log says why", async || {
        stranger.process().log().to_lowercase().contains("certificate")
    })
    .await;

    let (_, agents) = api.get("/api/v1/agents").await;
    let id = hub::data(&agents)[0]["id"].as_str().unwrap().to_owned();
    let output = hub.command(&["agent", "revoke", &id]);
    assert!(output.status.success(), "{output:?}");
    eventually("the revoked agent is cut off", async || {
        let (_, agents) = api.get("/api/v1/agents").await;
        hub::data(&agents)[0]["connected"] == false
    })
    .await;
    assert_eq!(
        api.all_events(&json!({"types": ["t"]})).await.len(),
        1,
        "nothing from the stranger"
    );
}

#[tokio::test]
async fn an_agent_goes_to_the_next_hub_address_and_renews_its_certificate() {
    let hub = Hub::start(&HubConfig {
        quic: "certificate_ttl = \"20s\"".into(),
        ..HubConfig::default()
    });
    let api = hub.admin().await;
    let mut agent = Agent::prepare(&AgentConfig::tail("event"), &hub.quic);
    let output = agent.enroll(&hub.quic, &hub.enrolment_token("10m"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(agent.config()).unwrap();
    let several = text.replace(
        &format!("[\"{}\"]", hub.quic),
        &format!("[\"127.0.0.1:1\", \"{}\"]", hub.quic),
    );
    assert_ne!(text, several);
    std::fs::write(agent.config(), several).unwrap();
    let identity = agent.dir().join("data/identity.json");
    let first = std::fs::read(&identity).unwrap();
    agent.restart();
    agent.write_log("a.log", "{\"type\":\"t\",\"source\":\"s\"}\n");
    eventually("the second address is used", async || {
        api.all_events(&json!({"types": ["t"]})).await.len() == 1
    })
    .await;
    eventually("the certificate is renewed", async || {
        std::fs::read(&identity).unwrap() != first
    })
    .await;
    agent.kill();
    agent.restart();
    agent.write_log("a.log", "{\"type\":\"t\",\"source\":\"s\"}\n");
    eventually("the new certificate opens the door", async || {
        api.all_events(&json!({"types": ["t"]})).await.len() == 2
    })
    .await;
}
