//! One step at a time; `model_tests` walks long ways.

use serde_json::json;
use streamflow_model::{Alert, AlertState, DeliveryState, Level};

use super::*;
use crate::{
    book::Book,
    outbox::Outgoing,
    sample::{MINUTE, T0, book, incomplete, rule, signal, terms},
};

/// State of the only open alert, and the notifications that the last steps made.
fn seen(book: &mut Book) -> (Option<AlertState>, Vec<String>) {
    let told = book
        .take_changes()
        .outgoing
        .into_iter()
        .map(|outgoing| outgoing.delivery.status)
        .collect();
    (book.open_alerts().next().map(|alert| alert.state), told)
}

fn only(book: &Book) -> Alert {
    book.open_alerts().next().unwrap().into_owned()
}

fn firing() -> (Option<AlertState>, Vec<String>) {
    (Some(AlertState::Firing), vec!["firing".to_owned()])
}

fn over() -> (Option<AlertState>, Vec<String>) {
    (None, vec!["resolved".to_owned()])
}

#[test]
fn without_for_it_fires_at_once_and_says_what_people_need() {
    let mut book = book(vec![rule(json!({}))]);
    book.signals(&[signal(0, 57.0)], T0);
    let alert = only(&book);
    assert_eq!(alert.title, "errors: 57 > 50 for source=web-1");
    assert!(
        alert
            .message
            .contains("count() over 1m is 57, and the condition `value > threshold` holds"),
        "{}",
        alert.message
    );
    assert_eq!(
        (alert.labels["alertname"].as_str(), alert.labels["level"].as_str()),
        ("errors", "warning")
    );
    assert_eq!(alert.group_key, "r1{source=web-1}");
    let changes = book.take_changes();
    let Outgoing {
        delivery,
        notice,
        stored_at,
        ..
    } = &changes.outgoing[0];
    assert_eq!(delivery.idempotency_key, format!("{}:firing:1", alert.id));
    assert_eq!(
        (delivery.state, delivery.channel.as_str(), *stored_at),
        (DeliveryState::Pending, "ops", T0)
    );
    assert_eq!(notice.url, format!("https://hub.example/alerts/{}", alert.id));
    assert_eq!((notice.group_labels.len(), notice.labels.len()), (1, 3));
}

#[test]
fn for_holds_it_back_and_one_good_window_forgets_it() {
    let mut book = book(vec![rule(json!({"for": "2m"}))]);
    book.signals(&[signal(0, 57.0)], T0);
    assert_eq!(seen(&mut book), (Some(AlertState::Pending), vec![]));
    book.signals(&[signal(1, 3.0)], T0 + MINUTE);
    assert_eq!(seen(&mut book), (None, vec![]));
    book.signals(&[signal(2, 57.0)], T0 + 2 * MINUTE);
    book.signals(&[signal(3, 60.0)], T0 + 3 * MINUTE);
    book.tick(T0 + 4 * MINUTE - 1);
    assert_eq!(seen(&mut book), (Some(AlertState::Pending), vec![]));
    assert_eq!(book.due(), Some(T0 + 4 * MINUTE));
    book.tick(T0 + 4 * MINUTE);
    assert_eq!(seen(&mut book), firing());
    assert_eq!(only(&book).title, "errors: 60 > 50 for source=web-1");
}

#[test]
fn a_running_window_never_resolves_and_a_closed_or_empty_one_does() {
    for end in [
        signal(1, 3.0),
        Signal {
            value: None,
            met: false,
            ..signal(0, 0.0)
        },
    ] {
        let mut book = book(vec![rule(json!({}))]);
        book.signals(
            &[
                Signal {
                    running: true,
                    ..signal(0, 57.0)
                },
                Signal {
                    running: true,
                    ..signal(1, 3.0)
                },
            ],
            T0,
        );
        assert_eq!(seen(&mut book), firing());
        let end = Signal {
            window_end: T0 + 2 * MINUTE,
            ..end
        };
        book.signals(&[end], T0 + MINUTE);
        assert_eq!(seen(&mut book), over());
    }
}

#[test]
fn lost_data_makes_it_stale_and_never_resolves_it() {
    let mut book = book(vec![rule(json!({}))]);
    book.signals(&[signal(0, 57.0)], T0);
    seen(&mut book);
    book.signals(&[incomplete(1, 0.0)], T0 + MINUTE);
    assert_eq!(seen(&mut book), (Some(AlertState::Stale), vec![]));
    assert!(only(&book).timeline.last().unwrap().detail.contains("agent-7"));
    book.signals(
        &[Signal {
            value: None,
            ..incomplete(2, 0.0)
        }],
        T0 + 2 * MINUTE,
    );
    assert_eq!(seen(&mut book), (Some(AlertState::Stale), vec![]));
    book.signals(&[signal(3, 80.0)], T0 + 3 * MINUTE);
    assert_eq!(seen(&mut book), (Some(AlertState::Firing), vec![]), "told already");
    book.signals(&[incomplete(4, 0.0), signal(5, 0.0)], T0 + 4 * MINUTE);
    assert_eq!(seen(&mut book), over());
}

