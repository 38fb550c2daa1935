//! Rules, channels, bounds and restarts.

mod policies;

use serde_json::json;

use super::*;
use crate::sample::{MINUTE, T0, book, channel, rule, signal};

fn of(source: &str, window: i64, value: f64) -> Signal {
    Signal {
        labels: BTreeMap::from([("source".to_owned(), source.to_owned())]),
        ..signal(window, value)
    }
}

fn stored_as(rules: Vec<Rule>) -> Stored {
    Stored {
        rules,
        channels: vec![channel("ops")],
        ..Stored::default()
    }
}

fn told(book: &mut Book) -> Vec<(String, String)> {
    let outgoing = book.take_changes().outgoing.into_iter();
    outgoing
        .map(|outgoing| (outgoing.delivery.channel, outgoing.delivery.status))
        .collect()
}

#[test]
fn each_group_has_its_own_alert_and_a_deleted_rule_ends_them_all() {
    let mut book = book(vec![rule(json!({}))]);
    book.signals(
        &[of("a", 0, 60.0), of("b", 0, 60.0), of("a", 1, 61.0), of("c", 0, 1.0)],
        T0,
    );
    assert_eq!(book.open_alerts().count(), 2);
    assert_eq!(told(&mut book).len(), 2);
    book.remove_rule("r1", "eva", T0 + MINUTE).unwrap();
    assert_eq!(book.open_alerts().count(), 0);
    assert_eq!(told(&mut book), vec![("ops".to_owned(), "resolved".to_owned()); 2]);
    let last = book
        .incident("r1{source=a}")
        .unwrap()
        .alert
        .timeline
        .last()
        .unwrap()
        .clone();
    assert_eq!(
        (last.by.as_str(), last.detail.as_str()),
        ("eva", "its rule was deleted")
    );
    book.signals(&[of("a", 2, 60.0)], T0 + 2 * MINUTE);
    assert_eq!(book.open_alerts().count(), 0, "verdicts of unknown rules are ignored");
}

#[test]
fn a_rule_that_asks_something_else_ends_its_alerts_and_one_that_only_tells_others_does_not() {
    let mut book = book(vec![rule(json!({}))]);
    book.put_channel(channel("dev"));
    book.signals(&[signal(0, 60.0)], T0);
    told(&mut book);
    book.put_rule(
        Rule {
            version: 2,
            ..rule(json!({"channels": ["ops", "dev"], "escalation_minutes": 1}))
        },
        "eva",
        T0,
    );
    assert_eq!(book.open_alerts().count(), 1);
    book.tick(T0 + MINUTE);
    assert_eq!(
        told(&mut book).len(),
        2,
        "the new timer and the new channels count at once"
    );
    book.put_rule(
        Rule {
            version: 3,
            ..rule(json!({"threshold": 10}))
        },
        "eva",
        T0,
    );
    assert_eq!(book.open_alerts().count(), 0);
    book.signals(&[signal(1, 60.0)], T0);
    assert_eq!(
        book.open_alerts().count(),
        0,
        "verdicts of the old rule that were still under way"
    );
    book.signals(
        &[Signal {
            rule_version: 3,
            ..signal(0, 60.0)
        }],
        T0,
    );
    assert_eq!(
        book.open_alerts().count(),
        1,
        "the same window under the new rule is news"
    );
    book.put_rule(
        Rule {
            version: 4,
            ..rule(json!({"threshold": 10, "enabled": false}))
        },
        "eva",
        T0,
    );
    assert_eq!(book.open_alerts().count(), 0);
}

#[test]
fn channels_hear_only_what_is_bad_enough_and_only_while_enabled() {
    let mut book = book(vec![rule(
        json!({"channels": ["ops", "pager", "off", "gone"], "escalation_minutes": 1}),
    )]);
    book.put_channel(Channel {
        level: Level::Critical,
        ..channel("pager")
    });
    book.put_channel(Channel {
        enabled: false,
        ..channel("off")
    });
    book.signals(&[signal(0, 60.0)], T0);
    let firing = |names: &[&str]| {
        names
            .iter()
            .map(|name| ((*name).to_owned(), "firing".to_owned()))
            .collect::<Vec<_>>()
    };
    assert_eq!(told(&mut book), firing(&["ops"]));
    book.tick(T0 + MINUTE);
    assert_eq!(told(&mut book), firing(&["ops"]));
    book.tick(T0 + 2 * MINUTE);
    assert_eq!(
        told(&mut book),
        firing(&["ops", "pager"]),
        "escalation has reached critical"
    );
    book.signals(&[signal(5, 0.0)], T0 + 3 * MINUTE);
    assert_eq!(told(&mut book).len(), 2, "both hear of the end");
}

