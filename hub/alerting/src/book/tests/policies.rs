//! Routes, groups, silences, inhibition, escalation and on-call people, at work on incidents; and what a crash leaves of them.

use serde_json::{Value, json};
use streamflow_model::{AlertState, Instant, Matcher, OncallSchedule, Silence};

use super::super::*;
use super::stored_as;
use crate::{
    matchers::Matchers,
    mute::Window,
    oncall::Roster,
    sample::{MINUTE, T0, book, channel, routing, rule, signal},
};

const SECOND: i64 = 1000;

fn of(source: &str, window: i64, value: f64) -> Signal {
    Signal {
        labels: BTreeMap::from([("source".to_owned(), source.to_owned())]),
        ..signal(window, value)
    }
}

/// Channel and status of each notification, and how many alerts it tells of.
fn told(book: &mut Book) -> Vec<String> {
    let outgoing = book.take_changes().outgoing.into_iter();
    outgoing
        .map(|outgoing| {
            let delivery = outgoing.delivery;
            format!("{} {} {}", delivery.channel, delivery.status, delivery.alert_ids.len())
        })
        .collect()
}

fn route(book: &mut Book, draft: Value, now: i64) {
    let (routing, compiled) = routing(draft);
    book.set_routing(routing, compiled, now);
}

fn routed() -> Value {
    json!({"route": {"channels": ["ops"], "group_by": ["alertname"], "group_wait": "30s", "group_interval": "5m", "repeat_interval": "1h"}})
}

/// A rule that names no channels, and the routing above.
fn by_routes() -> Book {
    let mut book = book(vec![rule(json!({"channels": []}))]);
    route(&mut book, routed(), T0);
    book
}

fn silence(id: &str, source: &str, from: i64, to: i64) -> (Silence, Matchers) {
    let matchers: Vec<Matcher> = serde_json::from_value(json!([{"name": "source", "value": source}])).unwrap();
    let compiled = Matchers::compile("matchers", &matchers).unwrap();
    let silence = Silence {
        id: id.to_owned(),
        matchers,
        starts_at: Instant(from),
        ends_at: Instant(to),
        comment: "upgrade".to_owned(),
        created_by: "eva".to_owned(),
        created_at: Instant(from),
        updated_at: Instant(from),
    };
    (silence, compiled)
}

#[test]
fn alerts_of_a_group_share_notifications() {
    let mut book = by_routes();
    book.signals(&[of("a", 0, 60.0), of("b", 0, 60.0)], T0);
    assert_eq!(told(&mut book), Vec::<String>::new(), "it waits for more");
    book.signals(&[of("c", 0, 60.0)], T0 + 10 * SECOND);
    assert_eq!(book.due(), Some(T0 + 30 * SECOND));
    book.tick(T0 + 30 * SECOND);
    let changes = book.take_changes();
    let notice = &changes.outgoing[0].notice;
    assert_eq!(
        (notice.title.as_str(), notice.value),
        ("3 firing: alertname=errors", None)
    );
    assert_eq!(notice.body.lines().count(), 3);
    assert_eq!(notice.labels.keys().collect::<Vec<_>>(), ["alertname", "level"]);
    let group = book.groups().next().unwrap().id.clone();
    assert_eq!(notice.idempotency_key, format!("{group}:firing:1"));
    book.signals(&[of("a", 1, 1.0), of("d", 1, 60.0)], T0 + MINUTE);
    assert_eq!(told(&mut book), Vec::<String>::new(), "not before the interval");
    book.tick(T0 + 30 * SECOND + 5 * MINUTE);
    assert_eq!(told(&mut book), ["ops firing 4"], "three that fire, one that is over");
    book.tick(T0 + 30 * SECOND + 65 * MINUTE);
    assert_eq!(told(&mut book), ["ops firing 3"], "a repetition");
    book.signals(&[of("b", 2, 1.0), of("c", 2, 1.0), of("d", 2, 1.0)], T0 + 90 * MINUTE);
    assert_eq!(told(&mut book), ["ops resolved 3"]);
    assert_eq!((book.groups().count(), book.due()), (0, None));
}

