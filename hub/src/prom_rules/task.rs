//! Evaluates the groups, each at its interval, and mentions their alerts.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use prometheus::{IntCounterVec, Opts, Registry};
use serde::Serialize;
use streamflow_alerting::{AlertingHandle, EXTERNAL, PostedAlert};
use streamflow_dashboard::PromQl;
use streamflow_model::{Alert, Instant, Span};
use tokio::{sync::watch, time::Instant as Clock};
use tokio_util::sync::CancellationToken;

use super::watch::{Labels, Watch};
use crate::command::rule_file::prometheus::{Group, PromRule};

/// Groups by the file that they stand in.
pub type PromSource = Vec<(String, Group)>;

/// One rule as it stands.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct PromRuleView {
    /// Name of its alerts.
    alert: String,
    /// Its expression.
    expr: String,
    /// How long a series must be there before its alert fires.
    #[serde(rename = "for")]
    hold: Span,
    /// Alerts that wait for that.
    pending: usize,
    /// Alerts that fire.
    firing: usize,
    /// Why the last evaluation failed.
    error: Option<String>,
}

/// One group as it stands.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct PromGroupView {
    /// Its file.
    file: String,
    /// Its name.
    name: String,
    /// How often it is evaluated.
    interval: Span,
    /// When it was evaluated last.
    evaluated_at: Option<Instant>,
    /// Its rules.
    rules: Vec<PromRuleView>,
}

/// The stage, ready to run.
#[derive(Debug)]
pub struct PromRules {
    promql: PromQl,
    alerting: AlertingHandle,
    external_url: String,
    source: watch::Receiver<PromSource>,
    evaluations: IntCounterVec,
    view: Arc<Mutex<Vec<PromGroupView>>>,
}

/// A group at work.
#[derive(Debug)]
struct Running {
    file: String,
    name: String,
    interval: Span,
    due: Clock,
    evaluated_at: Option<Instant>,
    watches: Vec<(Watch, Option<String>)>,
}

impl PromRules {
    /// # Errors
    /// When a metric's name is taken.
    pub fn build(
        promql: PromQl,
        alerting: AlertingHandle,
        external_url: &str,
        source: watch::Receiver<PromSource>,
        registry: &Registry,
    ) -> prometheus::Result<Self> {
        let help = "Evaluations of alerting rules that are written for Prometheus";
        let evaluations = IntCounterVec::new(
            Opts::new("streamflow_promql_rule_evaluations_total", help),
            &["outcome"],
        )?;
        registry.register(Box::new(evaluations.clone()))?;
        Ok(Self {
            promql,
            alerting,
            external_url: external_url.trim_end_matches('/').to_owned(),
            source,
            evaluations,
            view: Arc::default(),
        })
    }

    /// The groups as they stand, now and later.
    pub fn view(&self) -> Arc<Mutex<Vec<PromGroupView>>> {
        Arc::clone(&self.view)
    }

