//! A version in the shadow: compared, never heard, and no danger to the one that runs.

use std::time::{Duration, Instant};

use serde_json::json;
use streamflow_plugin_host::{
    DifferenceKind, InstallError, RuleAlert, RuleRun, Said, ShadowInfo, ShadowRun, ShadowState, VerdictCounts,
};
use streamflow_proto::filter::Columns;

use crate::{
    fixture::{Fixture, Running},
    rule_text::RuleText,
    rules::{batch, of, start},
};

/// Raises an alert `key` for each batch, with this number behind it.
const ONE: &str = "(i32.store (i32.const 1048580) (i32.const 64)) (i32.store (i32.const 1048584) (i32.const 3))
    (i32.store8 (i32.const 1048608) (i32.const 1)) (f64.store (i32.const 1048616) (f64.const 1))
    (call $list (i32.const 1048576) (i32.const 1))";
const TWO: &str = "(i32.store (i32.const 1048580) (i32.const 64)) (i32.store (i32.const 1048584) (i32.const 3))
    (i32.store8 (i32.const 1048608) (i32.const 1)) (f64.store (i32.const 1048616) (f64.const 2))
    (call $list (i32.const 1048576) (i32.const 1))";

fn version(version: &str, events: &'static str, more: &'static str) -> Vec<u8> {
    let text = RuleText {
        events,
        manifest: more,
        ..RuleText::default()
    };
    text.build_version("mine", version)
}

async fn host() -> Running {
    let mut fixture = Fixture::new();
    fixture.options.allow_unsigned = true;
    let running = fixture.start().await;
    running
        .host
        .install(version("1.0.0", ONE, ""), true, "test")
        .await
        .unwrap();
    running
}

/// What a rule of a hub does with an active version and its shadow.
struct Rule {
    active: RuleRun,
    shadow: ShadowRun,
    position: u64,
}

impl Rule {
    async fn new(running: &Running) -> Self {
        let shadow = running.host.shadow("mine").unwrap();
        let shadow = ShadowRun::start(&shadow, "a rule", json!({}).as_object().unwrap());
        shadow.set_state(None, 0, i64::MIN);
        Self {
            active: start(running, "mine", json!({}), None).await.unwrap(),
            shadow,
            position: 0,
        }
    }

    async fn show(&mut self, running: &Running) -> Vec<RuleAlert> {
        self.position += 1;
        let batch = batch(&[of("a", "s"), of("b", "s")]);
        let mut columns = Columns::new(&batch);
        let parts = running
            .host
            .rule("mine")
            .unwrap()
            .project(&mut columns, &[0, 1])
            .unwrap();
        let alerts = self.active.on_events(&parts[0]).await.unwrap();
        let said = Said {
            alerts: alerts.clone(),
            spent: self.active.spent(),
        };
        self.shadow.events(&mut columns, &[0, 1], self.position, 7, || said);
        alerts
    }
}

