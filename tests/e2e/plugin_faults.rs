//! Every way in which a rule's plugin fails, at once in one hub: each is contained and named, and everything else goes on.

use serde_json::json;
use streamflow_tests::{Hub, HubConfig, eventually, eventually_some};

use crate::plugins::{built, command, open_alerts, plugin, rule, send};

/// Rules of the testbed, and the cause by which each must end up in quarantine.
const FAULTS: [(&str, &str); 6] = [
    ("rule-bad-answer", "answer"),
    ("rule-gigabyte-answer", "copy"),
    ("rule-loop", "deadline"),
    ("rule-memory-bomb", "memory"),
    ("rule-stack-overflow", "stack"),
    ("rule-trap", "trap"),
];

#[tokio::test]
async fn all_faults_at_once_are_contained_and_the_rest_goes_on() {
    let mut hub = Hub::start(&HubConfig {
        plugins: "allow_unsigned = true".to_owned(),
        ..HubConfig::default()
    });
    let api = hub.admin().await;
    for (name, _) in FAULTS {
        let file = built(&format!("testbed/{name}.wasm"));
        command(&hub, &["plugin", "install", file.to_str().unwrap(), "--approve"]);
        let plugin = format!("testbed-{name}");
        rule(&api, json!({"name": name, "kind": "plugin", "plugin": plugin})).await;
    }
    rule(&api, json!({"name": "healthy plugin", "kind": "plugin", "plugin": "error-burst", "config": {"errors": 1}, "match": "type == 'error'"})).await;
    rule(
        &api,
        json!({"name": "built in", "match": "type == 'error'", "group_by": ["source"], "condition": "value >= threshold", "threshold": 1}),
    )
    .await;
    let mut sent = 0;
    for (name, cause) in FAULTS {
        let info = eventually_some("five failures put it into quarantine", async || {
            sent += 1;
            send(&api, &[json!({"type": "poison", "source": format!("p{sent}")})]).await;
            let info = plugin(&api, &format!("testbed-{name}")).await;
            (info["state"] == "quarantined").then_some(info)
        })
        .await;
        assert_eq!(info["quarantine_cause"], cause, "{name}: {info}");
        // Each source is new, so that an alert says that the rule has seen this very event.
        let source = format!("web-{sent}");
        send(&api, &[json!({"type": "error", "source": source, "severity": "high"})]).await;
        for other in ["healthy plugin", "built in"] {
            eventually(&format!("{other} goes on beside {name}"), async || {
                let alerts = open_alerts(&api, other).await;
                alerts.iter().any(|alert| {
                    alert["labels"]["key"] == source.as_str() || alert["labels"]["source"] == source.as_str()
                })
            })
            .await;
        }
    }
    let (status, health) = api.get("/ready").await;
    assert_eq!(status, 200, "{health}");
    let metrics = hub.metrics().await;
    for (name, cause) in FAULTS {
        let series = format!("streamflow_plugin_quarantined{{cause=\"{cause}\",plugin=\"testbed-{name}\"}} 1");
        assert!(metrics.contains(&series), "{series}");
    }
    assert!(hub.terminate().success());
}
