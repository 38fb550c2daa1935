//! Order, bounds and waits.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::json;
use streamflow_model::Span;

use super::*;
use crate::sample::{MINUTE, T0, book, rule, signal};

fn outgoing(id: &str, channel: &str, alert: &str, due: i64) -> Outgoing {
    let mut book = book(vec![rule(json!({}))]);
    book.signals(&[signal(0, 60.0)], T0);
    let mut made = book.take_changes().outgoing.remove(0);
    let delivery = &mut made.delivery;
    (delivery.id, delivery.channel, delivery.alert_id) = (id.to_owned(), channel.to_owned(), alert.to_owned());
    made.notice.key = format!("key of {alert}");
    delivery.next_attempt_at = Some(Instant(due));
    made
}

fn transient(retry_after_ms: Option<u64>) -> Result<String, DeliverError> {
    Err(DeliverError::Transient {
        reason: "503".to_owned(),
        retry_after_ms,
    })
}

#[test]
fn an_alert_is_told_in_order_and_others_do_not_wait_for_it() {
    let (mut outbox, options) = (Outbox::default(), Options::default());
    for (id, alert) in [("1", "a"), ("2", "a"), ("3", "b")] {
        outbox.push(outgoing(id, "ops", alert, T0));
    }
    outbox.push(outgoing("1", "ops", "a", T0));
    assert_eq!(outbox.len(), 3, "the same twice is one");
    let mut first = outbox.take(T0, 8).unwrap();
    assert_eq!(
        (
            first.delivery.id.as_str(),
            outbox.take(T0, 8).unwrap().delivery.id.as_str()
        ),
        ("1", "3")
    );
    assert!(outbox.take(T0, 8).is_none(), "2 waits for 1");
    first.after(transient(None), T0, 1.0, &options);
    outbox.done(first);
    assert!(outbox.take(T0, 8).is_none());
    assert_eq!(outbox.due(8), Some(T0 + 1000));
    let mut again = outbox.take(T0 + 1000, 8).unwrap();
    assert_eq!((again.delivery.id.as_str(), again.delivery.attempts), ("1", 1));
    again.after(Ok("ref".to_owned()), T0 + 1000, 0.0, &options);
    outbox.done(again);
    assert_eq!(outbox.take(T0 + 1000, 8).unwrap().delivery.id, "2");
}

#[test]
fn a_late_end_is_told_before_the_next_alert_of_its_key_also_after_a_restart() {
    let keyed = |id: &str, alert: &str, key: &str| {
        let mut one = outgoing(id, "ops", alert, T0);
        key.clone_into(&mut one.notice.key);
        one
    };
    let ids = |outbox: &mut Outbox, now| -> Vec<String> {
        std::iter::from_fn(|| outbox.take(now, 8))
            .map(|one| one.delivery.id)
            .collect()
    };
    let (mut outbox, options) = (Outbox::default(), Options::default());
    outbox.push(keyed("1 a is over", "a", "disk"));
    let mut end = outbox.take(T0, 8).unwrap();
    let others = [
        keyed("2 b fires", "b", "disk"),
        keyed("3 c fires", "c", "cpu"),
        keyed("4 d fires", "d", ""),
        keyed("5 e fires", "e", ""),
    ];
    others.clone().into_iter().for_each(|one| outbox.push(one));
    let free = ["3 c fires", "4 d fires", "5 e fires"];
    assert_eq!(ids(&mut outbox, T0), free, "nobody else waits for it");
    end.after(transient(Some(MINUTE.unsigned_abs())), T0, 0.0, &options);
    outbox.done(end.clone());
    assert!(outbox.take(T0 + MINUTE - 1, 8).is_none(), "b waits for a");

    let mut restarted = Outbox::default();
    restarted.push(end);
    others.into_iter().for_each(|one| restarted.push(one));
    assert_eq!(ids(&mut restarted, T0), free);
    for outbox in [&mut outbox, &mut restarted] {
        let mut end = outbox.take(T0 + MINUTE, 8).unwrap();
        assert_eq!(end.delivery.id, "1 a is over");
        assert!(outbox.take(T0 + MINUTE, 8).is_none(), "b waits until a's end is told");
        end.after(Ok(String::new()), T0 + MINUTE, 0.0, &options);
        outbox.done(end);
        assert_eq!(ids(outbox, T0 + MINUTE), ["2 b fires"]);
    }
}

