//! A rehearsal sends what the live engine would send, and says what it held back.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicI64, Ordering},
};

use async_trait::async_trait;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use streamflow_model::{Rule, Signal, Span};
use streamflow_plugin_host::{ChannelError, ChannelSender, DeliverError, Notice};
use streamflow_storage::Store;

use super::{Paging, PagingReport, PagingSetup};
use crate::{
    book::{Book, Stored},
    documents::{self, CHANNEL, ESCALATION, MAINTENANCE, ONCALL, ROUTING, SILENCE},
    engine::{stepped::Stepped, tests::Memory},
    held::{Cause, Gate},
    options::Options,
    sample::{self, MINUTE, T0},
};

const SECOND: i64 = 1000;

fn rule(id: &str, fields: Value) -> Rule {
    Rule {
        id: id.to_owned(),
        ..sample::rule(fields)
    }
}

fn signal(rule: &str, source: &str, window: i64, value: f64, complete: bool) -> Signal {
    let mut signal = if complete {
        sample::signal(window, value)
    } else {
        sample::incomplete(window, value)
    };
    signal.rule_id = rule.to_owned();
    signal.labels.insert("source".to_owned(), source.to_owned());
    signal
}

fn options() -> Options {
    Options {
        flap_changes: 6,
        flap_window: Span::from_secs(40),
        ..Options::default()
    }
}

/// Everything that decides who is told, each in use: T0 is 22:13:20 UTC.
fn world(rules: &[Rule]) -> Arc<Memory> {
    let store = Memory::with(rules);
    let channel = |name: &str, more: Value| {
        let mut body = json!(sample::channel(name));
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        store.add(CHANNEL, name, body);
    };
    channel("ann", json!({}));
    channel("bob", json!({}));
    channel("boss", json!({"level": "critical"}));
    channel("few", json!({"rate_per_minute": 2}));
    channel(
        "later",
        json!({"active_hours": {"time_zone": "UTC", "spans": [{"from": "22:17", "to": "22:00"}]}}),
    );
    let oncall = json!({"name": "primary",
        "people": [{"name": "Ann", "channels": ["ann"]}, {"name": "Bob", "channels": ["bob"]}],
        "rotations": [{"people": ["Ann", "Bob"], "starts_on": "2023-11-13", "hand_over": "22:16", "every_days": 1}]});
    store.add(ONCALL, "primary", oncall);
    let policy = json!({"name": "page", "repeat": 1, "steps": [
        {"after": "20s", "channels": ["oncall:primary"]}, {"after": "30s", "channels": ["boss", "few"]}]});
    store.add(ESCALATION, "page", policy);
    let silence = json!({"id": "s1", "matchers": [{"name": "source", "value": "web-1", "op": "="}], "starts_at": T0 + 60_001,
        "ends_at": T0 + 120_001, "comment": "known", "created_by": "ann", "created_at": T0, "updated_at": T0});
    store.add(SILENCE, "s1", silence);
    let window = json!({"name": "backup", "matchers": [{"name": "source", "value": "web-2", "op": "="}], "comment": "nightly",
        "hours": {"time_zone": "UTC", "spans": [{"from": "22:15", "to": "22:16"}]}});
    store.add(MAINTENANCE, "backup", window);
    let routing = json!({"version": 1, "updated_at": T0,
        "route": {"channels": ["ops", "later"], "group_by": ["source"], "group_wait": "5s", "group_interval": "30s", "repeat_interval": "2m",
            "routes": [{"matchers": [{"name": "source", "value": "web-3", "op": "="}], "channels": ["few", "oncall:primary"],
                "group_by": ["..."], "group_wait": "0s", "escalation": "page"}]},
        "inhibit": [{"source": [{"name": "level", "value": "critical", "op": "="}],
            "target": [{"name": "level", "value": "warning", "op": "="}], "equal": ["source"]}]});
    store.add(ROUTING.0, ROUTING.1, routing);
    store
}

async fn setup(store: &dyn Store) -> PagingSetup {
    let loaded = documents::load(store).await.unwrap();
    let stored = Stored {
        rules: loaded.rules,
        channels: loaded.channels,
        escalations: loaded.escalations,
        rosters: loaded.rosters,
        mutes: loaded.mutes,
        routing: loaded.routing,
        ..Stored::default()
    };
    // As the hub copies it: out of the book that lives.
    PagingSetup::of(&Book::load(options(), "", stored, Vec::new(), T0))
}

