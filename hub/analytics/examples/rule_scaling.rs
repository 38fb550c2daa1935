//! The engine's speed and size: events per second of one core, how cost grows with rules, and bytes of state.
//!
//! `cargo run --release -p streamflow-analytics --example rule_scaling [--quick] [PART…]` with the parts `count`, `sum`, `sketches`, `growth`, `windows` and
//! `state`; `make bench` takes its rows into the table. The baseline of the first rows is the decoding of the same frames into checked views, in the same run.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement prints, and may fail"
)]

use std::{
    hint::black_box,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use streamflow_analytics::{Options, engine::Engine};
use streamflow_model::Rule;
use streamflow_proto::{build::BatchBuilder, frame::Frame};
use streamflow_storage::store::{LogBatch, RowSpan};

const BATCH: usize = 1000;
const TYPES: usize = 20;
/// The attribute of many values, and how many; and those of `source`.
const KEY: &str = "user_id";
const KEYS: usize = 10_000;
const SOURCES: usize = 50;
/// The begin of a minute.
const START: i64 = 1_780_000_020_000;
/// Between two frames, ms: all of them lie in one minute, as they do at the rates that are measured.
const PAUSE: i64 = 50;

/// Frames as agents send them.
fn frames(batches: usize) -> Vec<Frame> {
    let mut seed = 7_u64;
    let mut random = move |below: usize| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % below
    };
    let mut builder = BatchBuilder::new();
    (0..batches)
        .map(|number| {
            let at = START + i64::try_from(number).unwrap() * PAUSE;
            for _ in 0..BATCH {
                let event = format!(
                    r#"{{"type":"type.{}","source":"host-{}","user_id":"user-{}","timestamp":{at},"data":{{"ms":{},"path":"/item/{}"}}}}"#,
                    random(TYPES),
                    random(SOURCES),
                    random(KEYS),
                    random(1000),
                    random(500)
                );
                builder.push_json(event.as_bytes(), at).unwrap();
            }
            builder.finish(u64::try_from(number).unwrap() + 1)
        })
        .collect()
}

fn log(frames: &[Frame]) -> Vec<LogBatch> {
    let parts = frames.iter().zip(0_i64..).map(|(frame, number)| {
        let batch = Arc::new(frame.decode().unwrap());
        let end = u32::try_from(batch.len()).unwrap();
        let span = RowSpan {
            position: u64::try_from(number).unwrap() + 1,
            agent: "h".into(),
            stored_at: START + number * PAUSE,
            start: 0,
            end,
        };
        LogBatch {
            batch,
            spans: vec![span],
        }
    });
    parts.collect()
}

fn rule(number: usize, filter: &str, aggregate: &str, window: &Value, by: &str) -> Rule {
    serde_json::from_value(json!({
        "id": format!("r{number}"), "name": format!("r{number}"), "match": filter, "aggregate": aggregate, "window": window, "group_by": [by],
        "threshold": 1e18, "version": 1, "created_at": 0, "updated_at": 0,
    }))
    .unwrap()
}

/// Rules of which the first `matching` match events of the log, each on a type of its own, as rules do; their aggregates take turns.
fn rules(all: usize, matching: usize, aggregates: &[&str], window: &Value, by: &str) -> Vec<Rule> {
    let one = |number: usize| {
        let filter = if number < matching {
            format!("type == 'type.{}'", number % TYPES)
        } else if number.is_multiple_of(2) {
            format!("type == 'absent.{number}' && data.ms > 5")
        } else {
            format!("source == 'absent-{number}'")
        };
        rule(
            number,
            &filter,
            aggregates[number / TYPES % aggregates.len()],
            window,
            by,
        )
    };
    (0..all).map(one).collect()
}

fn best_of(runs: usize, mut work: impl FnMut() -> Duration) -> Duration {
    (0..runs).map(|_| work()).min().unwrap()
}

