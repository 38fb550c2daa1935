use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{
    automaton::{Automaton, MAX_WAITING, Match, Seen},
    program::{Mask, Position, Program},
};

/// Steps as (bits taken, count, bits forbidden after it).
pub(crate) fn program(within: i64, steps: &[(Mask, usize, Mask)]) -> Program {
    let positions = steps
        .iter()
        .zip(0..)
        .map(|(&(takes, count, forbids), number)| Position {
            name: format!("s{number}"),
            takes,
            count,
            forbids,
        });
    let mut program = Program {
        positions: positions.collect(),
        within,
        awaited: Vec::new(),
    };
    program.awaited = vec!["end".to_owned(); program.forbidden_at_the_end().count_ones() as usize];
    program
}

type Event = (i64, Mask);

/// Feeds events in order and lets time pass until `end`; answers (start, decided at) of each match.
fn run(program: &Program, events: &[Event], end: i64) -> (Vec<(i64, i64)>, Automaton) {
    let mut automaton = Automaton::default();
    let mut found: Vec<Match> = Vec::new();
    for (number, (at, mask)) in events.iter().enumerate() {
        while let Some(overdue) = automaton.overdue(*at) {
            found.push(overdue);
        }
        let seen = Seen {
            at: *at,
            id: number as u128,
        };
        found.extend(automaton.step(program, seen, *mask).found);
    }
    while let Some(overdue) = automaton.overdue(end) {
        found.push(overdue);
    }
    automaton.forget(program, end);
    let matches = found.iter().map(|found| (found.path.start, found.at)).collect();
    (matches, automaton)
}

/// All ways to choose the events of the steps in order, written as the definition reads: answers the starts of those that end with event `last`.
fn starts(program: &Program, events: &[Event], from: usize, last: usize) -> BTreeSet<i64> {
    fn choose(
        program: &Program,
        events: &[Event],
        at: usize,
        last: usize,
        chosen: &mut Vec<usize>,
        starts: &mut BTreeSet<i64>,
    ) {
        let (mut number, mut done) = (0, 0);
        for _ in chosen.iter() {
            done += 1;
            if done == program.positions[number].count {
                (number, done) = (number + 1, 0);
            }
        }
        let Some(position) = program.positions.get(number) else {
            let first = chosen[0];
            if chosen.last() == Some(&last) && events[last].0 - events[first].0 <= program.within {
                starts.insert(events[first].0);
            }
            return;
        };
        for next in at..=last {
            // What is forbidden between two steps ends every choice that leaves it between them.
            if done == 0 && number > 0 && events[next].1 & program.positions[number - 1].forbids != 0 {
                return;
            }
            if events[next].1 & position.takes != 0 {
                chosen.push(next);
                choose(program, events, next + 1, last, chosen, starts);
                chosen.pop();
            }
        }
    }
    let mut found = BTreeSet::new();
    choose(program, events, from, last, &mut Vec::new(), &mut found);
    found
}

/// The definition of the matches of a key, without any cleverness: the match that is complete first, of those the one that begins last; then on behind it.
pub(crate) fn naive(program: &Program, events: &[Event], end: i64) -> Vec<(i64, i64)> {
    let forbidden = program.forbidden_at_the_end();
    let (mut from, mut found) = (0, Vec::new());
    for last in 0..events.len() {
        let Some(start) = starts(program, events, from, last).last().copied() else {
            continue;
        };
        from = last + 1;
        if forbidden == 0 {
            found.push((start, events[last].0));
            continue;
        }
        let deadline = start + program.within;
        let undone = events[last + 1..]
            .iter()
            .any(|(at, mask)| *at <= deadline && mask & forbidden != 0);
        if !undone && deadline < end {
            found.push((start, deadline));
        }
    }
    found.sort_by_key(|(_, at)| *at);
    found
}

