//! Rule plugins as they are built: columns in, alerts out, state kept, faults contained.

use serde_json::{Map, Value, json};
use streamflow_plugin_host::{ChannelSender, PluginState, RuleAlert, RuleError, RuleRun};
use streamflow_proto::{batch::Batch, build::BatchBuilder, filter::Columns};

use crate::{fixture::Running, shipped::built};

pub fn batch(events: &[Value]) -> Batch {
    let mut builder = BatchBuilder::new();
    for event in events {
        builder
            .push_json(event.to_string().as_bytes(), 1_700_000_000_000)
            .unwrap();
    }
    builder.finish(1).decode().unwrap()
}

pub fn of(kind: &str, source: &str) -> Value {
    json!({"type": kind, "source": source, "timestamp": 1_700_000_000_000_i64, "severity": "high"})
}

pub async fn show(
    running: &Running,
    plugin: &str,
    run: &mut RuleRun,
    events: &[Value],
) -> Result<Vec<RuleAlert>, RuleError> {
    let batch = batch(events);
    let rows: Vec<u32> = (0..u32::try_from(batch.len()).unwrap()).collect();
    let parts = running
        .host
        .rule(plugin)
        .unwrap()
        .project(&mut Columns::new(&batch), &rows)
        .unwrap();
    run.on_events(&parts[0]).await
}

pub async fn start(running: &Running, plugin: &str, config: Value, state: Option<&[u8]>) -> Result<RuleRun, RuleError> {
    let config = config.as_object().unwrap().clone();
    running.host.rule(plugin).unwrap().start("a rule", &config, state).await
}