/// The shadow works when it comes to it.
async fn eventually(running: &Running, what: &str, fine: impl Fn(&ShadowInfo) -> bool) -> ShadowInfo {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let info = running.host.shadow_info("mine").unwrap();
        if fine(&info) {
            return info;
        }
        assert!(Instant::now() < until, "{what}: {info:?}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn differences_are_counted_and_the_version_that_runs_is_the_only_one_heard() {
    let running = host().await;
    let info = running
        .host
        .install_shadow(version("2.0.0", TWO, ""), false, "test")
        .await
        .unwrap();
    assert_eq!(
        (info.version.as_str(), info.shadow_version.as_deref()),
        ("1.0.0", Some("2.0.0"))
    );
    let waiting = running.host.shadow_info("mine").unwrap();
    assert_eq!((waiting.state, waiting.calls), (ShadowState::Waiting, 0));
    let mut rule = Rule::new(&running).await;
    for _ in 0..3 {
        assert_eq!(rule.show(&running).await[0].value, Some(1.0));
    }
    let found = eventually(&running, "three calls are compared", |info| info.calls == 3).await;
    let counts = VerdictCounts {
        changed: 3,
        ..VerdictCounts::default()
    };
    assert_eq!((found.verdicts, found.events, found.passed_over_calls), (counts, 6, 0));
    assert_eq!(
        (found.state, found.rules.as_slice()),
        (ShadowState::Running, &["a rule".to_owned()][..])
    );
    let example = &found.examples[0];
    assert_eq!(
        (example.kind, example.rule.as_str()),
        (DifferenceKind::Changed, "a rule")
    );
    let values = [&example.active, &example.shadow].map(|side| side.as_ref().unwrap().value);
    assert_eq!(values, [Some(1.0), Some(2.0)]);
    assert!(
        found.shadow.cpu_ns_per_event.is_some() && found.active.cpu_ns_per_event.is_some(),
        "{found:?}"
    );
    // Its calls are not counted as those of the version that runs.
    assert_eq!(running.info("mine").calls, 3);

    // What the active version shows again after a fault of its own, the shadow has seen.
    rule.position -= 1;
    rule.show(&running).await;
    rule.show(&running).await;
    let found = eventually(&running, "the next call is compared", |info| info.calls == 4).await;
    assert_eq!(found.passed_over_calls, 0);

    let promoted = running.host.promote("mine", "test").await.unwrap();
    assert_eq!(
        (
            promoted.version.as_str(),
            promoted.previous_version.as_deref(),
            promoted.shadow_version
        ),
        ("2.0.0", Some("1.0.0"), None)
    );
    assert!(matches!(
        running.host.shadow_info("mine"),
        Err(InstallError::NoShadow(_))
    ));
    assert_eq!(running.host.rollback("mine", "test").await.unwrap().version, "1.0.0");
}

#[tokio::test]
async fn a_shadow_that_traps_disturbs_nobody_and_stops_after_five_times() {
    let running = host().await;
    running
        .host
        .install_shadow(version("2.0.0", "(unreachable)", ""), false, "test")
        .await
        .unwrap();
    let mut rule = Rule::new(&running).await;
    for times in 1..=5 {
        assert_eq!(rule.show(&running).await.len(), 1);
        eventually(&running, "it traps", |info| info.shadow.traps == times).await;
        // It begins again with the state of the version that runs, when it is given one.
        while times < 5 && !rule.shadow.needs_state() {
            tokio::task::yield_now().await;
        }
        rule.shadow.set_state(None, rule.position, i64::MIN);
    }
    rule.show(&running).await;
    let found = eventually(&running, "it follows no more", |info| {
        info.state == ShadowState::Stopped
    })
    .await;
    assert!(found.reason.unwrap().contains("5 failures within a minute"));
    assert_eq!((found.calls, found.shadow.traps), (0, 5));
    let active = running.info("mine");
    assert_eq!((active.traps, running.host.quarantined()), (0, Vec::new()));
    assert!(running.metric("streamflow_plugin_active", &[("plugin", "mine")]) > 0.5);
    assert_eq!(rule.show(&running).await.len(), 1);

    let left = running.host.discard("mine", "test").await.unwrap();
    assert_eq!((left.version.as_str(), left.shadow_version), ("1.0.0", None));
    assert!(running.host.shadow("mine").is_none());
}

#[tokio::test]
async fn a_shadow_that_refuses_the_configuration_says_which_rule_and_field() {
    const STRICT: &str = "[config.schema]\nrequired = [\"threshold\"]\n";
    let running = host().await;
    running
        .host
        .install_shadow(version("2.0.0", TWO, STRICT), false, "test")
        .await
        .unwrap();
    let mut rule = Rule::new(&running).await;
    rule.show(&running).await;
    let found = eventually(&running, "it refuses", |info| info.state == ShadowState::Stopped).await;
    let reason = found.reason.unwrap();
    assert!(
        reason.contains("rule `a rule`: config") && reason.contains("threshold"),
        "{reason}"
    );
}

#[tokio::test]
async fn only_an_installed_rule_has_a_shadow_and_it_is_there_after_a_restart() {
    let mut fixture = Fixture::new();
    fixture.options.allow_unsigned = true;
    let running = fixture.try_start().await.unwrap();
    let refused = async |running: &Running, bytes: Vec<u8>| {
        let error = running.host.install_shadow(bytes, true, "test").await.unwrap_err();
        assert!(matches!(error, InstallError::NoShadowOf(_)), "{error}");
        error.to_string()
    };
    assert!(
        refused(&running, version("2.0.0", TWO, ""))
            .await
            .contains("without --shadow")
    );
    running
        .host
        .install(version("1.0.0", ONE, ""), false, "test")
        .await
        .unwrap();
    assert!(
        refused(&running, version("2.0.0", TWO, ""))
            .await
            .contains("waits for approval and does not run")
    );
    running
        .host
        .install(version("1.0.0", ONE, ""), true, "test")
        .await
        .unwrap();
    assert!(refused(&running, version("1.0.0", ONE, "")).await.contains("that runs"));
    let channel = crate::fixture::Parts::default().build("mine");
    assert!(refused(&running, channel).await.contains("only rules"));
    running
        .host
        .install_shadow(version("2.0.0", TWO, ""), false, "test")
        .await
        .unwrap();
    drop(running);

    let running = fixture.try_start().await.unwrap();
    assert_eq!(running.info("mine").shadow_version.as_deref(), Some("2.0.0"));
    let before = running.host.shadow("mine").unwrap();
    running
        .host
        .install(version("1.1.0", ONE, ""), true, "test")
        .await
        .unwrap();
    let after = running.host.shadow("mine").unwrap();
    assert!(!before.is(&after), "beside another version it is another comparison");
    running.host.remove("mine", false, "test").await.unwrap();
    assert_eq!(
        std::fs::read_dir(fixture.dir.path().join("plugins")).unwrap().count(),
        0
    );
}
