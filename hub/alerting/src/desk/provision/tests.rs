use std::collections::VecDeque;

use serde_json::{Value, json};
use streamflow_plugin_host::DeliverError;

use super::*;
use crate::{
    options::Options,
    outbox::Outbox,
    sample::{MINUTE, T0, book, channel, signal},
};

fn desk() -> Desk {
    Desk::new(book(vec![]), Outbox::default(), VecDeque::new(), Options::default())
}

fn rule(name: &str, change: Value) -> RuleDraft {
    let mut draft = json!({"name": name, "threshold": 50, "window": "1m", "group_by": ["source"], "channels": ["ops"],
        "flap_detection": false});
    draft
        .as_object_mut()
        .unwrap()
        .extend(change.as_object().unwrap().clone());
    serde_json::from_value(draft).unwrap()
}

fn file(name: &str, rules: Vec<RuleDraft>) -> Ready {
    Ready {
        name: name.to_owned(),
        rules,
        channels: Vec::new(),
        routing: None,
    }
}

fn apply(desk: &mut Desk, files: Vec<Ready>, broken: &[&str]) -> Provisioned {
    let broken = broken.iter().map(|name| (*name).to_owned()).collect();
    desk.provision(files, broken, T0).unwrap()
}

fn kept(desk: &Desk) -> Vec<(String, i64, Option<String>)> {
    let rules = desk.book.rules().values();
    let mut kept: Vec<_> = rules
        .map(|rule| (rule.draft.name.clone(), rule.version, rule.provisioned.clone()))
        .collect();
    kept.sort();
    kept
}

fn id(desk: &Desk, name: &str) -> String {
    let rules = desk.book.rules().values();
    rules
        .filter(|rule| rule.draft.name == name)
        .map(|rule| rule.id.clone())
        .next()
        .unwrap()
}

#[test]
fn what_is_the_same_keeps_its_state_and_what_is_gone_goes() {
    let mut desk = desk();
    let two = || vec![rule("a", json!({})), rule("b", json!({}))];
    let done = apply(&mut desk, vec![file("x.toml", two())], &[]);
    assert_eq!((done.added.len(), done.rules), (2, 2), "{done:?}");
    for name in ["a", "b"] {
        let verdict = streamflow_model::Signal {
            rule_id: id(&desk, name),
            ..signal(0, 60.0)
        };
        desk.book.signals(&[verdict], T0);
    }
    assert_eq!(desk.book.open_alerts().count(), 2);
    drop(desk.take_batch().unwrap());

    let done = apply(&mut desk, vec![file("x.toml", two())], &[]);
    assert_eq!((done.unchanged, done.added.len(), done.changed.len()), (2, 0, 0));
    assert!(desk.take_batch().unwrap().ops.is_empty(), "nothing is written");

    // The level does not change what is asked; the threshold does.
    let changed = vec![
        rule("a", json!({"level": "critical"})),
        rule("b", json!({"threshold": 5})),
    ];
    let done = apply(&mut desk, vec![file("x.toml", changed)], &[]);
    assert_eq!(done.changed.len(), 2, "{done:?}");
    let open: Vec<String> = desk.book.open_alerts().map(|alert| alert.rule_name.clone()).collect();
    assert_eq!(open, ["a"]);
    assert!(kept(&desk).iter().all(|(_, version, _)| *version == 2));

    let done = apply(
        &mut desk,
        vec![file("x.toml", vec![rule("b", json!({"threshold": 5}))])],
        &[],
    );
    assert_eq!(done.removed, ["rule `a`"]);
    assert_eq!(desk.book.open_alerts().count(), 0);
    assert_eq!(kept(&desk), [("b".to_owned(), 2, Some("x.toml".to_owned()))]);
}