#[test]
fn without_a_wait_it_is_told_at_once_and_what_ends_within_the_wait_is_not_told() {
    let mut book = by_routes();
    book.signals(&[of("a", 0, 60.0)], T0);
    book.signals(&[of("a", 1, 1.0)], T0 + SECOND);
    book.tick(T0 + MINUTE);
    assert_eq!((told(&mut book), book.groups().count()), (vec![], 0));
    route(
        &mut book,
        json!({"route": {"channels": ["ops"], "group_wait": "0s"}}),
        T0,
    );
    book.signals(&[of("a", 2, 60.0), of("b", 2, 60.0)], T0 + 2 * MINUTE);
    assert_eq!(
        told(&mut book),
        ["ops firing 2"],
        "what fires in one moment is one group"
    );
}

#[test]
fn rules_that_name_channels_go_their_own_way() {
    let mut book = book(vec![rule(json!({}))]);
    route(&mut book, json!({"route": {"channels": ["dev"]}}), T0);
    book.put_channel(channel("dev"));
    book.signals(&[signal(0, 60.0)], T0);
    assert_eq!(told(&mut book), ["ops firing 1"]);
    book.tick(T0 + 60 * MINUTE);
    assert_eq!(told(&mut book), Vec::<String>::new());
}

#[test]
fn a_silence_holds_back_and_what_still_fires_after_it_is_told() {
    for by_route in [false, true] {
        let mut book = if by_route {
            by_routes()
        } else {
            book(vec![rule(json!({}))])
        };
        let (one, matchers) = silence("s1", "a", T0, T0 + 10 * MINUTE);
        book.put_silence(one, matchers, T0);
        book.signals(&[of("a", 0, 60.0), of("b", 0, 60.0)], T0);
        book.tick(T0 + MINUTE);
        assert_eq!(told(&mut book), ["ops firing 1"], "b alone");
        let a = book.open_alerts().find(|alert| alert.labels["source"] == "a").unwrap();
        assert_eq!(a.muted_by, ["silence:s1"]);
        assert!(a.timeline.iter().any(|entry| entry.what == "muted"));
        assert_eq!(book.due(), Some(T0 + 10 * MINUTE));
        book.tick(T0 + 10 * MINUTE);
        book.tick(T0 + 11 * MINUTE);
        assert_eq!(
            told(&mut book),
            [if by_route { "ops firing 2" } else { "ops firing 1" }]
        );
        assert!(book.open_alerts().all(|alert| alert.muted_by.is_empty()));
    }
}

#[test]
fn what_was_told_before_the_silence_is_told_its_end() {
    let mut book = book(vec![rule(json!({"escalation_minutes": 5}))]);
    book.signals(&[of("a", 0, 60.0)], T0);
    assert_eq!(told(&mut book), ["ops firing 1"]);
    let (one, matchers) = silence("s1", "a", T0, T0 + 60 * MINUTE);
    book.put_silence(one, matchers, T0 + MINUTE);
    book.tick(T0 + 20 * MINUTE);
    assert_eq!(told(&mut book), Vec::<String>::new(), "no escalation in a silence");
    book.signals(&[of("a", 1, 1.0)], T0 + 21 * MINUTE);
    assert_eq!(told(&mut book), ["ops resolved 1"]);
    book.signals(&[of("a", 2, 60.0)], T0 + 22 * MINUTE);
    book.signals(&[of("a", 3, 1.0)], T0 + 23 * MINUTE);
    assert_eq!(
        told(&mut book),
        Vec::<String>::new(),
        "who was not told of it is not told of its end"
    );
}

#[test]
fn a_source_inhibits_its_targets_even_in_the_same_moment() {
    let down = Rule {
        id: "r2".to_owned(),
        ..rule(json!({"name": "host down", "level": "critical"}))
    };
    let mut book = book(vec![rule(json!({})), down]);
    route(
        &mut book,
        json!({"inhibit": [{"source": [{"name": "alertname", "value": "host down"}], "target": [{"name": "alertname", "value": "errors"}], "equal": ["source"]}]}),
        T0,
    );
    let down = |source: &str, window, value| Signal {
        rule_id: "r2".to_owned(),
        ..of(source, window, value)
    };
    book.signals(&[of("a", 0, 60.0), of("b", 0, 60.0), down("a", 0, 60.0)], T0);
    let changes = book.take_changes();
    let titles: Vec<&str> = changes.outgoing.iter().map(|one| one.notice.title.as_str()).collect();
    assert_eq!(
        titles,
        ["errors: 60 > 50 for source=b", "host down: 60 > 50 for source=a"]
    );
    book.signals(&[down("a", 1, 1.0)], T0 + MINUTE);
    assert_eq!(
        told(&mut book),
        ["ops resolved 1", "ops firing 1"],
        "the target still fires"
    );
}

