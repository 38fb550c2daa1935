//! One rule's alerts: results and `now` in, alerts to mention out. Pure.

use std::collections::BTreeMap;

use streamflow_alerting::PostedAlert;
use streamflow_model::{Instant, Span};

use crate::command::rule_file::prometheus::{PromRule, fill};

/// An alert is mentioned with every evaluation; it is missed after so many that did not come.
const MISSED: i64 = 4;
/// It is not missed earlier than this.
const PATIENCE_MS: i64 = 60_000;
/// When an alert that is over has ended: certainly in the past, by whatever clock. An end to come would be none.
const OVER: i64 = 1;
/// Series of one rule; more are an error, as there would be as many alerts.
const MOST: usize = 1000;

/// Labels by name.
pub type Labels = BTreeMap<String, String>;

/// The alerts of one rule.
#[derive(Debug)]
pub struct Watch {
    /// The rule.
    pub rule: PromRule,
    /// Alerts by their labels.
    active: BTreeMap<Labels, Active>,
}

#[derive(Debug)]
struct Active {
    /// Since when its series is there, ms.
    since: i64,
    /// Since when it fires.
    fired_at: Option<i64>,
    /// Its series was there last.
    seen: i64,
    /// It goes on from an earlier start, and its series was not found since.
    adopted: bool,
    annotations: Labels,
}

/// An alert that fires already: of an earlier start, or of the rule before it was changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Firing {
    /// Its labels, as its rule makes them.
    pub labels: Labels,
    /// Its texts.
    pub annotations: Labels,
    /// When it began, as it was mentioned, ms.
    pub since: i64,
    /// Whether its series was there since the hub started.
    pub found: bool,
}

impl Watch {
    /// `open` are alerts of this rule that fire already.
    pub fn new(rule: PromRule, open: Vec<Firing>, now: i64) -> Self {
        let active = open.into_iter().map(|one| {
            let active = Active {
                since: one.since,
                fired_at: Some(one.since),
                // Before the evaluation of this moment.
                seen: now - 1,
                adopted: !one.found,
                annotations: one.annotations,
            };
            (one.labels, active)
        });
        Self {
            rule,
            active: active.collect(),
        }
    }

    /// Whether an alert of these labels fires.
    pub fn fires(&self, labels: &Labels) -> bool {
        self.active.get(labels).is_some_and(|active| active.fired_at.is_some())
    }

    /// Pending and firing alerts.
    pub fn counts(&self) -> (usize, usize) {
        let firing = self.active.values().filter(|one| one.fired_at.is_some()).count();
        (self.active.len() - firing, firing)
    }

    /// Whether an alert of these labels fires, and its series was there since the hub started.
    pub fn has_found(&self, labels: &Labels) -> bool {
        let active = self.active.get(labels);
        active.is_some_and(|active| active.fired_at.is_some() && !active.adopted)
    }

