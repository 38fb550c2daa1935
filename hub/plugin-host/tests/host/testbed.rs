//! Every way in which a plugin is known to misbehave: what it costs, that others go on, and that no component of `plugins/testbed` is without a test.

use std::{fs, time::Duration};

use serde_json::{Map, Value, json};
use streamflow_plugin_host::{
    ChannelSender, DeliverError, InstallError, LineLevel, Options, PluginState, measure,
    signature::{KeyTexts, SigningKey},
    trial::Trial,
};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::method};

use crate::{
    fixture::{Fixture, Parts, Running, component, manifest, notice},
    rule_text::RuleText,
    rules::{of, show, start},
    shipped::{built, plugins},
};

/// Components that do not end as the others do, each with a test of its own here; a rule's next version is part of its tests.
pub const OWN: [&str; 9] = [
    "invalid-utf8",
    "log-flood",
    "rule-config-mismatch",
    "rule-count",
    "rule-count2",
    "rule-log-flood",
    "rule-trap2",
    "slow-http",
    "transform-loop",
];

#[test]
fn every_component_of_the_testbed_has_a_test() {
    let folders = fs::read_dir(plugins().join("testbed")).unwrap();
    let mut names: Vec<String> = folders
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let lists = crate::shipped::TESTBED
        .iter()
        .chain(&crate::rules::TESTBED)
        .map(|(name, _)| *name);
    let mut known: Vec<&str> = lists.chain(OWN).collect();
    known.sort_unstable();
    assert_eq!(names, known, "each component stands in one list");
    let tests = [
        include_str!("testbed.rs"),
        include_str!("rules.rs"),
        include_str!("transforms.rs"),
        include_str!("../../../../tests/e2e/plugins.rs"),
        include_str!("../../../../tests/e2e/plugin_shadow.rs"),
    ]
    .concat();
    for name in OWN {
        assert!(
            tests.contains(&format!("\"testbed-{name}\"")) || tests.contains(&format!("testbed/{name}.wasm")),
            "{name} is in no test"
        );
    }
}

async fn deliver(running: &Running, plugin: &str, config: &Value) -> Result<String, DeliverError> {
    let config = config.as_object().unwrap();
    running.host.deliver(plugin, "ops", config, &notice(), 1).await
}

#[tokio::test]
async fn answers_that_are_no_text_are_faults() {
    let Some(fixture) = built("dist/testbed") else { return };
    let running = fixture.start().await;
    let reason = deliver(&running, "testbed-invalid-utf8", &json!({}))
        .await
        .unwrap_err()
        .to_string();
    assert!(reason.contains("utf-8"), "{reason}");
    assert_eq!(running.info("testbed-invalid-utf8").traps, 1);
}

#[tokio::test]
async fn a_flood_of_lines_is_cut_and_counted_and_the_call_goes_on() {
    let Some(mut fixture) = built("dist/testbed") else {
        return;
    };
    fixture.options.limits.deadline_ms = 30_000;
    let running = fixture.start().await;
    assert_eq!(
        deliver(&running, "testbed-log-flood", &json!({})).await,
        Ok("sent".to_owned())
    );
    let logs = running
        .host
        .logs("testbed-log-flood", 0, LineLevel::Debug, 5_000)
        .unwrap();
    // As many as pass in the seconds that the call took, which depends on the machine.
    assert!((100..=1_000).contains(&logs.lines.len()), "{}", logs.lines.len());
    assert_eq!(logs.dropped + logs.last, 100_000);
    let dropped = running.metric(
        "streamflow_plugin_log_lines_dropped_total",
        &[("plugin", "testbed-log-flood")],
    );
    assert!(
        (dropped - logs.dropped as f64).abs() < 0.5,
        "{dropped} {}",
        logs.dropped
    );
    let first = &logs.lines[0];
    assert_eq!(
        (first.line.as_str(), first.level, first.used_by.as_str()),
        ("line 0 of a flood", LineLevel::Info, "ops")
    );
    assert_eq!((first.instance, first.version.as_str()), (Some(1), "1.0.0"));
}