#[test]
fn a_sequence_skips_what_lies_between_and_uses_events_once() {
    let abc = program(100, &[(1, 1, 0), (2, 1, 0), (4, 1, 0)]);
    assert_eq!(
        run(&abc, &[(0, 1), (10, 8), (20, 2), (30, 1), (40, 4), (50, 4)], 500).0,
        [(0, 40)]
    );
    // Too far apart, but the later beginning is near enough.
    assert_eq!(run(&abc, &[(0, 1), (50, 1), (60, 2), (101, 4)], 500).0, [(50, 101)]);
    assert!(run(&abc, &[(0, 1), (50, 2), (101, 4)], 500).0.is_empty());
    assert!(
        run(&abc, &[(0, 2), (1, 1), (2, 4)], 500).0.is_empty(),
        "the order counts"
    );
    // One event that fits two steps takes one of them.
    assert!(run(&program(100, &[(1, 1, 0), (2, 1, 0)]), &[(0, 3)], 500).0.is_empty());
    assert_eq!(
        run(&program(100, &[(1, 1, 0), (2, 1, 0)]), &[(0, 3), (1, 3)], 500).0,
        [(0, 1)]
    );
}

#[test]
fn a_repetition_counts_within_the_time_and_begins_anew() {
    let five = program(60, &[(1, 5, 0)]);
    let steady: Vec<Event> = (0..20).map(|n| (n * 10, 1)).collect();
    assert_eq!(run(&five, &steady, 999).0, [(0, 40), (50, 90), (100, 140), (150, 190)]);
    let slow: Vec<Event> = (0..20).map(|n| (n * 16, 1)).collect();
    assert!(run(&five, &slow, 999).0.is_empty());
}

#[test]
fn a_negation_fires_when_its_time_is_over() {
    let unpaid = program(100, &[(1, 1, 2)]);
    assert_eq!(run(&unpaid, &[(0, 1), (101, 2)], 102).0, [(0, 100)]);
    assert!(
        run(&unpaid, &[(0, 1), (100, 2)], 999).0.is_empty(),
        "the last moment is in time"
    );
    assert!(run(&unpaid, &[(0, 1)], 100).0.is_empty(), "not before it is over");
    // Between two steps it breaks what lies around it only.
    let clean = program(100, &[(1, 1, 4), (2, 1, 0)]);
    assert!(run(&clean, &[(0, 1), (1, 4), (2, 2)], 999).0.is_empty());
    assert_eq!(run(&clean, &[(0, 1), (1, 4), (2, 1), (3, 2)], 999).0, [(2, 3)]);
}

#[test]
fn state_is_bounded_by_the_pattern() {
    let many = program(1_000_000, &[(1, 3, 0), (2, 50, 0), (4, 1, 0)]);
    let events: Vec<Event> = (0..20_000).map(|n| (n, if n % 7 == 0 { 1 } else { 2 })).collect();
    let (found, mut automaton) = run(&many, &events, 20_000);
    assert!(found.is_empty() && automaton.held() < 400, "{}", automaton.held());
    let until = automaton.until(&many).unwrap();
    automaton.forget(&many, until);
    assert!(!automaton.is_empty());
    automaton.forget(&many, until + 1);
    assert!(automaton.is_empty());
    // Waits are bounded too, and what finds no room is told.
    let (mut waits, negation) = (Automaton::default(), program(1000, &[(1, 1, 2)]));
    let dropped: u64 = (0..100)
        .map(|n| waits.step(&negation, Seen { at: n, id: 0 }, 1).dropped)
        .sum();
    assert_eq!(dropped, 100 - MAX_WAITING as u64);
}

fn programs() -> impl Strategy<Value = Program> {
    let mask = || 1u16..8;
    let forbids = prop_oneof![3 => Just(0u16), 1 => mask()];
    let step = (mask(), 1usize..4, forbids);
    (1i64..60, prop::collection::vec(step, 1..4)).prop_map(|(within, steps)| program(within, &steps))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn the_automaton_finds_what_the_definition_says(
        program in programs(),
        steps in prop::collection::vec((0i64..12, 0u16..8), 0..18),
    ) {
        let mut at = 0;
        let events: Vec<Event> = steps.into_iter().map(|(pause, mask)| { at += pause; (at, mask) }).collect();
        let (mut found, _) = run(&program, &events, at + 10);
        found.sort_by_key(|(_, at)| *at);
        prop_assert_eq!(found, naive(&program, &events, at + 10));
    }
}