    /// What an evaluation found, as alerts to mention. `interval` is the time until the next one. The hub has just started when it
    /// is `early`: agents are not back yet, and that a series is missing says nothing about an alert from before. An alert that
    /// another rule has as well, by its labels, is not ended by this one.
    ///
    /// # Errors
    /// When there are too many series, or two of them with the same labels.
    pub fn evaluated(
        &mut self,
        found: Vec<(Labels, f64)>,
        interval: Span,
        now: i64,
        early: bool,
        elsewhere: &dyn Fn(&Labels) -> bool,
    ) -> Result<Vec<PostedAlert>, String> {
        if found.len() > MOST {
            return Err(format!("{} series, more than {MOST}; aggregate them", found.len()));
        }
        let mut now_there: BTreeMap<Labels, Labels> = BTreeMap::new();
        for (series, value) in found {
            let named = |texts: &Labels| -> Result<Labels, String> {
                let filled = texts
                    .iter()
                    .map(|(name, text)| Ok((name.clone(), fill(text, &series, value)?)));
                filled.collect()
            };
            let mut labels = series.clone();
            labels.extend(named(&self.rule.labels)?);
            labels.insert("alertname".to_owned(), self.rule.alert.clone());
            labels.retain(|_, value| !value.is_empty());
            let annotations = named(&self.rule.annotations)?;
            if now_there.insert(labels, annotations).is_some() {
                return Err("two series have the same labels once those of the rule are added".to_owned());
            }
        }
        for (labels, annotations) in now_there {
            let active = self.active.entry(labels).or_insert(Active {
                since: now,
                fired_at: None,
                seen: now,
                adopted: false,
                annotations: Labels::new(),
            });
            (active.seen, active.adopted, active.annotations) = (now, false, annotations);
            if active.fired_at.is_none() && now - active.since >= self.rule.hold.ms() {
                active.fired_at = Some(now);
            }
        }
        let until = now + (MISSED * interval.ms()).max(PATIENCE_MS);
        let (mut posts, keep) = (Vec::new(), self.rule.keep_firing_for.ms());
        self.active.retain(|labels, active| {
            let there = active.seen == now;
            let kept = there || (active.adopted && early) || now - active.seen < keep;
            match active.fired_at {
                // A pending alert whose series is gone is nothing.
                None => there,
                Some(fired) => {
                    if kept || !elsewhere(labels) {
                        posts.push(post(labels, active, fired, if kept { until } else { OVER }));
                    }
                    kept
                }
            }
        });
        Ok(posts)
    }

    /// Its rule is gone: what fires is over.
    pub fn ended(self) -> Vec<PostedAlert> {
        let firing = self.active.iter();
        let firing = firing.filter_map(|(labels, active)| Some(post(labels, active, active.fired_at?, OVER)));
        firing.collect()
    }
}