#[tokio::test]
async fn alerts_come_back_and_state_outlives_the_instance() {
    let Some(fixture) = built("dist") else { return };
    let running = fixture.start().await;
    let config = json!({"errors": 3, "within_seconds": 60});
    let mut run = start(&running, "error-burst", config.clone(), None).await.unwrap();
    let two = [of("log", "a"), of("log", "b"), of("log", "a")];
    assert_eq!(show(&running, "error-burst", &mut run, &two).await, Ok(Vec::new()));
    let state = run.save().await.unwrap();
    drop(run);
    let mut run = start(&running, "error-burst", config.clone(), Some(&state))
        .await
        .unwrap();
    let alerts = show(&running, "error-burst", &mut run, &[of("log", "x"), of("log", "a")])
        .await
        .unwrap();
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    let alert = &alerts[0];
    assert_eq!(
        (alert.key.as_str(), alert.value, alert.row, alert.resolved),
        ("a", Some(3.0), Some(1), false)
    );
    assert_eq!(alert.labels["source"], "a");
    let over = run.on_tick(1_700_000_900_000).await.unwrap();
    assert_eq!((over.len(), over[0].resolved), (1, true));

    let info = running.info("error-burst");
    assert_eq!(
        (info.state, info.kind.as_str(), info.errors, info.traps),
        (PluginState::Active, "rule", 0, 0)
    );
    assert!(
        info.calls >= 3 && info.cpu_ns_per_event.is_some() && info.memory_bytes > 0,
        "{info:?}"
    );
    let refused = start(&running, "error-burst", config, Some(b"nonsense"))
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, RuleError::Refused(reason) if reason.contains("earlier version")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_rules_configuration_is_checked_with_the_path_of_each_mistake() {
    let Some(fixture) = built("dist") else { return };
    let running = fixture.start().await;
    let check = async |plugin: &str, config: Value| {
        let problems = running.host.check_rule(plugin, config.as_object().unwrap()).await;
        let text = |problem: streamflow_plugin_host::RuleProblem| (problem.field, problem.reason);
        problems.into_iter().map(text).collect::<Vec<_>>()
    };
    assert_eq!(check("error-burst", json!({"errors": 3})).await, []);
    let wrong = check("error-burst", json!({"errors": "many", "severity": "worst"})).await;
    let fields: Vec<&str> = wrong.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(fields, ["config.errors", "config.severity"], "{wrong:?}");
    assert_eq!(check("error-burst", json!({"colour": 1})).await[0].0, "config");
    let unknown = check("pigeon", json!({})).await;
    assert!(
        unknown[0].0 == "plugin" && unknown[0].1.contains("brute-force-login, error-burst"),
        "{unknown:?}"
    );
    let channel = check("webhook", json!({})).await;
    assert!(
        channel[0].1.contains("no rule plugin is called `webhook`"),
        "{channel:?}"
    );
    let as_channel = running.host.check("error-burst", &Map::new()).await.unwrap_err();
    assert!(
        as_channel
            .to_string()
            .contains("no channel plugin is called `error-burst`"),
        "{as_channel}"
    );
}

/// What each rule of `plugins/testbed` must end as.
pub const TESTBED: [(&str, &str); 6] = [
    ("rule-bad-answer", "an alert names row 1000000 of 2"),
    ("rule-gigabyte-answer", "hostcall"),
    ("rule-loop", "computed longer than its deadline"),
    ("rule-memory-bomb", "memory limit of 32 MiB reached"),
    ("rule-stack-overflow", "stack overflow"),
    ("rule-trap", "cannot look at row 1"),
];

#[tokio::test]
async fn every_rule_of_the_testbed_is_contained() {
    let Some(mut fixture) = built("dist/testbed") else {
        return;
    };
    fixture.options.limits.rule_deadline_ms = 300;
    let running = fixture.start().await;
    let mut healthy = start(&running, "testbed-rule-trap", json!({}), None).await.unwrap();
    for (name, words) in TESTBED {
        let name = format!("testbed-{name}");
        let mut run = start(&running, &name, json!({}), None).await.unwrap();
        let fine = show(&running, &name, &mut run, &[of("a", "s")]).await.unwrap();
        assert_eq!(fine[0].value, Some(1.0), "{name}");
        let state = run.save().await.unwrap();
        let fault = show(&running, &name, &mut run, &[of("a", "s"), of("poison", "s")])
            .await
            .unwrap_err();
        assert!(
            matches!(&fault, RuleError::Fault(reason) if reason.contains(words)),
            "{name}: {fault:?}"
        );
        let after = show(&running, &name, &mut run, &[of("a", "s")]).await;
        assert!(
            matches!(after, Err(RuleError::Fault(_))),
            "{name}: the instance was called again"
        );
        assert_eq!(running.info(&name).traps, 1, "{name}");
        // A fresh one goes on from the saved state, and others never noticed.
        let mut run = start(&running, &name, json!({}), Some(&state)).await.unwrap();
        assert_eq!(
            show(&running, &name, &mut run, &[of("a", "s")]).await.unwrap()[0].value,
            Some(2.0),
            "{name}"
        );
        show(&running, "testbed-rule-trap", &mut healthy, &[of("a", "s")])
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn five_faults_put_a_rule_plugin_into_quarantine_until_it_is_enabled() {
    let Some(fixture) = built("dist/testbed") else { return };
    let running = fixture.start().await;
    let plugin = "testbed-rule-trap";
    for _ in 0..5 {
        assert_eq!(running.info(plugin).state, PluginState::Active);
        let mut run = start(&running, plugin, json!({}), None).await.unwrap();
        show(&running, plugin, &mut run, &[of("poison", "s")])
            .await
            .unwrap_err();
    }
    let info = running.info(plugin);
    assert_eq!(info.state, PluginState::Quarantined);
    assert!(info.reason.unwrap().contains("cannot look at row 0"));
    let refused = start(&running, plugin, json!({}), None).await.unwrap_err();
    assert!(
        matches!(&refused, RuleError::Unavailable(reason) if reason.contains("quarantine")),
        "{refused:?}"
    );
    assert!(running.metric("streamflow_plugin_quarantines_total", &[("plugin", plugin)]) > 0.5);
    let changes = running.host.changes();
    running.host.set_enabled(plugin, true, "test").await.unwrap();
    assert!(changes.has_changed().unwrap(), "whoever waits for it hears of it");
    start(&running, plugin, json!({}), None).await.unwrap();
}