#[tokio::test]
async fn a_rule_that_logs_without_end_ends_at_its_deadline() {
    let Some(mut fixture) = built("dist/testbed") else {
        return;
    };
    fixture.options.limits.rule_deadline_ms = 100;
    let running = fixture.start().await;
    let plugin = "testbed-rule-log-flood";
    let mut run = start(&running, plugin, json!({}), None).await.unwrap();
    assert_eq!(
        show(&running, plugin, &mut run, &[of("a", "s")]).await.unwrap().len(),
        1
    );
    let fault = show(&running, plugin, &mut run, &[of("poison", "s")])
        .await
        .unwrap_err()
        .to_string();
    assert!(fault.contains("deadline"), "{fault}");
    let logs = running.host.logs(plugin, 0, LineLevel::Warn, 1_000).unwrap();
    assert!(logs.dropped > 0 && logs.lines.iter().any(|line| line.line == "a line of a flood"));
    let hub = logs.lines.last().unwrap();
    assert!(
        hub.instance.is_none() && hub.line.contains("deadline"),
        "the reason stands in the log: {hub:?}"
    );
}

#[tokio::test]
async fn slow_answers_cost_their_call_and_no_more_than_its_time() {
    let Some(mut fixture) = built("dist/testbed") else {
        return;
    };
    let server = MockServer::start().await;
    let slow = ResponseTemplate::new(200).set_delay(Duration::from_secs(60));
    Mock::given(method("POST")).respond_with(slow).mount(&server).await;
    fixture.egress.allow = vec![server.address().to_string()];
    fixture.options.limits.call_ms = 300;
    let running = fixture.start().await;
    let (config, none) = (json!({"url": server.uri()}), json!({}));
    let (slow, other) = tokio::join!(
        deliver(&running, "testbed-slow-http", &config),
        deliver(&running, "testbed-invalid-utf8", &none),
    );
    assert!(slow.unwrap_err().to_string().contains("no answer in 0.3 s"));
    assert!(other.is_err());
}

#[tokio::test]
async fn a_configuration_that_does_not_fit_its_schema_or_its_plugin_is_refused_by_field() {
    let Some(fixture) = built("dist/testbed") else { return };
    let running = fixture.start().await;
    let check = async |config: Value| {
        let problems = running
            .host
            .check_rule("testbed-rule-config-mismatch", config.as_object().unwrap())
            .await;
        let first = problems.into_iter().next();
        first.map(|problem| (problem.field, problem.reason))
    };
    assert_eq!(check(json!({})).await, None);
    let (field, reason) = check(json!({"threshold": "five"})).await.unwrap();
    assert!(
        field == "config.threshold" && reason.contains("number"),
        "{field}: {reason}"
    );
    assert_eq!(check(json!({"threshold": -1})).await.unwrap().0, "config.threshold");
    // The schema lets it pass, and the plugin does not.
    let refused = check(json!({"threshold": 5})).await.unwrap();
    assert_eq!(refused, ("config".to_owned(), "threshold is 5, and no text".to_owned()));
    assert_eq!(running.info("testbed-rule-config-mismatch").traps, 0);
}

/// A thousand alerts whose texts are all the same megabyte.
const GIGABYTE: &str = "(loop $l
        (i32.store (i32.add (i32.const 1048580) (i32.mul (local.get $i) (i32.const 72))) (i32.const 64))
        (i32.store (i32.add (i32.const 1048584) (i32.mul (local.get $i) (i32.const 72))) (i32.const 3))
        (i32.store (i32.add (i32.const 1048596) (i32.mul (local.get $i) (i32.const 72))) (i32.const 2097152))
        (i32.store (i32.add (i32.const 1048600) (i32.mul (local.get $i) (i32.const 72))) (i32.const 1048576))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $l (i32.lt_u (local.get $i) (i32.const 1024))))
    (call $list (i32.const 1048576) (i32.const 1024))";