/// How long the log takes when every rule knows every key of it already, and how long it took before, when each was new.
fn measure(rules: &[Rule], log: &[LogBatch]) -> (Duration, Duration) {
    let mut new = Duration::MAX;
    // A thousand rules take as long as all the others together.
    let runs = if rules.len() < 1000 { 2 } else { 1 };
    let known = best_of(runs, || {
        let mut engine = Engine::new(Options::default(), i64::MIN);
        assert!(engine.set_rules(rules).is_empty());
        let mut pass = || {
            let began = Instant::now();
            let events: u64 = log.iter().map(|part| engine.ingest(part).events).sum();
            assert_eq!(events as usize, BATCH * log.len());
            began.elapsed()
        };
        new = new.min(pass());
        pass()
    });
    (known, new)
}

/// Resident memory of this process, bytes.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

/// Bytes that each rule, key and pane takes, when 100 rules have counted every key in so many panes.
fn state(panes: usize, aggregate: &str) -> f64 {
    const RULES: usize = 100;
    let window = if panes == 1 {
        json!("1h")
    } else {
        json!({"size": format!("{panes}m"), "slide": "1m"})
    };
    let filter = |number: usize| format!("data.ms >= {number}");
    let rules: Vec<Rule> = (0..RULES)
        .map(|n| rule(n, &filter(n), aggregate, &window, KEY))
        .collect();
    let parts: Vec<LogBatch> = (0..panes)
        .flat_map(|pane| (0..KEYS).step_by(BATCH).map(move |first| (pane, first)))
        .map(|(pane, first)| {
            let at = START / 3_600_000 * 3_600_000 + i64::try_from(pane).unwrap() * 60_000;
            let mut builder = BatchBuilder::new();
            for key in first..first + BATCH {
                let event = format!(
                    r#"{{"type":"t","source":"s","user_id":"user-{key}","timestamp":{at},"data":{{"ms":500}}}}"#
                );
                builder.push_json(event.as_bytes(), at).unwrap();
            }
            let position = u64::try_from(pane * KEYS + first).unwrap() + 1;
            let batch = Arc::new(builder.finish(position).decode().unwrap());
            let span = RowSpan {
                position,
                agent: "h".into(),
                stored_at: at,
                start: 0,
                end: u32::try_from(batch.len()).unwrap(),
            };
            LogBatch {
                batch,
                spans: vec![span],
            }
        })
        .collect();
    let mut engine = Engine::new(Options::default(), i64::MIN);
    assert!(engine.set_rules(&rules).is_empty());
    let before = resident();
    for part in &parts {
        black_box(engine.ingest(part));
    }
    let grown = resident().saturating_sub(before);
    let groups: u64 = engine.status().rules.iter().map(|rule| rule.groups).sum();
    assert_eq!(groups as usize, RULES * KEYS);
    grown as f64 / (RULES * KEYS * panes) as f64
}

fn millions(events: f64, took: Duration) -> f64 {
    events / took.as_secs_f64() / 1e6
}

fn row(what: &str, ours: &str, baseline: &str, ratio: Option<f64>, target: &str) {
    let ratio = ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"));
    println!("| {what} | {ours} | {baseline} | {ratio} | {target} |");
}

/// What the rows are measured on.
struct Setting {
    log: Vec<LogBatch>,
    events: f64,
    /// Million events a second that are decoded.
    views: f64,
    minute: Value,
}

impl Setting {
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    fn new(batches: usize) -> Self {
        let frames = frames(batches);
        let events = (BATCH * batches) as f64;
        let decode = best_of(3, || {
            let began = Instant::now();
            frames.iter().for_each(|frame| drop(black_box(frame.decode().unwrap())));
            began.elapsed()
        });
        Self {
            log: log(&frames),
            events,
            views: millions(events, decode),
            minute: json!("1m"),
        }
    }

    fn took(&self, all: usize, matching: usize, window: &Value) -> Duration {
        measure(&rules(all, matching, &["count()"], window, KEY), &self.log).0
    }