#[test]
fn a_channel_that_hangs_holds_up_only_itself() {
    let mut outbox = Outbox::default();
    for n in 0..10 {
        outbox.push(outgoing(&format!("s{n}"), "slow", &n.to_string(), T0));
        outbox.push(outgoing(&format!("t{n}"), "fast", &n.to_string(), T0));
    }
    let taken: Vec<Outgoing> = std::iter::from_fn(|| outbox.take(T0, 2)).collect();
    assert_eq!(taken.len(), 4);
    assert_eq!(outbox.due(2), None, "nothing to wake for");
    for mut one in taken.into_iter().filter(|one| one.delivery.channel == "fast") {
        one.after(Ok(String::new()), T0, 0.0, &Options::default());
        outbox.done(one);
    }
    assert_eq!(outbox.take(T0, 2).unwrap().delivery.channel, "fast");
}

#[test]
fn others_need_not_wait_until_an_outcome_is_durable_and_those_behind_it_do() {
    let mut outbox = Outbox::default();
    for (id, alert) in [("a1", "a"), ("a2", "a"), ("b1", "b"), ("c1", "c")] {
        outbox.push(outgoing(id, "ops", alert, T0));
    }
    let take = |outbox: &mut Outbox| outbox.take(T0, 1).map(|one| one.delivery.id);
    let mut first = outbox.take(T0, 1).unwrap();
    assert_eq!(
        (first.delivery.id.as_str(), take(&mut outbox)),
        ("a1", None),
        "one at once"
    );
    outbox.leave(&first);
    assert_eq!(take(&mut outbox).as_deref(), Some("b1"), "the channel does not idle");
    first.after(Ok(String::new()), T0, 0.0, &Options::default());
    outbox.book(first);
    assert_eq!(take(&mut outbox), None, "b1 is under way");
    assert_eq!(outbox.len(), 3);
    let mut b = outgoing("b1", "ops", "b", T0);
    outbox.leave(&b);
    assert_eq!(
        take(&mut outbox).as_deref(),
        Some("c1"),
        "a2 waits until the end of a1 is durable"
    );
    b.after(Ok(String::new()), T0, 0.0, &Options::default());
    outbox.book(b);
    // A newer notification of a key whose last one is booked and not durable yet.
    outbox.push(outgoing("b2", "ops", "b", T0));
    outbox.settled();
    let rest: Vec<Outgoing> = std::iter::from_fn(|| outbox.take(T0, 8)).collect();
    let ids: BTreeSet<&str> = rest.iter().map(|one| one.delivery.id.as_str()).collect();
    assert_eq!((rest.len(), ids), (2, BTreeSet::from(["a2", "b2"])));
    rest.into_iter().for_each(|mut one| {
        one.after(Ok(String::new()), T0, 0.0, &Options::default());
        outbox.done(one);
    });
    assert_eq!(outbox.len(), 1, "c1 is still under way");
}

#[test]
fn what_has_left_is_still_booked_when_nothing_else_is_under_way() {
    let mut outbox = Outbox::default();
    outbox.push(outgoing("a1", "ops", "a", T0));
    let mut first = outbox.take(T0, 8).unwrap();
    outbox.leave(&first);
    // The next one of its key comes while a write of something else ends.
    outbox.settled();
    outbox.push(outgoing("a2", "ops", "a", T0));
    assert!(outbox.take(T0, 8).is_none(), "a2 waits for a1");
    first.after(Ok(String::new()), T0, 0.0, &Options::default());
    outbox.book(first);
    outbox.settled();
    assert_eq!(outbox.take(T0, 8).unwrap().delivery.id, "a2");
    assert_eq!(outbox.len(), 1);
}