fn post(labels: &Labels, active: &Active, fired_at: i64, ends_at: i64) -> PostedAlert {
    PostedAlert {
        labels: labels.clone(),
        annotations: active.annotations.clone(),
        starts_at: Some(Instant(fired_at)),
        ends_at: Some(Instant(ends_at)),
        generator_url: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    fn rule(hold: i64, keep: i64) -> PromRule {
        PromRule {
            alert: "Slow".to_owned(),
            expr: "x > 1".to_owned(),
            hold: Span::from_ms(hold),
            keep_firing_for: Span::from_ms(keep),
            labels: Labels::from([("severity".to_owned(), "page".to_owned())]),
            annotations: Labels::from([("summary".to_owned(), "{{ $labels.host }}: {{ $value }}".to_owned())]),
        }
    }

    fn series(host: &str, value: f64) -> (Labels, f64) {
        (Labels::from([("host".to_owned(), host.to_owned())]), value)
    }

    /// Host, for how long it goes on (none when it is over), and summary of each alert that is mentioned.
    fn at(watch: &mut Watch, now: i64, found: Vec<(Labels, f64)>) -> Vec<(String, i64, String)> {
        let posts = watch
            .evaluated(found, Span::from_secs(30), now, false, &|_| false)
            .unwrap();
        told(posts, now)
    }

    fn told(posts: Vec<PostedAlert>, now: i64) -> Vec<(String, i64, String)> {
        let told = posts.into_iter().map(|post| {
            assert_eq!(
                (post.labels["alertname"].as_str(), post.labels["severity"].as_str()),
                ("Slow", "page")
            );
            let summary = post.annotations.get("summary").cloned().unwrap_or_default();
            let ends = post.ends_at.unwrap().0;
            let goes_on = if ends == OVER { 0 } else { ends - now };
            (post.labels["host"].clone(), goes_on, summary)
        });
        told.collect()
    }

    #[test]
    fn a_series_is_pending_then_fires_and_ends_when_it_is_gone() {
        let mut watch = Watch::new(rule(MINUTE, 0), Vec::new(), 0);
        assert!(at(&mut watch, 0, vec![series("a", 2.0), series("b", 3.0)]).is_empty());
        assert_eq!(watch.counts(), (2, 0));
        assert!(at(&mut watch, 30_000, vec![series("a", 2.0)]).is_empty());
        assert_eq!(watch.counts(), (1, 0), "b was only pending");
        let fires = at(&mut watch, MINUTE, vec![series("a", 5.0), series("b", 3.0)]);
        assert_eq!(fires, [("a".to_owned(), 2 * MINUTE, "a: 5".to_owned())]);
        let over = at(&mut watch, 2 * MINUTE, vec![series("b", 3.0)]);
        let told: Vec<(&str, i64)> = over.iter().map(|(host, ends, _)| (host.as_str(), *ends)).collect();
        assert_eq!(told, [("a", 0), ("b", 2 * MINUTE)]);
        assert_eq!(watch.counts(), (0, 1));
        assert_eq!(watch.ended().len(), 1);
    }

    #[test]
    fn it_is_kept_firing_and_goes_on_after_a_restart() {
        let mut watch = Watch::new(rule(0, 2 * MINUTE), Vec::new(), 0);
        at(&mut watch, 0, vec![series("a", 2.0)]);
        assert_eq!(at(&mut watch, MINUTE, vec![])[0].1, 2 * MINUTE, "kept");
        assert_eq!(at(&mut watch, 2 * MINUTE, vec![])[0].1, 0, "over");
        assert_eq!(watch.counts(), (0, 0));
        let mut watch = Watch::new(rule(MINUTE, 0), vec![open("a")], 0);
        assert_eq!(
            at(&mut watch, 0, vec![])[0].1,
            0,
            "what was open is ended when its series is gone"
        );
    }

    fn open(host: &str) -> Firing {
        let mut labels = series(host, 0.0).0;
        labels.extend([
            ("alertname".to_owned(), "Slow".to_owned()),
            ("severity".to_owned(), "page".to_owned()),
        ]);
        Firing {
            labels,
            annotations: Labels::from([("summary".to_owned(), "as before".to_owned())]),
            since: -MINUTE,
            found: false,
        }
    }

    #[test]
    fn just_after_a_start_an_alert_from_before_is_not_ended_until_it_was_found_again() {
        let mut watch = Watch::new(rule(MINUTE, 0), vec![open("a"), open("b")], 0);
        let mut early = |now, found| {
            let posts = watch.evaluated(found, Span::from_secs(30), now, true, &|_| false);
            told(posts.unwrap(), now)
        };
        let text = |host: &str, ends, summary: &str| (host.to_owned(), ends, summary.to_owned());
        assert_eq!(
            early(0, vec![]),
            [text("a", 2 * MINUTE, "as before"), text("b", 2 * MINUTE, "as before")]
        );
        assert_eq!(
            early(30_000, vec![series("a", 2.0)]),
            [text("a", 2 * MINUTE, "a: 2"), text("b", 2 * MINUTE, "as before")]
        );
        let over = early(MINUTE, vec![]);
        assert_eq!(
            (over[0].1, over[1].1),
            (0, 2 * MINUTE),
            "a was back, so that it is gone is news"
        );
        assert_eq!(at(&mut watch, 10 * MINUTE, vec![]), [text("b", 0, "as before")]);
    }

    #[test]
    fn an_alert_that_another_rule_has_as_well_is_let_go_without_a_word() {
        let mut watch = Watch::new(rule(0, 0), vec![open("a"), open("b")], 0);
        let elsewhere = |labels: &Labels| labels["host"] == "a";
        let posts = watch
            .evaluated(vec![], Span::from_secs(30), 0, false, &elsewhere)
            .unwrap();
        let told: Vec<String> = told(posts, 0).into_iter().map(|(host, ..)| host).collect();
        assert_eq!((told, watch.counts()), (vec!["b".to_owned()], (0, 0)));
    }

    #[test]
    fn series_that_cannot_be_told_apart_are_an_error() {
        let mut same = rule(0, 0);
        same.labels.insert("host".to_owned(), "all".to_owned());
        let mut watch = Watch::new(same, Vec::new(), 0);
        let found = vec![series("a", 1.0), series("b", 1.0)];
        assert!(
            watch
                .evaluated(found, Span::from_secs(30), 0, false, &|_| false)
                .unwrap_err()
                .contains("same labels")
        );
    }
}