    /// Evaluates until it is cancelled. What fires then is mentioned again by the next start.
    ///
    /// # Errors
    /// None; the shape is that of every stage.
    pub async fn run(mut self, token: CancellationToken) -> anyhow::Result<()> {
        let mut running: Vec<Running> = Vec::new();
        let mut live = true;
        loop {
            let due = running.iter().map(|group| group.due).min();
            let wake = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = token.cancelled() => return Ok(()),
                changed = self.source.changed(), if live => {
                    live = changed.is_ok();
                    let source = self.source.borrow_and_update().clone();
                    let ended = self.take(source, &mut running);
                    self.post(ended).await;
                }
                () = wake => {
                    let now = Clock::now();
                    for group in running.iter_mut().filter(|group| group.due <= now) {
                        group.due = now + group.interval.std();
                        let Some(posts) = token.run_until_cancelled(self.evaluate(group)).await else {
                            return Ok(());
                        };
                        self.post(posts).await;
                    }
                }
            }
            self.show(&running);
        }
    }

    /// Takes over new groups; a rule that stays as it was keeps its alerts. Answers the ends of those whose rule is gone.
    fn take(&self, source: PromSource, running: &mut Vec<Running>) -> Vec<PostedAlert> {
        let now = Instant::now().0;
        let mut before: BTreeMap<(String, String), Running> = running
            .drain(..)
            .map(|group| ((group.file.clone(), group.name.clone()), group))
            .collect();
        let mut ended = Vec::new();
        for (file, group) in source {
            let old = before.remove(&(file.clone(), group.name.clone()));
            let due = old.as_ref().map_or_else(Clock::now, |old| old.due);
            let evaluated_at = old.as_ref().and_then(|old| old.evaluated_at);
            let mut old = old.map(|old| old.watches).unwrap_or_default();
            let mut watches = Vec::new();
            for rule in group.rules {
                let kept = old.iter().position(|(watch, _)| watch.rule == rule);
                watches.push(match kept {
                    Some(at) => old.swap_remove(at),
                    None => {
                        let open = self.open(&file, &group.name, &rule);
                        (Watch::new(rule, open, now), None)
                    }
                });
            }
            // A changed rule whose alerts have the same labels goes on with them.
            let kept: Vec<&Watch> = watches.iter().map(|(watch, _)| watch).collect();
            let gone = old
                .into_iter()
                .filter(|(watch, _)| kept.iter().all(|other| other.rule.alert != watch.rule.alert));
            ended.extend(gone.flat_map(|(watch, _)| watch.ended(now)).collect::<Vec<_>>());
            running.push(Running {
                file,
                name: group.name,
                interval: group.interval,
                due: due.min(Clock::now() + group.interval.std()),
                evaluated_at,
                watches,
            });
        }
        let gone = before.into_values().flat_map(|group| group.watches);
        ended.extend(gone.flat_map(|(watch, _)| watch.ended(now)));
        ended
    }

    /// Alerts of a rule that fire already, by their mark.
    fn open(&self, file: &str, group: &str, rule: &PromRule) -> Vec<(Labels, i64)> {
        let mark = self.mark(file, group, &rule.alert);
        let is_own = |alert: &Alert| alert.rule_id == EXTERNAL && alert.annotations.get("generator_url") == Some(&mark);
        let open = self.alerting.open_where(is_own).into_iter();
        open.map(|alert| {
            let mut labels = alert.labels;
            // The hub's own, unless the rule has one; the name of the alert is the rule's.
            if !rule.labels.contains_key("level") {
                labels.remove("level");
            }
            (labels, alert.fired_at.unwrap_or_default().0)
        })
        .collect()
    }

    /// Where an alert comes from, so that it is known again after a restart.
    fn mark(&self, file: &str, group: &str, alert: &str) -> String {
        format!("{}/api/v1/provisioning#{file}/{group}/{alert}", self.external_url)
    }

    async fn evaluate(&self, group: &mut Running) -> Vec<PostedAlert> {
        let at = Instant::now();
        group.evaluated_at = Some(at);
        let mut posts = Vec::new();
        for (watch, error) in &mut group.watches {
            let found = self.promql.instant(&watch.rule.expr, at.0).await;
            let mark = self.mark(&group.file, &group.name, &watch.rule.alert);
            let evaluated = found.and_then(|found| watch.evaluated(found, group.interval, at.0));
            let outcome = if evaluated.is_ok() { "ok" } else { "failed" };
            self.evaluations.with_label_values(&[outcome]).inc();
            match evaluated {
                Ok(mut alerts) => {
                    alerts
                        .iter_mut()
                        .for_each(|alert| alert.generator_url.clone_from(&mark));
                    posts.append(&mut alerts);
                    *error = None;
                }
                Err(reason) => {
                    if error.as_ref() != Some(&reason) {
                        tracing::warn!(
                            file = group.file,
                            group = group.name,
                            alert = watch.rule.alert,
                            reason,
                            "a rule cannot be evaluated"
                        );
                    }
                    *error = Some(reason);
                }
            }
        }
        posts
    }

    async fn post(&self, alerts: Vec<PostedAlert>) {
        if alerts.is_empty() {
            return;
        }
        if let Err(error) = self.alerting.post(alerts).await {
            tracing::debug!(%error, "alerts are mentioned again with the next evaluation");
        }
    }

    fn show(&self, running: &[Running]) {
        let view = running.iter().map(|group| PromGroupView {
            file: group.file.clone(),
            name: group.name.clone(),
            interval: group.interval,
            evaluated_at: group.evaluated_at,
            rules: group
                .watches
                .iter()
                .map(|(watch, error)| {
                    let (pending, firing) = watch.counts();
                    PromRuleView {
                        alert: watch.rule.alert.clone(),
                        expr: watch.rule.expr.clone(),
                        hold: watch.rule.hold,
                        pending,
                        firing,
                        error: error.clone(),
                    }
                })
                .collect(),
        });
        *self.view.lock().unwrap_or_else(PoisonError::into_inner) = view.collect();
    }
}
