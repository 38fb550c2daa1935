use std::collections::BTreeMap;

use serde_json::json;
use streamflow_model::{Completeness, OpenGroup, Rule, Signal};
use streamflow_proto::{bitmap::Bitmap, build::BatchBuilder, filter::Columns};

use super::{
    groups::Presence,
    run::{AbsenceRun, Heard, Hosts},
};
use crate::engine::grouping::LocalGroups;

/// Hosts and how far they have reported; time of events and of the hub are the same here.
#[derive(Debug, Clone)]
struct World {
    now: i64,
    passed: BTreeMap<&'static str, i64>,
    listening_since: i64,
}

impl World {
    fn new(hosts: &[&'static str]) -> Self {
        Self {
            now: 0,
            passed: hosts.iter().map(|host| (*host, 0)).collect(),
            listening_since: 0,
        }
    }

    /// Time passes, and these hosts say that there is nothing new.
    fn at(&mut self, now: i64, hosts: &[&'static str]) -> &Self {
        self.now = now;
        for host in hosts {
            self.passed.insert(host, now);
        }
        self
    }
}

impl Hosts for World {
    fn passed(&self, host: &str, at: i64) -> bool {
        self.passed.get(host).is_some_and(|passed| *passed >= at)
    }
    fn completeness(&self, at: i64) -> Completeness {
        let missing = self.passed.iter().filter(|(_, passed)| **passed < at);
        let missing: Vec<String> = missing.map(|(host, _)| (*host).to_owned()).collect();
        Completeness {
            complete: missing.is_empty(),
            missing,
            ..Completeness::default()
        }
    }
    fn watermark(&self) -> i64 {
        self.now
    }
    fn now(&self) -> i64 {
        self.now
    }
    fn listening_since(&self) -> i64 {
        self.listening_since
    }
}

fn rule(absence: serde_json::Value) -> Rule {
    let body = json!({"id": "r", "name": "silent", "kind": "absence", "match": "type == 'beat'", "group_by": ["source"], "absence": absence,
        "version": 1, "created_at": 0, "updated_at": 0});
    serde_json::from_value(body).unwrap()
}

struct Test {
    rule: Rule,
    run: AbsenceRun,
}

impl Test {
    fn new(absence: serde_json::Value) -> Self {
        let rule = rule(absence);
        let run = AbsenceRun::new(&rule, &rule.draft.compile().unwrap()).unwrap();
        Self { rule, run }
    }

    fn hear(&mut self, world: &World, host: &'static str, source: &str) -> Vec<Signal> {
        let mut builder = BatchBuilder::new();
        let event = json!({"type": "beat", "source": source, "timestamp": world.now});
        builder.push_json(event.to_string().as_bytes(), world.now).unwrap();
        let batch = builder.finish(1).decode().unwrap();
        let mut columns = Columns::new(&batch);
        let groups = LocalGroups::new(&mut columns, &self.rule.draft.compile().unwrap().group_by).unwrap();
        let mut out = Vec::new();
        let heard = Heard {
            rows: &Bitmap::new(1, true),
            times: &[world.now],
            groups: &groups,
            host,
            stored_at: world.now,
            cap: 3,
        };
        self.run.add(&self.rule, &heard, world, &mut out);
        out
    }

    fn advance(&mut self, world: &World) -> Vec<Signal> {
        let mut out = Vec::new();
        self.run.advance(&self.rule, world, 3, &mut out);
        out
    }

    fn presence(&self, source: &str) -> Option<Presence> {
        let mut groups = self.run.state.groups.all();
        groups
            .find(|group| group.labels == [source])
            .map(|group| group.presence)
    }
}

/// Source, met, complete.
fn shown(signals: &[Signal]) -> Vec<(&str, bool, bool)> {
    signals
        .iter()
        .map(|s| (s.labels["source"].as_str(), s.met, s.completeness.complete))
        .collect()
}

#[test]
fn a_silent_source_of_a_live_host_is_absent_and_comes_back() {
    let mut test = Test::new(json!({"silent_for": "10s"}));
    let mut world = World::new(&["h"]);
    test.hear(&world, "h", "a");
    assert!(test.advance(world.at(10_000, &["h"])).is_empty());
    let absent = test.advance(world.at(10_001, &["h"]));
    assert_eq!(shown(&absent), [("a", true, true)]);
    assert!(absent[0].value.unwrap() >= 10.0 && absent[0].account.as_ref().unwrap().data["through"] == json!(["h"]));
    assert!(test.advance(world.at(12_000, &["h"])).is_empty(), "said once");
    let back = test.hear(world.at(13_000, &[]), "h", "a");
    assert_eq!(shown(&back), [("a", false, true)]);
    assert!(back[0].window_end > absent[0].window_end);
    assert_eq!(shown(&test.advance(world.at(24_000, &["h"]))), [("a", true, true)]);
}

#[test]
fn a_cut_host_proves_nothing() {
    let mut test = Test::new(json!({"silent_for": "10s"}));
    let mut world = World::new(&["cut", "up"]);
    test.hear(&world, "cut", "a");
    test.hear(&world, "up", "b");
    // Another host's word counts for its own groups alone.
    assert_eq!(shown(&test.advance(world.at(20_000, &["up"]))), [("b", true, true)]);
    assert_eq!(test.presence("a"), Some(Presence::Unknown));
    assert!(test.advance(world.at(600_000, &["up"])).is_empty());
    // The link is back: what the host held back comes first, so nothing was absent.
    world.at(601_000, &["up"]);
    assert!(test.hear(&world, "cut", "a").is_empty());
    assert!(test.advance(world.at(602_000, &["cut", "up"])).is_empty());
    assert_eq!(test.presence("a"), Some(Presence::Present));
    // Silent while its host is up: absent. Then the host is cut off: nobody knows, then it is back and still silent.
    assert_eq!(
        shown(&test.advance(world.at(620_000, &["cut", "up"]))),
        [("a", true, true)]
    );
    let stale = test.advance(world.at(660_000, &["up"]));
    assert_eq!(shown(&stale), [("a", false, false)]);
    assert_eq!(stale[0].completeness.missing, ["cut"]);
    assert_eq!(
        shown(&test.advance(world.at(670_000, &["cut", "up"]))),
        [("a", true, true)]
    );
}

#[test]
fn a_group_that_moved_is_judged_by_its_new_host() {
    let mut test = Test::new(json!({"silent_for": "10s"}));
    let mut world = World::new(&["old", "new"]);
    test.hear(&world, "old", "a");
    test.hear(world.at(5_000, &["old", "new"]), "new", "a");
    // Both brought it lately: both must have passed.
    assert!(test.advance(world.at(16_000, &["new"])).is_empty());
    test.hear(world.at(17_000, &["new"]), "new", "a");
    assert_eq!(shown(&test.advance(world.at(28_000, &["new"]))), [("a", true, true)]);
}

#[test]
fn what_comes_through_a_door_is_judged_by_the_hubs_own_hours() {
    let mut test = Test::new(json!({"silent_for": "10s"}));
    let mut world = World::new(&[]);
    test.hear(&world, "@http", "a");
    // The hub was down: its senders could not reach it.
    world.listening_since = 100_000;
    assert!(test.advance(world.at(105_000, &[])).is_empty());
    assert_eq!(shown(&test.advance(world.at(110_000, &[]))), [("a", true, true)]);
}

#[test]
fn expected_groups_need_no_first_event() {
    let mut test = Test::new(json!({"silent_for": "10s", "expect": [{"source": "a"}, {"source": "b"}]}));
    let mut world = World::new(&["h"]);
    assert!(test.advance(world.at(1_000, &["h"])).is_empty());
    test.hear(world.at(8_000, &["h"]), "h", "b");
    assert!(
        test.advance(world.at(12_000, &[])).is_empty(),
        "a host that is missing may have it"
    );
    let absent = test.advance(world.at(13_000, &["h"]));
    assert_eq!(shown(&absent), [("a", true, true)]);
    assert!(
        absent[0]
            .account
            .as_ref()
            .unwrap()
            .message
            .starts_with("Nothing has come since")
    );
}

#[test]
fn groups_are_bounded_and_forgotten() {
    let mut test = Test::new(json!({"silent_for": "10s", "forget_after": "1m"}));
    let mut world = World::new(&["h"]);
    for source in ["a", "b", "c", "d"] {
        test.hear(world.at(world.now + 1, &["h"]), "h", source);
    }
    assert_eq!((test.run.state.groups.len(), test.run.state.groups.evicted), (3, 1));
    assert_eq!(test.presence("a"), None);
    assert_eq!(test.advance(world.at(30_000, &["h"])).len(), 3);
    let over = test.advance(world.at(70_000, &["h"]));
    assert_eq!(
        shown(&over),
        [("b", false, true), ("c", false, true), ("d", false, true)]
    );
    assert_eq!(test.run.state.groups.len(), 0);
}

#[test]
fn a_restart_goes_on_where_it_was() {
    let mut test = Test::new(json!({"silent_for": "10s"}));
    let mut world = World::new(&["h", "cut"]);
    for (host, source) in [("h", "a"), ("cut", "b"), ("h", "c")] {
        test.hear(world.at(world.now + 100, &["h"]), host, source);
    }
    test.advance(world.at(10_150, &["h"]));
    let bytes = bincode::serde::encode_to_vec(&test.run.state, bincode::config::standard()).unwrap();
    let mut restored = Test::new(json!({"silent_for": "10s"}));
    restored.run.state = bincode::serde::decode_from_slice(&bytes, bincode::config::standard())
        .unwrap()
        .0;
    restored.run.state.groups.reindex();
    world.at(30_000, &["h", "cut"]);
    assert_eq!(test.advance(&world), restored.advance(&world));
    assert_eq!(
        bincode::serde::encode_to_vec(&restored.run.state, bincode::config::standard()).unwrap(),
        bincode::serde::encode_to_vec(&test.run.state, bincode::config::standard()).unwrap()
    );
    // Without any state, an alert that is open still ends.
    let mut lost = Test::new(json!({"silent_for": "10s"}));
    lost.run.owe(&OpenGroup {
        rule_id: "r".to_owned(),
        labels: BTreeMap::from([("source".to_owned(), "a".to_owned())]),
        told_until: 10_100,
    });
    assert_eq!(shown(&lost.hear(&world, "h", "a")), [("a", false, true)]);
}
