use std::collections::BTreeSet;

use serde_json::json;
use streamflow_model::Signal;

use super::*;
use crate::{
    book::Book,
    id::AlertId,
    sample::{T0, book, rule, signal},
};

fn signals(count: u32) -> Vec<Signal> {
    let of = |n: u32| {
        let mut signal = signal(0, 60.0 + f64::from(n));
        signal.labels.insert("source".to_owned(), format!("web-{n}"));
        signal
    };
    (0..count).map(of).collect()
}

/// An incident at rest, alone on its shelf.
fn pack(packer: &mut Packer, incident: &Incident, due: Option<i64>) -> Option<Packed> {
    packer.pack(incident, due)?;
    packer.shelve().pop()
}

/// Incidents of one rule, those of which the packer makes a prepared dictionary among them.
fn incidents(book: &mut Book) -> Vec<Incident> {
    book.signals(&signals(2 * OFTEN), T0);
    let written = book.take_changes().written;
    written.iter().filter_map(|key| book.incident(key).cloned()).collect()
}

#[test]
fn what_is_packed_is_small_and_comes_back_as_it_was() {
    let annotated = json!({"annotations": {"runbook": "https://runbooks.example.org/errors"}});
    let mut book = book(vec![rule(annotated)]);
    let (mut packer, mut plain, mut packed) = (Packer::default(), 0, 0);
    for incident in incidents(&mut book) {
        let rest = pack(&mut packer, &incident, Some(T0 + 5)).unwrap();
        assert_eq!(rest.incident().as_ref(), Some(&incident));
        assert_eq!(rest.read::<Alert>().as_ref(), Some(&incident.alert));
        let alert = &incident.alert;
        assert_eq!(
            (rest.key(), rest.labels()),
            (alert.group_key.clone(), alert.labels.clone())
        );
        assert_eq!(
            (rest.due(), rest.fired_at()),
            (Some(T0 + 5), alert.fired_at.map(|at| at.0))
        );
        assert_eq!(
            (*rest.id(), rest.state(), rest.level()),
            (AlertId::of(&alert.id), alert.state, alert.level)
        );
        assert_eq!(rest.group(), incident.group());
        assert!(rest.is_open() && !rest.is_muted() && !rest.is_acknowledged() && !rest.follows_policy());
        plain += serde_json::to_vec(&incident).unwrap().len();
        packed += rest.raw().len();
    }
    assert!(packed * 6 < plain, "{packed} of {plain} bytes");
    assert!(size_of::<Place>() <= 64, "{} bytes", size_of::<Place>());
    assert!(size_of::<crate::handle::Shown>() <= 16);
}

#[test]
fn a_document_that_is_at_hand_need_not_be_written_anew() {
    let mut book = book(vec![rule(json!({}))]);
    let (mut packer, mut other) = (Packer::default(), Packer::default());
    for mut incident in incidents(&mut book) {
        incident.acknowledge("eva", "", T0);
        incident.mute(vec!["silence:s1".to_owned()], T0);
        let document = serde_json::to_vec(&incident).unwrap();
        let one = pack(&mut packer, &incident, None).unwrap();
        other.pack_document(&incident, None, &document).unwrap();
        let same = other.shelve().pop().unwrap();
        assert_eq!(
            (one.raw(), one.key(), one.labels()),
            (same.raw(), same.key(), same.labels())
        );
        assert!(same.is_muted() && same.is_acknowledged());
        assert_eq!((same.due(), same.incident()), (None, Some(incident)));
    }
}

#[test]
fn only_rules_of_many_alerts_have_a_prepared_dictionary_and_those_are_few() {
    let mut book = book(vec![rule(json!({}))]);
    let incident = incidents(&mut book).remove(0);
    let (mut packer, mut most) = (Packer::default(), BTreeSet::new());
    for round in 0..3 {
        for n in 0..2 * MOST_PREPARED {
            let mut incident = incident.clone();
            incident.alert.rule_id = format!("rule-{n}");
            incident.alert.group_key = format!("rule-{n}{{source=web}}");
            for _ in 0..OFTEN {
                let rest = pack(&mut packer, &incident, None).unwrap();
                assert_eq!(rest.incident().as_ref(), Some(&incident), "round {round}");
            }
            let prepared = packer.rules.values().filter(|rule| rule.encoder.is_some()).count();
            assert_eq!(prepared, packer.prepared);
            most.insert(prepared);
        }
    }
    assert_eq!(most.last(), Some(&MOST_PREPARED));
}

#[test]
fn what_cannot_be_kept_like_this_stays_as_it_is() {
    let mut book = book(vec![rule(json!({}))]);
    let fine = incidents(&mut book).remove(0);
    let mut packer = Packer::default();
    let mut odd = fine.clone();
    odd.alert.labels.insert("odd".to_owned(), "a\u{1f}b".to_owned());
    assert!(packer.pack(&odd, None).is_none());
    let mut odd = fine.clone();
    odd.alert.group_key = "another{source=web}".to_owned();
    assert!(
        packer.pack(&odd, None).is_none(),
        "a key that does not begin with the rule"
    );
    let mut long = fine.clone();
    long.alert.group_key = format!("r1{{source={}}}", "x".repeat(1 << 16));
    assert!(packer.pack(&long, None).is_none());
    assert!(packer.shelve().is_empty(), "nor is anything left of it");
    assert!(packer.pack(&fine, None).is_some());
}

#[test]
fn what_moves_to_another_shelf_is_the_same_there() {
    let mut book = book(vec![rule(json!({}))]);
    let all = incidents(&mut book);
    let mut packer = Packer::default();
    all.iter().for_each(|incident| packer.pack(incident, Some(T0)).unwrap());
    let shelf = packer.shelve();
    let moved: Vec<_> = all.iter().zip(&shelf).skip(3).step_by(2).collect();
    moved.iter().for_each(|(_, packed)| packer.put(packed).unwrap());
    let (others, again) = (&shelf, packer.shelve());
    assert_eq!((again.len(), again[0].shelf().len()), (moved.len(), moved.len()));
    for ((incident, before), after) in moved.iter().zip(&again) {
        assert_eq!(after.incident().as_ref(), Some(*incident));
        assert_eq!(
            (after.key(), after.labels(), after.raw()),
            (before.key(), before.labels(), before.raw())
        );
        assert_eq!((after.due(), after.group()), (before.due(), before.group()));
        assert!(after.is(after) && !others.iter().any(|other| other.is(after)));
    }
}