#[test]
fn endless_groups_are_refused_and_counted() {
    let options = Options {
        max_open: 2,
        ..Options::default()
    };
    let mut book = Book::load(options, "", stored_as(vec![rule(json!({}))]), vec![], T0);
    let signals: Vec<Signal> = (0..5).map(|n| of(&n.to_string(), 0, 60.0)).collect();
    book.signals(&signals, T0);
    let changes = book.take_changes();
    assert_eq!(
        (book.open_alerts().count(), changes.refused, changes.fired.len()),
        (2, 3, 2)
    );
    book.signals(&[of("0", 1, 0.0), of("4", 1, 60.0)], T0);
    assert_eq!(book.open_alerts().count(), 2, "room again");
}

#[test]
fn after_a_restart_nothing_is_repeated_and_pending_alerts_wait_for_analytics() {
    let with_hold = rule(json!({"for": "1m"}));
    let mut before = book(vec![with_hold.clone()]);
    before.signals(&[of("a", 0, 60.0), of("b", 0, 60.0)], T0);
    before.tick(T0 + MINUTE);
    before.signals(&[of("a", 1, 0.0), of("c", 1, 60.0)], T0 + MINUTE);
    let kept = ["a", "b", "c"].map(|s| before.incident(&format!("r1{{source={s}}}")).unwrap().clone());
    let now = T0 + 60 * MINUTE;
    let load = |rules| Book::load(Options::default(), "", stored_as(rules), kept.to_vec(), now);
    let mut after = load(vec![with_hold]);
    after.signals(
        &[of("a", 0, 60.0), of("b", 0, 60.0), of("a", 1, 0.0), of("c", 1, 60.0)],
        now,
    );
    after.tick(now);
    assert!(told(&mut after).is_empty());
    assert_eq!(after.open_alerts().count(), 2);
    assert_eq!(after.due(), Some(now + 10_000), "the grace of a restart");
    let mut orphaned = load(vec![]);
    assert_eq!((orphaned.open_alerts().count(), told(&mut orphaned).len()), (0, 1));
}

#[test]
fn retention_removes_the_oldest_closed_alerts() {
    let options = Options {
        keep_at_most: 2,
        ..Options::default()
    };
    let mut book = Book::load(options, "", stored_as(vec![rule(json!({}))]), vec![], T0);
    for n in 0..4 {
        book.signals(&[of(&n.to_string(), 0, 60.0), of(&n.to_string(), 1, 0.0)], T0 + n);
    }
    book.tick(T0 + MINUTE);
    assert_eq!((book.take_changes().expired.len(), book.history().iter().len()), (2, 2));
    assert!(book.incident("r1{source=0}").is_none() && book.incident("r1{source=3}").is_some());
    book.tick(T0 + MINUTE + Options::default().keep_for.ms());
    assert_eq!(book.history().iter().len(), 0);
}

#[test]
fn open_groups_say_how_far_they_were_heard_of() {
    let mut book = book(vec![rule(json!({}))]);
    book.signals(
        &[of("a", 0, 60.0), of("a", 1, 60.0), of("b", 0, 60.0), of("b", 1, 1.0)],
        T0,
    );
    let open = book.open_groups().collect::<Vec<_>>();
    assert_eq!(open.len(), 1);
    assert_eq!(
        (
            open[0].rule_id.as_str(),
            open[0].labels["source"].as_str(),
            open[0].told_until
        ),
        ("r1", "a", T0 + 2 * MINUTE)
    );
}

/// What is stored when the hub is killed.
fn stored(book: &mut Book, docs: &mut Vec<Incident>) {
    for key in book.take_changes().written {
        let incident = book.incident(&key).unwrap().clone();
        docs.retain(|doc| doc.alert.id != incident.alert.id);
        docs.insert(0, incident);
    }
}

#[test]
fn after_a_change_of_channels_and_a_crash_the_replay_fires_nothing_again() {
    let mut docs = Vec::new();
    let mut book = book(vec![rule(json!({}))]);
    book.signals(&[signal(0, 60.0), signal(1, 1.0)], T0);
    stored(&mut book, &mut docs);
    assert_eq!((docs.len(), book.open_alerts().count()), (1, 0));
    let changed = Rule {
        version: 2,
        ..rule(json!({"channels": []}))
    };
    book.put_rule(changed.clone(), "eva", T0);
    stored(&mut book, &mut docs);

    let mut book = Book::load(Options::default(), "", stored_as(vec![changed]), docs, T0);
    // Analytics had saved no checkpoint since, and evaluates the same windows as the rule is now.
    let again = |window, value| Signal {
        rule_version: 2,
        ..signal(window, value)
    };
    book.signals(&[again(0, 60.0), again(1, 1.0)], T0 + MINUTE);
    let changes = book.take_changes();
    assert!(changes.fired.is_empty() && changes.written.is_empty(), "{changes:?}");
    book.signals(&[again(2, 60.0)], T0 + 2 * MINUTE);
    assert_eq!(book.open_alerts().count(), 1, "a later window is news");
}