    fn speed(&self, aggregates: &[&str], by: &str, name: &str, target: &str) {
        let (known, new) = measure(&rules(100, 100, aggregates, &self.minute, by), &self.log);
        let rate = millions(self.events, known);
        let keys = if by == KEY { KEYS } else { SOURCES };
        row(
            &format!("window engine, 100 rules on {TYPES} types by {keys} keys, {name}, events/s of one core"),
            &format!("{rate:.2} M ({:.2} M while keys are new)", millions(self.events, new)),
            &format!("decoding the same frames into checked views {:.1} M", self.views),
            Some(rate / self.views),
            target,
        );
    }

    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    fn growth(&self) {
        let ten = self.took(10, 10, &self.minute);
        for all in [100, 1000] {
            let took = self.took(all, 10, &self.minute);
            row(
                &format!("the same with {all} rules of which 10 match, events/s"),
                &format!("{:.2} M", millions(self.events, took)),
                &format!("10 rules, all of which match: {:.2} M", millions(self.events, ten)),
                Some(ten.as_secs_f64() / took.as_secs_f64()),
                "near 1: what does not match costs nothing",
            );
        }
        for matching in [100, 1000] {
            let took = self.took(matching, matching, &self.minute);
            // Each event has one type, so of the matching rules one in twenty concerns it.
            let each =
                |took: Duration, rules: usize| took.as_nanos() as f64 / (self.events * rules as f64 / TYPES as f64);
            row(
                &format!("{matching} rules that match, ns per event and rule that it concerns"),
                &format!("{:.0} ns", each(took, matching)),
                &format!("10 rules: {:.0} ns", each(ten, 10)),
                Some(each(took, matching) / each(ten, 10)),
                "≤ 1: no worse than linear",
            );
        }
    }

    fn windows(&self) {
        let tumbling = self.took(100, 100, &self.minute);
        for (window, name) in [
            (json!({"size": "1m", "slide": "1s"}), "sliding, 60 panes"),
            (json!({"session_gap": "10s"}), "session"),
        ] {
            let took = self.took(100, 100, &window);
            row(
                &format!("100 rules, {name} windows, events/s"),
                &format!("{:.2} M", millions(self.events, took)),
                &format!("tumbling {:.2} M", millions(self.events, tumbling)),
                Some(tumbling.as_secs_f64() / took.as_secs_f64()),
                "–",
            );
        }
    }
}

fn sizes() {
    for (panes, aggregate) in [(1_usize, "count()"), (10, "sum(data.ms)")] {
        // In a process of its own, whose memory nothing else has touched.
        let own = std::env::current_exe().unwrap();
        let output = Command::new(own)
            .args(["--state", panes.to_string().as_str(), aggregate])
            .output()
            .unwrap();
        let bytes: f64 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
        row(
            &format!("state of `{aggregate}` for each of 100 rules, {KEYS} keys and {panes} panes, labels included"),
            &format!("{bytes:.0} B"),
            "–",
            None,
            "≤ 200 B",
        );
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, panes, aggregate] = arguments.as_slice()
        && flag == "--state"
    {
        println!("{}", state(panes.parse().unwrap(), aggregate));
        return;
    }
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let parts: Vec<&str> = arguments
        .iter()
        .filter(|one| !one.starts_with("--"))
        .map(String::as_str)
        .collect();
    let wanted = |part: &str| parts.is_empty() || parts.contains(&part);
    if parts != ["state"] {
        // Twenty events of each key, so one of each rule and key.
        let setting = Setting::new(if quick { 50 } else { 200 });
        let sketches = ["p99(data.ms)", "distinct(data.path)"];
        let name = "half `p99` (DDSketch), half `distinct` (HyperLogLog)";
        for by in [KEY, "source"] {
            if wanted("count") {
                setting.speed(&["count()"], by, "`count()`", "≥ 2 M, 0.2 ×");
            }
            if wanted("sum") {
                setting.speed(&["sum(data.ms)"], by, "`sum`", "≥ 2 M, 0.2 ×");
            }
            if wanted("sketches") {
                setting.speed(&sketches, by, name, "≥ 1 M");
            }
        }
        if wanted("growth") {
            setting.growth();
        }
        if wanted("windows") {
            setting.windows();
        }
    }
    if wanted("state") {
        sizes();
    }
}