#[test]
fn an_acknowledgement_survives_lost_data_and_stops_escalation() {
    let mut book = book(vec![rule(json!({"escalation_minutes": 5}))]);
    book.signals(&[signal(0, 57.0)], T0);
    seen(&mut book);
    book.tick(T0 + 5 * MINUTE);
    assert_eq!(seen(&mut book), firing());
    assert_eq!(only(&book).level, Level::Error);
    let id = only(&book).id;
    book.signals(&[incomplete(1, 0.0)], T0 + 6 * MINUTE);
    assert_eq!(
        book.acknowledge(&id, "eva", "on it", T0 + 7 * MINUTE).unwrap().state,
        AlertState::Stale
    );
    book.signals(&[signal(2, 57.0)], T0 + 8 * MINUTE);
    book.tick(T0 + 60 * MINUTE);
    assert_eq!(seen(&mut book), (Some(AlertState::Acknowledged), vec![]));
    let alert = only(&book);
    assert_eq!(alert.acknowledged_by.as_deref(), Some("eva"));
    let whats: Vec<&str> = alert.timeline.iter().map(|entry| entry.what.as_str()).collect();
    assert_eq!(whats, ["firing", "escalated", "stale", "acknowledged", "acknowledged"]);
}

#[test]
fn suppression_holds_the_next_notification_back_but_does_not_swallow_it() {
    let mut book = book(vec![rule(json!({"suppression_minutes": 10}))]);
    book.signals(&[signal(0, 57.0)], T0);
    assert_eq!(seen(&mut book), firing());
    book.signals(&[signal(1, 0.0)], T0 + MINUTE);
    assert_eq!(seen(&mut book), over());
    book.signals(&[signal(2, 57.0)], T0 + 2 * MINUTE);
    assert_eq!(seen(&mut book), (Some(AlertState::Firing), vec![]));
    book.signals(&[signal(3, 0.0)], T0 + 3 * MINUTE);
    assert_eq!(
        seen(&mut book),
        (None, vec![]),
        "who was not told of it is not told of its end"
    );
    book.signals(&[signal(4, 57.0)], T0 + 4 * MINUTE);
    book.tick(T0 + 10 * MINUTE);
    assert_eq!(seen(&mut book), firing(), "still firing when the suppression ends");
}

#[test]
fn what_a_person_closed_is_not_opened_again_by_the_same_window() {
    let mut book = book(vec![rule(json!({}))]);
    book.signals(
        &[Signal {
            running: true,
            ..signal(0, 57.0)
        }],
        T0,
    );
    let id = only(&book).id;
    seen(&mut book);
    assert_eq!(
        book.resolve(&id, "eva", "fixed", T0).unwrap().resolved_by.as_deref(),
        Some("eva")
    );
    assert_eq!(seen(&mut book), over());
    book.signals(
        &[
            Signal {
                running: true,
                revision: 1,
                ..signal(0, 99.0)
            },
            signal(0, 99.0),
        ],
        T0,
    );
    assert_eq!(seen(&mut book), (None, vec![]));
    book.signals(&[signal(1, 99.0)], T0 + MINUTE);
    assert_eq!(seen(&mut book), firing());
    assert_ne!(only(&book).id, id);
}

#[test]
fn replayed_verdicts_change_nothing() {
    let mut book = book(vec![rule(json!({}))]);
    let all = [signal(0, 57.0), signal(1, 0.0), signal(2, 60.0), signal(3, 0.0)];
    book.signals(&all, T0);
    assert_eq!(book.take_changes().outgoing.len(), 4);
    for signal in &all {
        book.signals(std::slice::from_ref(signal), T0 + MINUTE);
        let changes = book.take_changes();
        assert!(changes.written.is_empty() && changes.outgoing.is_empty(), "{changes:?}");
    }
    book.signals(
        &[Signal {
            revision: 1,
            ..signal(3, 70.0)
        }],
        T0 + MINUTE,
    );
    assert_eq!(seen(&mut book), firing(), "a correction is news");
}

#[test]
fn an_incident_reads_back_as_it_was_written() {
    let rule = rule(json!({}));
    let (mut incident, _) = Incident::open(&terms(&rule), "r1{}".to_owned(), None, &signal(0, 57.25), T0);
    incident.memory.told.push("ops".to_owned());
    let body = serde_json::to_value(&incident).unwrap();
    assert_eq!(body["state"], "firing");
    // Stored times are text with milliseconds, so nothing is lost.
    assert_eq!(serde_json::from_value::<Incident>(body).unwrap(), incident);
}