#[tokio::test]
async fn what_no_compiler_makes_is_contained_too() {
    let events = |events| RuleText {
        events,
        ..RuleText::default()
    };
    let tables = RuleText {
        fields: "(table $t 1 funcref)",
        ..events("(drop (table.grow $t (ref.null func) (i32.const 100000))) (call $list (i32.const 0) (i32.const 0))")
    };
    let garbled = RuleText {
        fields: "(data (i32.const 80) \"\\ff\\fe\")",
        // One alert: its key is two bytes that are no text.
        ..events(
            "(i32.store (i32.const 1048580) (i32.const 80)) (i32.store (i32.const 1048584) (i32.const 2))
             (call $list (i32.const 1048576) (i32.const 1))",
        )
    };
    let cases = [
        ("tables", tables, "memory", "table limit"),
        ("gigabyte", events(GIGABYTE), "copy", "hostcall"),
        (
            "beyond",
            events("(call $list (i32.const 1048576) (i32.const 1073741824))"),
            "trap",
            "",
        ),
        ("garbled", garbled, "trap", "utf-8"),
    ];
    let mut fixture = Fixture::new().file("shipped/healthy.wasm", &RuleText::default().build("healthy"));
    for (name, text, ..) in &cases {
        fixture = fixture.file(&format!("shipped/{name}.wasm"), &text.build(name));
    }
    let running = fixture.start().await;
    let mut healthy = start(&running, "healthy", json!({}), None).await.unwrap();
    for (name, _, cause, words) in &cases {
        let mut run = start(&running, name, json!({}), None).await.unwrap();
        let reason = show(&running, name, &mut run, &[of("a", "s")])
            .await
            .unwrap_err()
            .to_string();
        assert!(reason.to_lowercase().contains(words), "{name}: {reason}");
        let traps = running.metric("streamflow_plugin_traps_total", &[("plugin", name), ("cause", cause)]);
        assert!(traps > 0.5, "{name}: {reason}");
        assert_eq!(
            show(&running, "healthy", &mut healthy, &[of("a", "s")]).await,
            Ok(Vec::new())
        );
    }
}

/// Tries to put these files in place of a rule that runs; it goes on whatever they are.
async fn refused(running: &Running, present: Vec<u8>, files: Vec<(&str, Vec<u8>, &str)>) {
    running.host.install(present, true, "test").await.unwrap();
    let mut run = start(running, "mine", json!({}), None).await.unwrap();
    for (what, bytes, words) in files {
        let error = running.host.install(bytes, true, "test").await.unwrap_err();
        assert!(!matches!(error, InstallError::Folder(_)), "{what}: {error}");
        assert!(error.to_string().contains(words), "{what}: {error}");
        assert_eq!(
            show(running, "mine", &mut run, &[of("a", "s")]).await,
            Ok(Vec::new()),
            "{what}"
        );
    }
    let info = running.info("mine");
    assert_eq!(
        (info.state, info.version.as_str(), info.traps),
        (PluginState::Active, "1.0.0", 0)
    );
}

#[tokio::test]
async fn unsigned_altered_and_huge_files_are_refused() {
    let keys = KeyTexts::generate().unwrap();
    let sign = |bytes: &[u8]| SigningKey::parse(&keys.secret).unwrap().sign(bytes, "test").unwrap();
    let mut fixture = Fixture::new();
    fixture.options.trusted_keys = vec![keys.public.clone()];
    let running = fixture.start().await;
    let plain = RuleText::default().build("mine");
    let signed = sign(&plain);
    let mut altered = signed.clone();
    altered[plain.len() / 3] ^= 1;
    let mut huge = plain.clone();
    let padding = wasm_encoder::CustomSection {
        name: "padding".into(),
        data: vec![0; 32 << 20].into(),
    };
    wasm_encoder::ComponentSection::append_to_component(&padding, &mut huge);
    let files = vec![
        ("unsigned", plain, "not signed"),
        ("altered", altered, ""),
        ("huge", huge, "33554432 are allowed"),
    ];
    refused(&running, signed, files).await;
}

