use proptest::prelude::*;
use serde_json::json;

use super::*;

const T0: i64 = 1_700_000_000_000;
const MINUTE: i64 = 60_000;

fn judge() -> Judge {
    Judge::new(Options::default(), BTreeSet::new())
}

fn agent(change: Value) -> AgentStatus {
    let mut agent = json!({"id": "a1", "name": "web-1", "version": "2", "connected": true, "connected_at": null,
        "last_seen": Instant(T0), "remote": "10.0.0.1:5", "epoch": 0, "last_seq": 0, "heartbeat_at": Instant(T0), "clock_skew_ms": 0,
        "lag_ms": 0, "spool_bytes": 0, "spool_events": 0, "events_total": 0, "dropped_total": 0, "revoked": false});
    agent
        .as_object_mut()
        .unwrap()
        .extend(change.as_object().unwrap().clone());
    serde_json::from_value(agent).unwrap()
}

fn facts(at: i64, agents: Vec<AgentStatus>) -> Facts {
    Facts {
        now: at,
        wall: Instant(at),
        agents,
        ..Facts::default()
    }
}

fn checks(found: &[Finding]) -> Vec<Check> {
    found.iter().map(|finding| finding.check).collect()
}

#[test]
fn an_agent_is_silent_only_after_a_while_and_not_when_it_was_taken_off() {
    let mut judge = judge();
    let mut look = |at: i64, change: Value| checks(&judge.judge(&facts(at, vec![agent(change)])));
    // Last seen an hour ago: the hub was down meanwhile.
    let old = json!({"connected": false, "last_seen": Instant(T0 - 60 * MINUTE)});
    assert_eq!(look(T0, old.clone()), []);
    assert_eq!(look(T0 + 2 * MINUTE - 1, old.clone()), []);
    assert_eq!(look(T0 + 2 * MINUTE, old.clone()), [Check::AgentSilent]);
    assert_eq!(
        look(T0 + 3 * MINUTE, json!({"last_seen": Instant(T0 + 3 * MINUTE)})),
        []
    );
    assert_eq!(
        look(T0 + 6 * MINUTE, json!({"last_seen": Instant(T0 + 3 * MINUTE)})),
        [Check::AgentSilent],
        "a connection that says nothing is no sign of life"
    );
    let revoked = json!({"last_seen": Instant(T0 + 3 * MINUTE), "revoked": true});
    assert_eq!(look(T0 + 7 * MINUTE, revoked), []);
    assert_eq!(look(T0 + 8 * MINUTE, json!({"last_seen": null})), [], "it never came");
}

#[test]
fn after_a_restart_what_was_silent_stays_so_until_it_is_heard() {
    let open = BTreeSet::from([(Check::AgentSilent, "a1".to_owned())]);
    let mut judge = Judge::new(Options::default(), open);
    let away = json!({"connected": false, "last_seen": Instant(T0 - 60 * MINUTE)});
    let found = judge.judge(&facts(T0, vec![agent(away)]));
    assert_eq!(checks(&found), [Check::AgentSilent]);
    assert!(found[0].account.message.contains("agent revoke a1"), "{found:?}");
    let found = judge.judge(&facts(T0 + 1, vec![agent(json!({"last_seen": Instant(T0 + 1)}))]));
    assert_eq!(checks(&found), []);
}

#[test]
fn losses_are_told_when_they_grow_and_end_when_they_have_not_for_a_while() {
    let mut judge = judge();
    let mut look = |at: i64, total: u64| {
        let found = judge.judge(&facts(
            at,
            vec![agent(json!({"dropped_total": total, "last_seen": Instant(at)}))],
        ));
        found.first().map(|finding| (finding.check, finding.value))
    };
    assert_eq!(look(T0, 500), None, "what was lost before the hub started is known");
    assert_eq!(look(T0 + 1, 510), Some((Check::AgentDropping, 10.0)));
    assert_eq!(look(T0 + MINUTE, 515), Some((Check::AgentDropping, 15.0)));
    assert_eq!(
        look(T0 + 2 * MINUTE, 3),
        Some((Check::AgentDropping, 18.0)),
        "it has started again"
    );
    assert_eq!(look(T0 + 12 * MINUTE - 1, 3), Some((Check::AgentDropping, 18.0)));
    assert_eq!(look(T0 + 12 * MINUTE, 3), None);
    assert_eq!(look(T0 + 13 * MINUTE, 4), Some((Check::AgentDropping, 1.0)));
}

#[test]
fn a_clock_must_be_well_below_the_limit_to_be_good_again() {
    let mut judge = judge();
    let mut look = |skew: Value| {
        let found = judge.judge(&facts(T0, vec![agent(json!({"clock_skew_ms": skew}))]));
        !found.is_empty()
    };
    assert!(!look(json!(4999)) && look(json!(-5000)) && look(json!(4500)));
    assert!(look(json!(null)), "unknown is not good");
    assert!(!look(json!(-3999)) && !look(json!(4500)));
}