#[test]
fn a_maintenance_window_comes_and_goes() {
    let mut book = book(vec![rule(json!({}))]);
    let start = Instant(T0).to_string();
    let (hour, minute): (i64, i64) = (start[11..13].parse().unwrap(), start[14..16].parse().unwrap());
    let from = format!("{hour:02}:{minute:02}");
    let to = format!("{:02}:{minute:02}", (hour + 1) % 24);
    let window = json!({"name": "nightly", "hours": {"spans": [{"from": from, "to": to}]}});
    let window = Window::compile(serde_json::from_value(window).unwrap()).unwrap();
    let end = window.next_change(T0).unwrap();
    book.put_window(window, T0);
    book.signals(&[of("a", 0, 60.0)], T0);
    assert_eq!(told(&mut book), Vec::<String>::new());
    assert_eq!(book.due(), Some(end));
    book.tick(end);
    assert_eq!(told(&mut book), ["ops firing 1"]);
}

fn page(repeat: u32, resume: Option<&str>) -> Escalation {
    serde_json::from_value(
        json!({"name": "page", "repeat": repeat, "resume_after": resume, "steps": [
        {"after": "5m", "channels": ["first"]}, {"after": "10m", "channels": ["oncall:primary"]}]}),
    )
    .unwrap()
}

fn with_policy(policy: Escalation) -> Book {
    let mut book = book(vec![rule(json!({"escalation": "page"}))]);
    for name in ["first", "eva", "max"] {
        book.put_channel(channel(name));
    }
    let schedule: OncallSchedule = serde_json::from_value(json!({"name": "primary",
        "people": [{"name": "eva", "channels": ["eva"]}, {"name": "max", "channels": ["max"]}],
        "rotations": [{"people": ["eva"], "starts_on": "2023-01-01"}],
        "overrides": [{"person": "max", "from": T0 + 60 * MINUTE, "until": T0 + 600 * MINUTE}]}))
    .unwrap();
    book.put_roster(Roster::compile(schedule, &|_| Ok(())).unwrap());
    book.put_escalation(policy, T0);
    book
}

#[test]
fn the_steps_of_a_policy_are_taken_until_somebody_acknowledges() {
    let mut book = with_policy(page(0, None));
    book.signals(&[signal(0, 60.0)], T0);
    assert_eq!(told(&mut book), ["ops firing 1"]);
    book.tick(T0 + 5 * MINUTE - 1);
    assert_eq!(told(&mut book), Vec::<String>::new());
    book.tick(T0 + 5 * MINUTE);
    assert_eq!(told(&mut book), ["first firing 1"]);
    book.tick(T0 + 15 * MINUTE);
    assert_eq!(told(&mut book), ["eva firing 1"], "who is on call");
    book.tick(T0 + 600 * MINUTE);
    assert_eq!(told(&mut book), Vec::<String>::new(), "no repetition");
    book.signals(&[signal(1, 1.0)], T0 + 600 * MINUTE);
    assert_eq!(told(&mut book).len(), 3, "all who were told hear of the end");

    let mut book = with_policy(page(2, None));
    book.signals(&[signal(0, 60.0)], T0);
    for step in [5, 15, 20, 30, 35] {
        book.tick(T0 + step * MINUTE);
    }
    assert_eq!(told(&mut book).len(), 6);
    let id = book.open_alerts().next().unwrap().id.clone();
    book.acknowledge(&id, "eva", "", T0 + 36 * MINUTE);
    book.tick(T0 + 900 * MINUTE);
    assert_eq!(told(&mut book), Vec::<String>::new());
}

#[test]
fn an_acknowledgement_lapses_when_it_is_not_resolved_in_time() {
    let mut book = with_policy(page(0, Some("30m")));
    book.signals(&[signal(0, 60.0)], T0);
    let id = book.open_alerts().next().unwrap().id.clone();
    book.acknowledge(&id, "eva", "on it", T0 + MINUTE);
    told(&mut book);
    book.tick(T0 + 31 * MINUTE);
    assert_eq!(told(&mut book), ["ops firing 1"]);
    let alert = book.open_alerts().next().unwrap().into_owned();
    assert_eq!((alert.state, alert.acknowledged_by), (AlertState::Firing, None));
    assert!(alert.timeline.last().unwrap().detail.contains("eva"));
    book.tick(T0 + 36 * MINUTE);
    assert_eq!(told(&mut book), ["first firing 1"], "the steps begin anew");
    book.acknowledge(&id, "max", "", T0 + 37 * MINUTE);
    book.signals(&[signal(1, 1.0)], T0 + 38 * MINUTE);
    assert_eq!(told(&mut book), ["ops resolved 1", "first resolved 1"]);
}

