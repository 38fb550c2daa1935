//! What an alert of a pattern says: which steps were taken, by which events, when.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use streamflow_model::{Account, Instant, Span};
use uuid::Uuid;

use super::{
    automaton::{Match, Path, Seen, Trace},
    program::{Mask, Position, Program},
};

/// Events of a match.
pub(crate) fn events(path: &Path) -> f64 {
    path.traces.iter().map(|trace| f64::from(trace.count)).sum()
}

/// A match in words and as data.
pub(crate) fn found(program: &Program, labels: &BTreeMap<String, String>, found: &Match, matches: u64) -> Account {
    let steps = || program.positions.iter().zip(&found.path.traces);
    let taken: Vec<String> = steps().map(|(position, _)| name(position)).collect();
    let awaited = if program.awaited.is_empty() {
        String::new()
    } else {
        format!(", then no {}", program.awaited.join(" or "))
    };
    let within = Span::from_ms(program.within);
    let mut message = format!("{}{awaited} within {within}.", taken.join(", then "));
    for (position, trace) in steps() {
        message.push_str(&format!("\n{}: {}", position.name, times(trace)));
    }
    if !program.awaited.is_empty() {
        message.push_str(&format!("\nNothing came until {}.", Instant(found.at)));
    }
    let steps: Vec<Value> = steps().map(|(position, trace)| step(position, trace)).collect();
    let mut data = Map::new();
    data.insert("key".to_owned(), json!(labels));
    data.insert("steps".to_owned(), json!(steps));
    data.insert("within".to_owned(), json!(within));
    data.insert("matches".to_owned(), json!(matches));
    data.insert("matched_at".to_owned(), json!(Instant(found.at)));
    if !program.awaited.is_empty() {
        data.insert("awaited".to_owned(), json!(program.awaited));
    }
    Account {
        summary: format!("{}{awaited} within {within}", taken.join(", then ")),
        message,
        data,
    }
}

/// Says which hosts might still have undone a match.
pub(crate) fn add_missing(account: &mut Account, missing: &[String]) {
    if missing.is_empty() {
        return;
    }
    account.message.push_str(&format!(
        "\nNothing was heard of {} for so long that they are not waited for any more; what was awaited may lie there.",
        missing.join(", ")
    ));
}

/// What was awaited has come.
pub(crate) fn came(program: &Program, mask: Mask, seen: Seen) -> Account {
    let last = program.positions.last().map_or(0, |position| position.forbids);
    // The awaited steps are the last ones of the rule, in the order of their bits.
    let bits = (0..Mask::BITS).filter(|bit| last & (1 << bit) != 0);
    let come = bits.zip(&program.awaited).find(|(bit, _)| mask & (1 << bit) != 0);
    let name = come.map_or("what was awaited", |(_, name)| name.as_str());
    Account {
        summary: format!("{name} came at {}", Instant(seen.at)),
        message: String::new(),
        data: Map::from_iter([(
            "ended_by".to_owned(),
            json!({"name": name, "id": Uuid::from_u128(seen.id), "timestamp": Instant(seen.at)}),
        )]),
    }
}

/// Nothing more has happened.
pub(crate) fn quiet(within: i64) -> Account {
    Account {
        summary: format!("no further match for {}", Span::from_ms(within)),
        ..Account::default()
    }
}

fn name(position: &Position) -> String {
    match position.count {
        1 => position.name.clone(),
        count => format!("{count} × {}", position.name),
    }
}

fn times(trace: &Trace) -> String {
    let shown = |seen: Option<&Seen>| seen.map_or_else(String::new, |seen| Instant(seen.at).to_string());
    match trace.events.as_slice() {
        [only] => shown(Some(only)),
        events => format!("{} events, from {}", trace.count, shown(events.first())),
    }
}

fn step(position: &Position, trace: &Trace) -> Value {
    let events = trace.events.iter();
    let events: Vec<Value> = events
        .map(|seen| json!({"id": Uuid::from_u128(seen.id), "timestamp": Instant(seen.at)}))
        .collect();
    json!({"name": position.name, "count": trace.count, "events": events})
}