#[tokio::test]
async fn forbidden_imports_and_other_versions_of_the_interface_are_refused() {
    let mut fixture = Fixture::new();
    fixture.options.allow_unsigned = true;
    let running = fixture.start().await;
    let importing = |import: &str| {
        component(
            &format!("(component (import \"{import}\" (instance)))"),
            &manifest("mine", "rule", ""),
        )
    };
    let other = component("(component)", &manifest("mine", "rule", "").replace("0.1\"", "0.9\""));
    let files = vec![
        (
            "forbidden import",
            importing("wasi:filesystem/types@0.2.0"),
            "wasi:filesystem/types@0.2.0",
        ),
        (
            "another version imported",
            importing("streamflow:plugin/log@0.9.0"),
            "another version",
        ),
        ("another version named", other, "0.9"),
    ];
    refused(&running, RuleText::default().build("mine"), files).await;
}

/// Channels and rules are told apart by their kind, and each fault is the plugin's own.
#[tokio::test]
async fn a_quarantine_is_told_with_its_cause_until_it_is_over() {
    let bad = Parts {
        deliver: "(unreachable)",
        ..Parts::default()
    };
    let running = Fixture::new()
        .plugin("bad", &bad)
        .plugin("good", &Parts::default())
        .start()
        .await;
    assert_eq!(running.host.quarantined(), []);
    for _ in 0..5 {
        running
            .host
            .deliver("bad", "ops", &Map::new(), &notice(), 1)
            .await
            .unwrap_err();
    }
    let [quarantined] = running.host.quarantined().try_into().unwrap();
    assert_eq!(
        (
            quarantined.plugin.as_str(),
            quarantined.kind.as_str(),
            quarantined.cause
        ),
        ("bad", "channel", "trap")
    );
    assert!(
        quarantined.reason.starts_with("5 failures within a minute"),
        "{quarantined:?}"
    );
    let series = running.metric("streamflow_plugin_quarantined", &[("plugin", "bad"), ("cause", "trap")]);
    assert!(series > 0.5);
    let info = running.info("bad");
    assert_eq!(
        (info.quarantine_cause.as_deref(), info.quarantined_since),
        (Some("trap"), Some(quarantined.since))
    );
    let logs = running.host.logs("bad", 0, LineLevel::Error, 100).unwrap();
    assert!(logs.lines.last().unwrap().line.contains("quarantine"), "{logs:?}");

    running.host.set_enabled("bad", false, "test").await.unwrap();
    assert_eq!(
        running.host.quarantined(),
        [],
        "what is switched off is not called anyway"
    );
    running.host.set_enabled("bad", true, "test").await.unwrap();
    assert_eq!(
        (running.host.quarantined(), running.info("bad").quarantine_cause),
        (Vec::new(), None)
    );
    let gone = running.registry.gather();
    assert!(
        gone.iter()
            .all(|family| family.name() != "streamflow_plugin_quarantined"),
        "no series is left"
    );
}

#[tokio::test]
async fn what_a_rule_costs_is_measured_beside_a_native_pass() {
    let Some(fixture) = built("dist/testbed") else { return };
    let file = fixture.options.shipped_dir.as_ref().unwrap().join("rule-count.wasm");
    let trial = Trial::open(fs::read(&file).unwrap(), &Options::default())
        .await
        .unwrap();
    // Derived from the struct in the plugin's code, which has no schema in its plugin.toml.
    assert_eq!(trial.manifest().schema["properties"]["many"]["minimum"], 1);
    let config = json!({"threshold": 5.0, "many": 10});
    let config = config.as_object().unwrap();
    let rule = trial.rule();
    let batch = measure::made_up(trial.manifest(), 256).unwrap();
    let cost = measure::batch_cost(&rule, config, &batch, Duration::ZERO)
        .await
        .unwrap();
    assert!(cost.events == 256 && cost.calls >= 10, "{cost:?}");
    assert!(
        cost.call_ns > 0 && cost.native_ns_per_event > 0.0 && cost.columns_ns_per_event > 0.0,
        "{cost:?}"
    );
    assert!(measure::tick_cost(&rule, config).await.unwrap() > Duration::ZERO);
    let (again, _) = trial.load_again().await.unwrap();
    assert_eq!(again.fingerprint(), rule.fingerprint());
    assert_eq!(rule.check(config).await, []);
    assert_eq!(rule.check(&Map::new()).await[0].field, "config");
    let channel = Trial::open(Parts::default().build("c"), &Options::default())
        .await
        .unwrap_err();
    assert!(channel.to_string().contains("only rules"), "{channel}");
}