#[test]
fn it_gives_up_on_refusal_on_age_and_on_attempts_and_can_be_sent_again() {
    let options = Options {
        max_attempts: 3,
        max_age: Span::from_secs(60),
        ..Options::default()
    };
    let fail = |one: &mut Outgoing, now| {
        one.after(transient(None), now, 0.0, &options);
        one.delivery.state
    };
    let mut refused = outgoing("1", "ops", "a", T0);
    refused.after(Err(DeliverError::Permanent("404".to_owned())), T0, 0.0, &options);
    assert_eq!(
        (refused.delivery.state, refused.delivery.error.as_deref()),
        (DeliveryState::Failed, Some("404"))
    );
    let mut tired = outgoing("2", "ops", "a", T0);
    let states = [0, 1, 2].map(|n| fail(&mut tired, T0 + n));
    assert_eq!(
        states,
        [DeliveryState::Pending, DeliveryState::Pending, DeliveryState::Failed]
    );
    let mut old = outgoing("3", "ops", "a", T0);
    assert_eq!(fail(&mut old, T0 + MINUTE), DeliveryState::Failed);
    let key = old.delivery.idempotency_key.clone();
    old.again(T0 + 2 * MINUTE);
    assert_eq!(fail(&mut old, T0 + 2 * MINUTE), DeliveryState::Pending);
    assert_eq!(old.delivery.idempotency_key, key);
}

proptest! {
    #[test]
    fn waits_grow_within_bounds_and_honour_the_receiver(attempts in 1_u32..600, asked in prop::option::of(any::<u64>()), jitter in 0.0..1.0) {
        let options = Options::default();
        let ms = wait(attempts, asked, jitter, &options);
        let asked = asked.map_or(0, |ms| i64::try_from(ms).unwrap_or(i64::MAX).min(LONGEST_RETRY_AFTER_MS));
        prop_assert!(ms >= options.retry_first.ms() / 2 && ms >= asked);
        prop_assert!(ms <= options.retry_longest.ms().max(asked));
    }
}

#[test]
fn a_notification_reads_back_as_it_was_written() {
    let one = outgoing("1", "ops", "a", T0);
    let body = serde_json::to_value(&one).unwrap();
    assert_eq!(body["channel"], "ops");
    assert_eq!(serde_json::from_value::<Outgoing>(body).unwrap(), one);
}

#[test]
fn an_open_breaker_holds_everything_back_and_one_attempt_closes_it() {
    let (mut outbox, options) = (Outbox::default(), Options::default());
    outbox.set_limits(BreakerLimits {
        failures: 2,
        pause: Span::from_secs(10),
        longest: Span::from_secs(60),
    });
    outbox.open_channel("ops", None);
    for n in 0..4 {
        outbox.push(outgoing(&n.to_string(), "ops", &n.to_string(), T0));
    }
    let taken: Vec<Outgoing> = std::iter::from_fn(|| outbox.take(T0, 2)).collect();
    for mut one in taken {
        one.after(transient(None), T0, 1.0, &options);
        outbox.heard("ops", false, T0);
        outbox.done(one);
    }
    let health = outbox.health(T0)["ops"].clone();
    assert_eq!(
        (health.breaker, health.failures, health.waiting),
        (BreakerState::Open, 2, 4)
    );
    let opens = T0 + 10_000;
    assert_eq!(outbox.due(2), Some(opens));
    assert!(outbox.take(opens - 1, 2).is_none(), "others wait as well");
    let mut trial = outbox.take(opens, 2).unwrap();
    assert!(
        outbox.take(opens, 2).is_none() && outbox.due(2).is_none(),
        "one attempt decides"
    );
    trial.after(Ok(String::new()), opens, 0.0, &options);
    outbox.heard("ops", true, opens);
    outbox.done(trial);
    assert_eq!(std::iter::from_fn(|| outbox.take(opens, 8)).count(), 3);
}

#[test]
fn a_limited_channel_gets_so_many_a_minute_and_keeps_the_rest() {
    let mut outbox = Outbox::default();
    outbox.open_channel("ops", Some(3));
    for n in 0..5 {
        outbox.push(outgoing(&n.to_string(), "ops", &n.to_string(), T0));
    }
    assert_eq!(std::iter::from_fn(|| outbox.take(T0, 8)).count(), 3);
    assert_eq!(outbox.due(8), Some(T0 + MINUTE));
    assert_eq!(std::iter::from_fn(|| outbox.take(T0 + MINUTE, 8)).count(), 2);
}