#[test]
fn a_broken_file_changes_nothing_and_does_not_hold_up_the_others() {
    let mut desk = desk();
    let files = || {
        vec![
            file("x.toml", vec![rule("a", json!({}))]),
            file("y.toml", vec![rule("b", json!({}))]),
        ]
    };
    apply(&mut desk, files(), &[]);
    let done = apply(&mut desk, vec![file("y.toml", vec![rule("c", json!({}))])], &["x.toml"]);
    assert_eq!(
        (done.added, done.removed),
        (vec!["rule `c`".to_owned()], vec!["rule `b`".to_owned()])
    );
    let names = |desk: &Desk| kept(desk).into_iter().map(|(name, ..)| name).collect::<Vec<_>>();
    assert_eq!(names(&desk), ["a", "c"]);

    // A channel that nobody knows, and a name that another file has: both are told, and both files stay as they were.
    let wrong = vec![
        file("x.toml", vec![rule("a", json!({"channels": ["nobody"]}))]),
        file(
            "y.toml",
            vec![rule("c", json!({})), rule("d", json!({"escalation": "none"}))],
        ),
        file("z.toml", vec![rule("c", json!({}))]),
    ];
    let done = apply(&mut desk, wrong, &[]);
    let told: Vec<(&str, &str, &str)> = done
        .refused
        .iter()
        .map(|part| (part.file.as_str(), part.name.as_str(), part.field.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("x.toml", "a", "channels"),
            ("y.toml", "d", "escalation"),
            ("z.toml", "c", "name")
        ]
    );
    assert_eq!(names(&desk), ["a", "c"]);
}

#[test]
fn what_a_file_holds_is_not_changed_through_the_api_until_it_is_let_go() {
    let mut desk = desk();
    desk.save_rule(None, rule("mine", json!({})), None, "eva", T0).unwrap();
    let files = || vec![file("x.toml", vec![rule("a", json!({})), rule("mine", json!({}))])];
    apply(&mut desk, files(), &[]);
    assert_eq!(kept(&desk).len(), 2, "a rule of the same name is taken over");
    let rule_id = id(&desk, "a");
    let refused = [
        desk.save_rule(Some(&rule_id), rule("a", json!({"threshold": 1})), None, "eva", T0)
            .unwrap_err(),
        desk.delete_rule(&rule_id, "eva", T0).unwrap_err(),
    ];
    for error in refused {
        assert!(error.status() == 409 && error.to_string().contains("x.toml"), "{error}");
    }
    assert_eq!(desk.release(T0).unwrap(), 2);
    desk.save_rule(
        Some(&rule_id),
        rule("a", json!({"threshold": 1})),
        None,
        "eva",
        T0 + MINUTE,
    )
    .unwrap();
    let done = apply(&mut desk, Vec::new(), &[]);
    assert!(done.removed.is_empty(), "{done:?}");
}

#[test]
fn channels_and_routing_come_and_go_with_their_file() {
    let mut desk = desk();
    let with = |same: Option<&Arc<Channel>>| Ready {
        channels: vec![ReadyChannel {
            channel: channel("pager"),
            same: same.map(Arc::clone),
        }],
        routing: Some(serde_json::from_value(json!({"route": {"channels": ["pager"]}})).unwrap()),
        ..file("x.toml", vec![rule("a", json!({"channels": ["pager"]}))])
    };
    let done = apply(&mut desk, vec![with(None)], &[]);
    assert!(done.refused.is_empty() && done.added.len() == 2, "{done:?}");
    let version = desk.book.routing().version;
    let compared = Arc::clone(&desk.book.channels()["pager"]);
    let done = apply(&mut desk, vec![with(Some(&compared))], &[]);
    assert_eq!((done.unchanged, done.changed.len()), (3, 0), "{done:?}");
    let edited = Channel {
        enabled: false,
        ..Channel::clone(&compared)
    };
    desk.put_channel(edited).unwrap();
    let done = apply(&mut desk, vec![with(Some(&compared))], &[]);
    assert_eq!(
        done.changed,
        ["channel `pager`"],
        "it is not what it was when it was compared"
    );
    assert!(desk.book.channels()["pager"].enabled);
    assert_eq!(desk.book.routing().version, version);
    assert_eq!(
        desk.save_routing(RoutingDraft::default(), None, T0)
            .unwrap_err()
            .status(),
        409
    );
    assert_eq!(desk.delete_channel("pager", false).unwrap_err().status(), 409);

    // The routing still names the channel, so the channel stays, and both can be edited again.
    let done = apply(&mut desk, Vec::new(), &[]);
    assert_eq!(done.removed, ["rule `a`"]);
    assert!(desk.book.channels()["pager"].provisioned.is_none());
    desk.save_routing(RoutingDraft::default(), None, T0).unwrap();
    desk.delete_channel("pager", false).unwrap();
}

