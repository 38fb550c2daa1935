//! Groups at work, and how new ones take over from them. Pure.

use std::collections::BTreeMap;

use streamflow_alerting::PostedAlert;
use streamflow_model::{Alert, Instant, Span};
use tokio::time::Instant as Clock;

use super::{
    task::PromSource,
    watch::{Firing, Labels, Watch},
};
use crate::command::rule_file::prometheus::PromRule;

/// A rule at work, and why its last evaluation failed.
pub type Entry = (Watch, Option<String>);

/// A group at work.
#[derive(Debug)]
pub struct Running {
    /// Its file.
    pub file: String,
    /// Its name.
    pub name: String,
    /// How often it is evaluated.
    pub interval: Span,
    /// When it is evaluated next.
    pub due: Clock,
    /// When it was evaluated last.
    pub evaluated_at: Option<Instant>,
    /// Its rules.
    pub watches: Vec<Entry>,
}

impl Running {
    /// What the evaluation of one of its rules found, as alerts to mention; see [`Watch::evaluated`].
    ///
    /// # Errors
    /// When the result cannot be alerts.
    pub fn evaluated(
        &mut self,
        nth: usize,
        found: Vec<(Labels, f64)>,
        now: i64,
        early: bool,
    ) -> Result<Vec<PostedAlert>, String> {
        let nth = nth.min(self.watches.len());
        let (before, rest) = self.watches.split_at_mut(nth);
        let Some(((watch, _), after)) = rest.split_first_mut() else {
            return Ok(Vec::new());
        };
        let elsewhere = |labels: &Labels| {
            let mut others = before.iter().chain(after.iter());
            others.any(|(other, _)| other.fires(labels))
        };
        watch.evaluated(found, self.interval, now, early, &elsewhere)
    }
}

/// Takes over new groups. A rule that stays as it was keeps its alerts, also in another place; for others `open` tells which alerts
/// fire already, by file, group and rule. Answers the ends of alerts that no rule has any more as well.
pub fn take_over(
    source: PromSource,
    before: Vec<Running>,
    open: &dyn Fn(&str, &str, &PromRule) -> Vec<Firing>,
    now: i64,
) -> (Vec<Running>, Vec<PostedAlert>) {
    let mut before: BTreeMap<(String, String), Running> = before
        .into_iter()
        .map(|group| ((group.file.clone(), group.name.clone()), group))
        .collect();
    let (mut placed, mut left) = (Vec::new(), Vec::new());
    for (file, group) in source {
        let old = before.remove(&(file.clone(), group.name.clone()));
        let due = old.as_ref().map_or_else(Clock::now, |old| old.due);
        let evaluated_at = old.as_ref().and_then(|old| old.evaluated_at);
        let mut old = old.map(|old| old.watches).unwrap_or_default();
        let mut rules = Vec::new();
        for rule in group.rules {
            let kept = take_equal(&mut old, &rule);
            rules.push((rule, kept));
        }
        left.append(&mut old);
        let running = Running {
            file,
            name: group.name,
            interval: group.interval,
            due: due.min(Clock::now() + group.interval.std()),
            evaluated_at,
            watches: Vec::new(),
        };
        placed.push((running, rules));
    }
    left.extend(before.into_values().flat_map(|group| group.watches));
    let mut running = Vec::new();
    for (mut group, rules) in placed {
        for (rule, kept) in rules {
            // Its file or group has another name, or it stands in another group: nothing about it is new.
            let entry = kept.or_else(|| take_equal(&mut left, &rule)).unwrap_or_else(|| {
                let mut open = open(&group.file, &group.name, &rule);
                for one in &mut open {
                    one.found = left.iter().any(|(watch, _)| watch.has_found(&one.labels));
                }
                (Watch::new(rule, open, now), None)
            });
            group.watches.push(entry);
        }
        running.push(group);
    }
    // A changed rule whose alerts have the same labels goes on with them.
    let goes_on = |labels: &Labels| {
        let mut watches = running.iter().flat_map(|group: &Running| &group.watches);
        watches.any(|(watch, _)| watch.fires(labels))
    };
    let ended = left.into_iter().flat_map(|(watch, _)| watch.ended());
    let ended = ended.filter(|post| !goes_on(&post.labels)).collect();
    (running, ended)
}

fn take_equal(entries: &mut Vec<Entry>, rule: &PromRule) -> Option<Entry> {
    let at = entries.iter().position(|(watch, _)| watch.rule == *rule)?;
    Some(entries.swap_remove(at))
}

/// Those of the alerts of one mark that may be this rule's, as it would have mentioned them.
pub fn firing(open: &[Alert], rule: &PromRule) -> Vec<Firing> {
    let own = open.iter().filter(|alert| {
        // A level is shown by its own name, and what a template made of a label is not known.
        let mut told = rule
            .labels
            .iter()
            .filter(|(name, text)| !["level", "alertname"].contains(&name.as_str()) && !text.contains("{{"));
        told.all(|(name, text)| alert.labels.get(name).map_or("", String::as_str) == text)
    });
    own.map(|alert| {
        let (mut labels, mut annotations) = (alert.labels.clone(), alert.annotations.clone());
        match rule.labels.get("level") {
            Some(text) if text.contains("{{") => {}
            Some(text) if !text.is_empty() => drop(labels.insert("level".to_owned(), text.clone())),
            // The hub's own; the name of the alert is the rule's.
            _ => drop(labels.remove("level")),
        }
        annotations.remove("generator_url");
        let began = alert.data.get("window_end").cloned();
        let began = began.and_then(|at| serde_json::from_value::<Instant>(at).ok());
        Firing {
            labels,
            annotations,
            // As it was mentioned: an end with an earlier begin would be old news.
            since: began.or(alert.fired_at).unwrap_or_default().0,
            found: false,
        }
    })
    .collect()
}

#[cfg(test)]
mod tests;