#[test]
fn history_is_bounded_and_keeps_its_beginning() {
    let rule = rule(json!({}));
    let (mut incident, _) = Incident::open(&terms(&rule), "r1{}".to_owned(), None, &signal(0, 57.0), T0);
    for n in 0..1000 {
        incident.note(T0, "notified", SYSTEM, &n.to_string());
    }
    let timeline = &incident.alert.timeline;
    assert_eq!(
        (timeline.len(), timeline[0].what.as_str(), timeline[199].detail.as_str()),
        (TIMELINE, "firing", "999")
    );
}

#[test]
fn it_goes_on_firing_for_as_long_as_the_rule_says() {
    let mut book = book(vec![rule(json!({"keep_firing_for": "3m"}))]);
    book.signals(&[signal(0, 57.0)], T0);
    assert_eq!(seen(&mut book), firing());
    book.signals(&[signal(1, 1.0)], T0 + MINUTE);
    book.tick(T0 + 3 * MINUTE);
    assert_eq!(seen(&mut book), (Some(AlertState::Firing), vec![]), "kept");
    book.signals(&[signal(3, 58.0)], T0 + 3 * MINUTE);
    book.tick(T0 + 5 * MINUTE);
    assert_eq!(
        seen(&mut book),
        (Some(AlertState::Firing), vec![]),
        "it held again, so the time begins anew"
    );
    book.signals(&[signal(5, 1.0)], T0 + 5 * MINUTE);
    assert_eq!(book.due(), Some(T0 + 8 * MINUTE));
    book.tick(T0 + 8 * MINUTE - 1);
    assert_eq!(seen(&mut book), (Some(AlertState::Firing), vec![]));
    book.tick(T0 + 8 * MINUTE);
    assert_eq!(seen(&mut book), over());
}

#[test]
fn lost_data_stops_the_time_that_it_is_kept_firing() {
    let mut book = book(vec![rule(json!({"keep_firing_for": "3m"}))]);
    book.signals(&[signal(0, 57.0), signal(1, 1.0)], T0);
    book.signals(&[incomplete(2, 1.0)], T0 + MINUTE);
    book.tick(T0 + 60 * MINUTE);
    assert_eq!(
        seen(&mut book).0,
        Some(AlertState::Stale),
        "never resolved on incomplete data"
    );
    book.signals(&[signal(3, 1.0)], T0 + 61 * MINUTE);
    book.tick(T0 + 61 * MINUTE);
    assert_eq!(book.open_alerts().count(), 0);
}

#[test]
fn what_comes_and_goes_is_one_marked_alert_until_it_is_quiet() {
    let mut book = book(vec![rule(json!({"flap_detection": true}))]);
    let mut told = Vec::new();
    for window in 0..20 {
        let value = if window % 2 == 0 { 57.0 } else { 1.0 };
        book.signals(&[signal(window, value)], T0 + window * MINUTE);
        told.extend(seen(&mut book).1);
    }
    assert_eq!(
        told,
        ["firing", "resolved", "firing", "resolved", "firing"],
        "the fifth change within 15 minutes"
    );
    let alert = only(&book);
    assert!(
        alert.flapping && alert.message.contains("flapping"),
        "{}",
        alert.message
    );
    let last = T0 + 19 * MINUTE;
    book.tick(last + 15 * MINUTE - 1);
    assert_eq!(book.open_alerts().count(), 1);
    book.tick(last + 15 * MINUTE);
    assert_eq!(seen(&mut book), over());
}

#[test]
fn a_flapping_alert_that_goes_on_to_fire_settles() {
    let mut book = book(vec![rule(json!({"flap_detection": true}))]);
    for window in 0..7 {
        let value = if window % 2 == 0 { 57.0 } else { 1.0 };
        book.signals(&[signal(window, value)], T0 + window * MINUTE);
    }
    seen(&mut book);
    assert!(only(&book).flapping);
    book.tick(T0 + 21 * MINUTE);
    assert_eq!(seen(&mut book), (Some(AlertState::Firing), vec![]));
    assert!(!only(&book).flapping);
    assert_eq!(only(&book).timeline.last().unwrap().what, "settled");
}

#[test]
fn a_late_firing_says_when_it_happened_and_since_when_it_is_known() {
    let mut book = book(vec![rule(json!({}))]);
    let known = T0 + 30 * MINUTE;
    book.signals(
        &[Signal {
            revision: 1,
            ..signal(4, 57.0)
        }],
        known,
    );
    assert_eq!(seen(&mut book), firing());
    let alert = only(&book);
    assert_eq!(
        (alert.fired_at, &alert.data["late"]),
        (Some(Instant(known)), &json!(true))
    );
    assert_eq!(alert.data["happened_at"], json!(Instant(T0 + 5 * MINUTE)));
    assert!(
        alert.message.contains(&Instant(T0 + 5 * MINUTE).to_string())
            && alert.message.contains(&Instant(known).to_string()),
        "{}",
        alert.message
    );
    let late = alert.timeline.iter().find(|entry| entry.what == "late");
    assert_eq!(late.and_then(|entry| entry.value), Some(57.0));
}