#[test]
fn a_changed_routing_moves_alerts_and_ends_what_it_left() {
    let mut book = by_routes();
    book.put_channel(channel("dev"));
    book.signals(&[of("a", 0, 60.0)], T0);
    book.tick(T0 + 30 * SECOND);
    assert_eq!(told(&mut book), ["ops firing 1"]);
    let mut draft = routed();
    draft["route"]["routes"] = json!([{"matchers": [{"name": "team", "value": "web"}], "channels": ["dev"]}]);
    route(&mut book, draft.clone(), T0 + MINUTE);
    book.tick(T0 + 10 * MINUTE);
    assert_eq!(told(&mut book), Vec::<String>::new(), "its route is still there");
    draft["route"]["group_by"] = json!(["source"]);
    draft["route"]["channels"] = json!(["dev"]);
    route(&mut book, draft, T0 + 10 * MINUTE);
    book.tick(T0 + 11 * MINUTE);
    assert_eq!(told(&mut book), ["dev firing 1"], "its new group is told");
    book.signals(&[of("a", 1, 1.0)], T0 + 20 * MINUTE);
    book.tick(T0 + 30 * MINUTE);
    let mut ends = told(&mut book);
    ends.sort();
    assert_eq!(ends, ["dev resolved 1", "ops resolved 1"]);
    assert_eq!(book.groups().count(), 0);
}

#[test]
fn an_end_is_told_also_when_a_worse_level_was_about_to_be_told() {
    let mut book = book(vec![rule(json!({"channels": [], "escalation_minutes": 2}))]);
    route(&mut book, routed(), T0);
    book.signals(&[of("a", 0, 60.0)], T0);
    book.tick(T0 + 30 * SECOND);
    assert_eq!(told(&mut book), ["ops firing 1"]);
    book.tick(T0 + 2 * MINUTE);
    assert_eq!(told(&mut book), Vec::<String>::new(), "the group keeps its interval");
    book.signals(&[of("a", 1, 1.0)], T0 + 3 * MINUTE);
    book.tick(T0 + 6 * MINUTE);
    assert_eq!(told(&mut book), ["ops resolved 1"]);
}

#[test]
fn alerts_of_others_live_like_all_others() {
    let mut book = book(vec![]);
    route(
        &mut book,
        json!({"route": {"channels": ["ops"], "group_wait": "0s", "group_interval": "1s"}}),
        T0,
    );
    let post = |book: &mut Book, starts: i64, ends: i64, now: i64| {
        let alert = json!({"labels": {"alertname": "Down", "instance": "a"}, "annotations": {"summary": "a is down"},
            "startsAt": Instant(starts), "endsAt": Instant(ends)});
        let posted = crate::external::read("[0]", serde_json::from_value(alert).unwrap(), now).unwrap();
        book.external(&[posted], now);
    };
    post(&mut book, T0, T0 + 4 * MINUTE, T0);
    assert_eq!(book.open_alerts().next().unwrap().title, "a is down");
    for minute in 1..10 {
        post(&mut book, T0, T0 + (minute + 4) * MINUTE, T0 + minute * MINUTE);
    }
    assert_eq!(
        told(&mut book),
        ["ops firing 1"],
        "mentioned again and again, told once"
    );
    book.tick(T0 + 13 * MINUTE);
    assert_eq!(book.open_alerts().next().unwrap().state, AlertState::Stale);
    assert_eq!(told(&mut book), Vec::<String>::new());
    post(&mut book, T0, T0 + 18 * MINUTE, T0 + 14 * MINUTE);
    assert_eq!(book.open_alerts().next().unwrap().state, AlertState::Firing);
    post(&mut book, T0, T0 + 15 * MINUTE, T0 + 15 * MINUTE);
    book.tick(T0 + 16 * MINUTE);
    assert_eq!(
        (told(&mut book), book.open_alerts().count()),
        (vec!["ops resolved 1".to_owned()], 0)
    );
    post(&mut book, T0, T0 + 20 * MINUTE, T0 + 16 * MINUTE);
    assert_eq!(book.open_alerts().count(), 0, "an old mention of what is over");
    post(&mut book, T0 + 17 * MINUTE, T0 + 21 * MINUTE, T0 + 17 * MINUTE);
    assert_eq!(told(&mut book), ["ops firing 1"]);
    book.tick(T0 + 21 * MINUTE);
    book.tick(T0 + 21 * MINUTE + 24 * 60 * MINUTE);
    assert_eq!(
        (told(&mut book), book.open_alerts().count()),
        (vec!["ops resolved 1".to_owned()], 0)
    );
}