#[test]
fn a_channel_goes_when_it_has_told_what_was_to_be_told() {
    let mut desk = desk();
    let with = Ready {
        channels: vec![ReadyChannel {
            channel: channel("pager"),
            same: None,
        }],
        ..file("x.toml", vec![rule("a", json!({"channels": ["pager"]}))])
    };
    assert!(!desk.holds());
    apply(&mut desk, vec![with], &[]);
    assert!(desk.holds());
    let verdict = streamflow_model::Signal {
        rule_id: id(&desk, "a"),
        ..signal(0, 60.0)
    };
    desk.book.signals(&[verdict], T0);
    for outgoing in desk.take_batch().unwrap().changes.outgoing {
        desk.outbox.push(outgoing);
    }
    let tell = |desk: &mut Desk| {
        let outgoing = desk.outbox.take(T0, 8).unwrap();
        let status = desk.sent(outgoing, Ok("1".to_owned()), T0, 0.0).unwrap().status;
        desk.outbox.settled();
        status
    };
    assert_eq!(tell(&mut desk), "firing");

    // The end of the alert is made by the same call that would remove the channel.
    let done = apply(&mut desk, Vec::new(), &[]);
    assert_eq!((done.removed, done.leaving), (vec!["rule `a`".to_owned()], 1));
    for outgoing in desk.take_batch().unwrap().changes.outgoing {
        desk.outbox.push(outgoing);
    }
    assert_eq!(apply(&mut desk, Vec::new(), &[]).leaving, 1, "it waits to be sent");
    assert!(desk.book.channels().contains_key("pager"));
    assert_eq!(tell(&mut desk), "resolved");
    let done = apply(&mut desk, Vec::new(), &[]);
    assert_eq!((done.removed, done.leaving), (vec!["channel `pager`".to_owned()], 0));
}

#[test]
fn a_channel_that_gave_up_is_failing_until_it_delivers_or_is_saved() {
    let mut desk = desk();
    desk.save_channel(channel("pager"), true, T0).unwrap();
    let failing = |desk: &Desk| desk.outbox.health(T0)["pager"].failing;
    let rule_id = desk
        .save_rule(None, rule("a", json!({"channels": ["pager"]})), None, "eva", T0)
        .unwrap()
        .id;
    let mut at = 0;
    let mut tell = |desk: &mut Desk, outcome: Result<String, DeliverError>| {
        let value = if at % 2 == 0 { 60.0 } else { 1.0 };
        let verdict = streamflow_model::Signal {
            rule_id: rule_id.clone(),
            ..signal(at, value)
        };
        at += 1;
        desk.book.signals(&[verdict], T0);
        for outgoing in desk.take_batch().unwrap().changes.outgoing {
            desk.outbox.push(outgoing);
        }
        let outgoing = desk.outbox.take(T0, 8).unwrap();
        desk.sent(outgoing, outcome, T0, 0.0).unwrap();
        desk.outbox.settled();
    };
    let refused = || Err(DeliverError::Permanent("410".to_owned()));
    tell(&mut desk, refused());
    assert_eq!(failing(&desk), Some(true));
    tell(&mut desk, Ok(String::new()));
    assert_eq!(failing(&desk), Some(false));
    tell(&mut desk, refused());
    assert_eq!(failing(&desk), Some(true));
    desk.save_channel(channel("pager"), false, T0).unwrap();
    assert_eq!(failing(&desk), Some(false));
}
