//! Checks what a rule plugin answers. An answer that makes no sense is a fault like a trap.

use super::{MAX_ROWS, RuleAlert};
use crate::sandbox::{Fault, Guest, level, types};

/// Longest key of an incident.
const MAX_KEY: usize = 256;
/// Longest title.
const MAX_TITLE: usize = 256;
/// Most labels of an alert.
const MAX_LABELS: usize = 16;
/// Longest name of a label.
const MAX_NAME: usize = 64;
/// Longest value of a label.
const MAX_VALUE: usize = 256;

/// Names that the hub gives itself.
const OWN_LABELS: [&str; 2] = ["alertname", "level"];

/// `rows` are the numbers behind the rows of the call.
pub(super) fn check(alerts: Vec<types::Alert>, rows: &[u32], guest: &Guest) -> Result<Vec<RuleAlert>, Fault> {
    if alerts.len() > MAX_ROWS {
        return Err(Fault::answer(format!(
            "{} alerts in one answer; {MAX_ROWS} are allowed",
            alerts.len()
        )));
    }
    alerts.into_iter().map(|alert| one(alert, rows, guest)).collect()
}

fn one(alert: types::Alert, rows: &[u32], guest: &Guest) -> Result<RuleAlert, Fault> {
    let bounded = |what: &str, text: &str, least: usize, most: usize| {
        if (least..=most).contains(&text.len()) {
            Ok(guest.shown(text))
        } else {
            Err(Fault::answer(format!(
                "{what} of {} bytes; {least} to {most} are allowed",
                text.len()
            )))
        }
    };
    let key = bounded("an alert's key", &alert.key, 1, MAX_KEY)?;
    let title = match alert.title.as_str() {
        "" => key.clone(),
        title => bounded("an alert's title", title, 0, MAX_TITLE)?,
    };
    let row = match alert.rows.iter().max() {
        None => None,
        Some(row) => Some(
            *rows
                .get(*row as usize)
                .ok_or_else(|| Fault::answer(format!("an alert names row {row} of {}", rows.len())))?,
        ),
    };
    if alert.labels.len() > MAX_LABELS {
        return Err(Fault::answer(format!(
            "{} labels; {MAX_LABELS} are allowed",
            alert.labels.len()
        )));
    }
    let mut labels = std::collections::BTreeMap::new();
    for (name, value) in &alert.labels {
        let name = bounded("a label's name", name, 1, MAX_NAME)?;
        if OWN_LABELS.contains(&name.as_str()) {
            return Err(Fault::answer(format!("label `{name}` is given by the hub")));
        }
        labels.insert(name, bounded("a label's value", value, 0, MAX_VALUE)?);
    }
    Ok(RuleAlert {
        key,
        level: alert.level.map(level),
        title,
        body: guest.shown_lines(&alert.body),
        value: alert.value.filter(|value| value.is_finite()),
        resolved: alert.resolved,
        row,
        labels,
    })
}