/// One notification: when, to whom, what.
type Told = (i64, String, &'static str, String);

/// Takes down what it is asked to send, and when.
#[derive(Debug, Default)]
struct Recorder {
    now: AtomicI64,
    told: Mutex<Vec<Told>>,
}

#[async_trait]
impl ChannelSender for Recorder {
    async fn check(&self, _: &str, _: &Map<String, Value>) -> Result<(), ChannelError> {
        Ok(())
    }
    async fn deliver(
        &self,
        _: &str,
        channel: &str,
        _: &Map<String, Value>,
        notice: &Notice,
        _: u32,
    ) -> Result<String, DeliverError> {
        let at = self.now.load(Ordering::SeqCst) - T0;
        let told = (at, channel.to_owned(), notice.state.name(), notice.title.clone());
        self.told.lock().unwrap().push(told);
        Ok(String::new())
    }
    fn secret_keys(&self, _: &str) -> Vec<String> {
        Vec::new()
    }
}

/// The live engine, from verdict to verdict.
async fn live(store: Arc<Memory>, verdicts: &[(i64, Signal)], end: i64) -> Vec<Told> {
    let recorder = Arc::new(Recorder::default());
    let mut engine = Stepped::start(&options(), store, recorder.clone(), T0).await;
    let mut coming = verdicts.iter().peekable();
    loop {
        let next = coming.peek().map(|(at, _)| *at);
        let due = engine.due().filter(|due| *due <= end);
        match (next, due) {
            (Some(next), due) if due.is_none_or(|due| next < due) => {
                recorder.now.store(next, Ordering::SeqCst);
                let (_, signal) = coming.next().unwrap();
                engine.signals(vec![signal.clone()], next).await;
            }
            (_, Some(due)) => {
                recorder.now.store(due, Ordering::SeqCst);
                engine.time(due).await;
            }
            (_, None) => break,
        }
    }
    let mut told = recorder.told.lock().unwrap().clone();
    told.sort();
    told
}

fn told(report: &PagingReport) -> Vec<Told> {
    let pages = report.pages.iter();
    let mut told: Vec<Told> = pages
        .map(|page| {
            (
                page.at.0 - T0,
                page.channel.clone(),
                page.state.name(),
                page.title.clone(),
            )
        })
        .collect();
    told.sort();
    told
}

async fn rehearsed(store: &Memory, rules: &[Rule], verdicts: &[(i64, Signal)], end: i64) -> PagingReport {
    let mut paging = Paging::new(setup(store).await, rules, &options(), None, T0);
    for (at, signal) in verdicts {
        paging.verdicts(std::slice::from_ref(signal), *at);
    }
    paging.finish(end)
}

/// Three rules: one tells channels and a schedule, one goes by the routes, one inhibits.
fn rules(hold: u32, suppression: u32, keep: u32, escalation: u32) -> Vec<Rule> {
    let times = json!({"for": format!("{hold}s"), "suppression_minutes": suppression, "keep_firing_for": format!("{keep}s"),
        "escalation_minutes": escalation, "flap_detection": true});
    let with = |more: Value| {
        let mut fields = times.clone();
        fields
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        fields
    };
    vec![
        rule(
            "named",
            with(json!({"name": "named", "channels": ["oncall:primary", "few", "later"], "escalation": "page"})),
        ),
        rule("routed", with(json!({"name": "routed", "channels": []}))),
        rule(
            "source",
            json!({"name": "source", "level": "critical", "channels": ["boss"]}),
        ),
    ]
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever the verdicts: to the millisecond, the same channels are told the same.
    #[test]
    fn it_sends_what_the_live_engine_sends(
        hold in 0_u32..9, suppression in 0_u32..3, keep in 0_u32..15, escalation in 0_u32..2,
        steps in prop::collection::vec((1_i64..40, 0_usize..3, 0_usize..3, prop::bool::weighted(0.6), prop::bool::weighted(0.9)), 1..60),
    ) {
        let rules = rules(hold, suppression, keep, escalation);
        let mut verdicts = Vec::new();
        let mut seconds = 0;
        for (nth, (gap, rule, source, met, complete)) in steps.into_iter().enumerate() {
            seconds += gap;
            let nth = i64::try_from(nth).unwrap();
            let (rule, source) = (rules[rule].id.clone(), ["web-1", "web-2", "web-3"][source]);
            let value = if met { 60.0 + nth as f64 } else { 1.0 };
            // No two verdicts share their milliseconds, so that no timer of one falls on the moment of another.
            let at = T0 + seconds * SECOND + 2 + 2 * nth;
            verdicts.push((at, signal(&rule, source, nth, value, complete)));
        }
        let end = T0 + seconds * SECOND + 10 * MINUTE + 999;
        let store = world(&rules);
        let (live, rehearsed) = runtime().block_on(async {
            let rehearsed = rehearsed(&store, &rules, &verdicts, end).await;
            (live(store, &verdicts, end).await, rehearsed)
        });
        prop_assert_eq!(told(&rehearsed), live);
        prop_assert_eq!(rehearsed.notifications, rehearsed.pages.len() as u64);
        let listed: u64 = rehearsed.who.iter().map(|one| one.notifications).sum();
        prop_assert_eq!(listed, rehearsed.notifications);
    }
}

fn held(report: &PagingReport) -> Vec<(Gate, &str, u64, u64)> {
    let mut held: Vec<_> = report
        .held
        .iter()
        .map(|held| (held.gate, held.name.as_str(), held.count, held.told_later))
        .collect();
    held.sort();
    held
}

#[tokio::test]
async fn every_gate_says_what_it_held_back() {
    let rules = rules(0, 0, 0, 0);
    let store = world(&rules);
    let at = |seconds: i64, rule: &str, source: &str, value: f64| {
        let now = T0 + seconds * SECOND;
        (now, signal(rule, source, seconds, value, true))
    };
    let verdicts = [
        // Ann is on call until 22:16, which is T0 + 160 s; `later` is told from 22:17.
        at(1, "named", "web-4", 60.0),
        at(2, "named", "web-4", 1.0),
        // A silence until T0 + 120 s: told then, by the routes.
        at(61, "routed", "web-1", 60.0),
        // A maintenance window from T0 + 100 s to 160 s, and over before its end.
        at(101, "routed", "web-2", 60.0),
        at(110, "routed", "web-2", 1.0),
        // Inhibited by the critical one.
        at(170, "source", "web-5", 60.0),
        at(171, "named", "web-5", 60.0),
        at(172, "named", "web-5", 1.0),
    ];
    let report = rehearsed(&store, &rules, &verdicts, T0 + 180 * SECOND).await;
    assert_eq!(
        held(&report),
        [
            (Gate::Silence, "s1", 1, 1),
            (Gate::Maintenance, "backup", 1, 0),
            (Gate::Inhibition, "", 1, 0),
            (Gate::ActiveHours, "later", 3, 0),
        ]
    );
    let comments: Vec<_> = report.held.iter().filter_map(|held| held.comment.as_deref()).collect();
    assert!(
        comments.contains(&"known") && comments.contains(&"nightly"),
        "{comments:?}"
    );
    let who: Vec<_> = report
        .who
        .iter()
        .map(|one| {
            (
                one.channel.as_str(),
                one.schedule.as_deref(),
                one.person.as_deref(),
                one.notifications,
            )
        })
        .collect();
    for expected in [
        ("ann", Some("primary"), Some("Ann"), 2),
        ("boss", None, None, 1),
        ("ops", None, None, 1),
    ] {
        assert!(who.contains(&expected), "{expected:?} in {who:?}");
    }
    assert_eq!(report.fired, 5);
    assert_eq!(report.days.values().sum::<u64>(), report.notifications);
}

#[tokio::test]
async fn it_can_suppose_that_somebody_acknowledges() {
    let mut rules = rules(0, 0, 0, 0);
    rules.truncate(1);
    let store = world(&rules);
    let count = async |after: Option<i64>| {
        let mut paging = Paging::new(
            setup(store.as_ref()).await,
            &rules,
            &options(),
            after.map(Span::from_secs),
            T0,
        );
        paging.verdicts(&[signal("named", "web-9", 0, 60.0, true)], T0 + SECOND);
        let report = paging.finish(T0 + 4 * MINUTE);
        let steps = report.pages.iter().filter(|page| page.cause == Cause::Escalation);
        (steps.count(), report.acknowledged)
    };
    // Two rounds of a step to the one on call and a step to the boss, who takes only what is critical, and to `few`.
    assert_eq!(count(None).await, (4, 0));
    assert_eq!(count(Some(30)).await, (1, 1));
    assert_eq!(count(Some(10)).await, (0, 1));
}

#[tokio::test]
async fn a_limit_of_a_channel_makes_it_wait() {
    let rules = vec![rule("r", json!({"channels": ["few"]}))];
    let store = world(&rules);
    let verdicts: Vec<_> = (0..3)
        .map(|nth| {
            let source = format!("web-{}", nth + 5);
            (T0 + nth * SECOND, signal("r", &source, 0, 60.0, true))
        })
        .collect();
    let report = rehearsed(&store, &rules, &verdicts, T0 + 2 * MINUTE).await;
    let times: Vec<i64> = report.pages.iter().map(|page| page.at.0 - T0).collect();
    assert_eq!(times, [0, SECOND, MINUTE]);
    let limited = &report.held[0];
    assert_eq!(
        (limited.gate, limited.count, limited.longest_ms),
        (Gate::RateLimit, 1, MINUTE - 2 * SECOND)
    );
}