/// Documents as the store would hold them.
#[derive(Default)]
struct Disk {
    incidents: BTreeMap<String, Incident>,
    groups: BTreeMap<String, Group>,
    sent: Vec<String>,
}

impl Disk {
    fn write(&mut self, book: &mut Book) {
        let changes = book.take_changes();
        for incident in changes.replaced.into_iter().chain(changes.older) {
            self.incidents.insert(incident.alert.id.clone(), incident);
        }
        for incident in changes.written.iter().filter_map(|key| book.incident(key)) {
            self.incidents.insert(incident.alert.id.clone(), incident.clone());
        }
        for group in changes.groups.iter().filter_map(|key| book.group(key)) {
            self.groups.insert(group.id.clone(), group.clone());
        }
        for id in changes.groups_ended {
            self.groups.remove(&id);
        }
        let keys = changes.outgoing.into_iter().map(|one| one.delivery.idempotency_key);
        self.sent.extend(keys);
    }

    /// As after a crash: through JSON, like the store.
    fn load(&self, now: i64) -> Book {
        let incidents = self.incidents.values().rev().map(|incident| {
            let body = serde_json::to_value(incident).unwrap();
            serde_json::from_value(body).unwrap()
        });
        let groups = self.groups.values().cloned().collect();
        let stored = Stored {
            groups,
            routing: Some(routing(routed())),
            ..stored_as(vec![rule(json!({"channels": []}))])
        };
        Book::load(Options::default(), "", stored, incidents.collect(), now)
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    /// Whatever happens, with a crash after every commit or with none: the same notifications, each under its own key, and
    /// everybody who was told of a beginning is told of the end.
    #[test]
    fn crashes_change_nothing_of_groups(acts in proptest::collection::vec((0_u8..4, 0_u8..3, 1_i64..200), 1..40)) {
        let run = |crash: bool| {
            let mut disk = Disk::default();
            let mut book = disk.load(T0);
            let (mut now, mut window) = (T0, 0);
            let mut all: Vec<(&str, usize)> = Vec::new();
            for (act, source, seconds) in &acts {
                now += seconds * SECOND;
                window += 1;
                let source = ["a", "b", "c"][usize::from(*source)];
                let value = if *act < 2 { 60.0 } else { 1.0 };
                if *act < 3 {
                    book.signals(&[of(source, window, value)], now);
                }
                book.tick(now);
                disk.write(&mut book);
                if crash {
                    book = disk.load(now);
                    book.tick(now);
                    disk.write(&mut book);
                }
                all.push((source, disk.sent.len()));
            }
            now += 600 * MINUTE;
            let ends: Vec<Signal> = ["a", "b", "c"].map(|source| of(source, window + 1, 1.0)).into();
            book.signals(&ends, now);
            for minute in 0..20 {
                book.tick(now + minute * MINUTE);
            }
            disk.write(&mut book);
            (all, disk.sent.len(), disk.groups.len(), disk.sent.clone())
        };
        let (calm, crashed) = (run(false), run(true));
        proptest::prop_assert_eq!(&calm.0, &crashed.0);
        proptest::prop_assert_eq!((calm.1, calm.2), (crashed.1, crashed.2));
        proptest::prop_assert_eq!(crashed.2, 0, "all groups are over");
        let keys: BTreeSet<&String> = crashed.3.iter().collect();
        proptest::prop_assert_eq!(keys.len(), crashed.3.len(), "each key once");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    /// The steps of any policy come in their order, none before its time, each as soon as time is looked at, none after an
    /// acknowledgement, and not one too many.
    #[test]
    fn steps_come_in_their_order_and_in_their_time(
        afters in proptest::collection::vec(1_i64..20, 1..5), repeat in 0_u32..3,
        waits in proptest::collection::vec(1_i64..600, 1..120), acknowledged in 0_usize..150,
    ) {
        let mut book = book(vec![rule(json!({"escalation": "page"}))]);
        let steps: Vec<Value> = afters
            .iter()
            .enumerate()
            .map(|(nth, after)| json!({"after": format!("{after}m"), "channels": [format!("s{nth}")]}))
            .collect();
        for nth in 0..afters.len() {
            book.put_channel(channel(&format!("s{nth}")));
        }
        let policy = json!({"name": "page", "steps": steps, "repeat": repeat});
        book.put_escalation(serde_json::from_value(policy).unwrap(), T0);
        book.signals(&[signal(0, 60.0)], T0);
        proptest::prop_assert_eq!(told(&mut book), ["ops firing 1"]);
        let all = afters.len() * (repeat as usize + 1);
        let (mut now, mut taken, mut since) = (T0, 0, T0);
        for (nth, wait) in waits.into_iter().enumerate() {
            if nth == acknowledged {
                let id = book.open_alerts().next().unwrap().id.clone();
                book.acknowledge(&id, "eva", "", now);
            }
            now += wait * SECOND;
            book.tick(now);
            let place = taken % afters.len();
            let due = taken < all && nth < acknowledged && since + afters[place] * MINUTE <= now;
            let wanted = if due { vec![format!("s{place} firing 1")] } else { vec![] };
            proptest::prop_assert_eq!(told(&mut book), wanted);
            if due {
                (taken, since) = (taken + 1, now);
            }
        }
    }
}

/// A channel whose plugin asks for acknowledgements, besides `ops`, whose plugin does not.
fn with_pager(book: &mut Book) {
    book.put_channel(Channel {
        plugin: "pagerduty".to_owned(),
        ..channel("pager")
    });
    book.set_acknowledging(vec!["pagerduty".to_owned()]);
}

fn open_ids(book: &Book) -> Vec<String> {
    book.open_alerts().map(|alert| alert.id.clone()).collect()
}

#[test]
fn an_acknowledgement_is_told_to_those_who_ask_for_it() {
    let mut book = book(vec![rule(json!({"channels": ["ops", "pager"]}))]);
    with_pager(&mut book);
    book.signals(&[signal(0, 60.0)], T0);
    assert_eq!(told(&mut book), ["ops firing 1", "pager firing 1"]);
    let id = open_ids(&book).remove(0);
    book.acknowledge(&id, "eva", "on it", T0 + SECOND).unwrap();
    assert_eq!(told(&mut book), ["pager acknowledged 1"]);
    book.acknowledge(&id, "max", "me too", T0 + 2 * SECOND).unwrap();
    assert_eq!(told(&mut book), Vec::<String>::new(), "it was taken before");
    book.resolve(&id, "eva", "done", T0 + MINUTE).unwrap();
    assert_eq!(told(&mut book), ["ops resolved 1", "pager resolved 1"]);
}

#[test]
fn a_group_is_taken_when_all_of_its_alerts_are() {
    let mut book = by_routes();
    with_pager(&mut book);
    let mut draft = routed();
    draft["route"]["channels"] = json!(["ops", "pager"]);
    route(&mut book, draft, T0);
    book.signals(&[of("a", 0, 60.0), of("b", 0, 60.0)], T0);
    book.tick(T0 + 30 * SECOND);
    assert_eq!(told(&mut book), ["ops firing 2", "pager firing 2"]);
    let ids = open_ids(&book);
    book.acknowledge(&ids[0], "eva", "", T0 + MINUTE).unwrap();
    assert_eq!(told(&mut book), Vec::<String>::new());
    book.acknowledge(&ids[1], "eva", "", T0 + MINUTE).unwrap();
    let outgoing = book.take_changes().outgoing;
    assert_eq!(outgoing.len(), 1);
    let (notice, delivery) = (&outgoing[0].notice, &outgoing[0].delivery);
    assert_eq!(
        (notice.state, delivery.channel.as_str()),
        (AlertState::Acknowledged, "pager")
    );
    assert_eq!(
        notice.key,
        book.bundles.keys().next().unwrap().as_str(),
        "the group's own key, as when it fired"
    );
    assert_eq!(notice.idempotency_key, delivery.idempotency_key);
}