#[test]
fn channels_plugins_and_certificates_are_told_by_name() {
    let mut judge = judge();
    let channel = |works, failures, given_up| ChannelFact {
        name: "ops".to_owned(),
        works,
        failures,
        waiting: 2,
        given_up,
        failing: None,
    };
    let mut now = facts(
        T0,
        vec![agent(json!({"certificate_expires_at": Instant(T0 + 86_400_000)}))],
    );
    now.agent_certificate_before = Some(Span::from_secs(2 * 86_400));
    now.channels = vec![channel(false, 5, 0)];
    now.quarantined = vec![("noisy".to_owned(), "5 failures within a minute".to_owned())];
    now.certificates = vec![
        ("hub".to_owned(), Instant(T0 + 90 * 86_400_000)),
        ("authority".to_owned(), Instant(T0 - 1)),
    ];
    let found = judge.judge(&now);
    assert_eq!(
        checks(&found),
        [
            Check::Certificate,
            Check::PluginQuarantined,
            Check::ChannelFailing,
            Check::Certificate
        ]
    );
    assert_eq!(found[0].labels["host"], "web-1");
    assert_eq!(found[1].labels["plugin"], "noisy");
    assert_eq!(found[3].labels["certificate"], "authority");
    let mut then = facts(T0 + MINUTE, Vec::new());
    then.channels = vec![channel(true, 0, 1)];
    let found = judge.judge(&then);
    assert!(found[0].account.message.contains("1 notifications"), "{found:?}");
    then.now = T0 + 11 * MINUTE;
    assert_eq!(
        checks(&judge.judge(&then)),
        [],
        "dead letters are old news after a while"
    );
}

#[test]
fn a_channel_that_gives_up_fails_until_it_delivers_again() {
    let mut judge = judge();
    let fact = |given_up, failing| ChannelFact {
        name: "ops".to_owned(),
        works: true,
        given_up,
        failing,
        ..ChannelFact::default()
    };
    fn look(judge: &mut Judge, at: i64, channel: ChannelFact) -> bool {
        let mut now = facts(at, Vec::new());
        now.channels = vec![channel];
        checks(&judge.judge(&now)) == [Check::ChannelFailing]
    }
    assert!(!look(&mut judge, T0, fact(0, None)));
    assert!(look(&mut judge, T0 + 1, fact(1, Some(true))));
    assert!(
        look(&mut judge, T0 + 60 * MINUTE, fact(1, Some(true))),
        "its end would be given up as well, and be the next failure"
    );
    assert!(!look(&mut judge, T0 + 61 * MINUTE, fact(1, Some(false))));
    assert!(
        look(&mut judge, T0 + 62 * MINUTE, fact(2, Some(false))),
        "not while it comes and goes"
    );

    let open = BTreeSet::from([(Check::ChannelFailing, "ops".to_owned())]);
    let mut judge = Judge::new(Options::default(), open);
    assert!(look(&mut judge, T0, fact(0, None)));
    assert!(
        look(&mut judge, T0 + 60 * MINUTE, fact(0, None)),
        "a start mends nothing"
    );
    assert!(!look(&mut judge, T0 + 61 * MINUTE, fact(0, Some(false))));
}

#[test]
fn a_store_is_full_by_whatever_is_fuller_and_lets_go_by_a_margin() {
    let mut judge = judge();
    let mut look = |disk: u64, store: Option<u64>, full: bool| {
        let room = |used| Room { used, free: 100 - used };
        let now = Facts {
            disk: Some(room(disk)),
            store: store.map(room),
            full,
            ..facts(T0, Vec::new())
        };
        judge.judge(&now).first().map(|finding| finding.value)
    };
    assert_eq!(look(89, None, false), None);
    assert_eq!(look(50, Some(91), false), Some(91.0));
    assert_eq!(look(89, Some(50), false), Some(89.0));
    assert_eq!(look(87, Some(50), false), None);
    assert_eq!(
        look(10, None, true),
        Some(10.0),
        "it refuses events, whatever the disk says"
    );
}

#[test]
fn a_check_that_is_switched_off_finds_nothing() {
    let options = Options {
        agent_silent: false,
        ..Options::default()
    };
    let mut judge = Judge::new(options, BTreeSet::new());
    let away = || vec![agent(json!({"connected": false}))];
    judge.judge(&facts(T0, away()));
    assert_eq!(checks(&judge.judge(&facts(T0 + 60 * MINUTE, away()))), []);
}

proptest! {
    /// The lag is the age of the oldest batch that is not evaluated, however writing and evaluating interleave.
    #[test]
    fn the_lag_is_the_age_of_the_oldest_batch_not_evaluated(
        steps in prop::collection::vec((0_i64..20_000, 0_u64..4, 0_u64..5), 1..200),
    ) {
        let mut judge = judge();
        let (mut at, mut written, mut evaluated) = (T0, 0_u64, 0_u64);
        let mut stored: Vec<i64> = Vec::new();
        let mut lagging = false;
        for (pause, more, read) in steps {
            at += pause;
            written += more;
            stored.extend((0..more).map(|_| at));
            evaluated = (evaluated + read).min(written);
            let found = judge.judge(&Facts { log: Some(LogFact { written, evaluated }), ..facts(at, Vec::new()) });
            let oldest = stored.get(usize::try_from(evaluated).unwrap()).copied();
            let age = oldest.map_or(0, |since| at - since);
            lagging = age >= if lagging { MINUTE / 2 } else { MINUTE };
            prop_assert_eq!(!found.is_empty(), lagging, "age {}", age);
        }
    }
}
