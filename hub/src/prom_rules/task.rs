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

use super::running::{Running, firing, take_over};
use crate::command::rule_file::prometheus::{Group, PromRule};

/// So long after the start agents may not be back, and the last look of an expression goes back to when the hub was away.
const GRACE: Span = Span::from_secs(300);

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

/// A clock that goes as alerting's does: it does not jump when the machine's is set, and stands still with the machine.
#[derive(Debug, Clone, Copy)]
struct Steady {
    wall: i64,
    started: Clock,
}

impl Steady {
    fn start() -> Self {
        Self {
            wall: Instant::now().0,
            started: Clock::now(),
        }
    }

    fn now(self) -> i64 {
        let passed = i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.wall.saturating_add(passed)
    }

    fn is_early(self) -> bool {
        self.started.elapsed() < GRACE.std()
    }
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
        let (mut live, clock) = (true, Steady::start());
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
                    let Some(open) = token.run_until_cancelled(self.open()).await else {
                        return Ok(());
                    };
                    let of = |file: &str, group: &str, rule: &PromRule| {
                        let open = open.get(&self.mark(file, group, &rule.alert));
                        firing(open.map_or(&[], Vec::as_slice), rule)
                    };
                    let (next, ended) = take_over(source, std::mem::take(&mut running), &of, clock.now());
                    running = next;
                    self.post(ended).await;
                }
                () = wake => {
                    let now = Clock::now();
                    for group in running.iter_mut().filter(|group| group.due <= now) {
                        group.due = now + group.interval.std();
                        let Some(posts) = token.run_until_cancelled(self.evaluate(group, clock)).await else {
                            return Ok(());
                        };
                        self.post(posts).await;
                    }
                }
            }
            self.show(&running);
        }
    }

    /// Alerts that others have decided and that are open, by their mark.
    async fn open(&self) -> BTreeMap<String, Vec<Alert>> {
        let alerting = self.alerting.clone();
        // All of them are unpacked for that, so once, and beside the others' work.
        let open = tokio::task::spawn_blocking(move || alerting.open_of(EXTERNAL));
        let mut by_mark: BTreeMap<String, Vec<Alert>> = BTreeMap::new();
        for alert in open.await.unwrap_or_default() {
            if let Some(mark) = alert.annotations.get("generator_url") {
                by_mark.entry(mark.clone()).or_default().push(alert);
            }
        }
        by_mark
    }

    /// Where an alert comes from, so that it is known again after a restart.
    fn mark(&self, file: &str, group: &str, alert: &str) -> String {
        format!("{}/api/v1/provisioning#{file}/{group}/{alert}", self.external_url)
    }

    async fn evaluate(&self, group: &mut Running, clock: Steady) -> Vec<PostedAlert> {
        let at = Instant::now();
        group.evaluated_at = Some(at);
        let mut posts = Vec::new();
        for nth in 0..group.watches.len() {
            let Some((watch, _)) = group.watches.get(nth) else {
                continue;
            };
            let found = self.promql.instant(&watch.rule.expr, at.0).await;
            let evaluated = found.and_then(|found| group.evaluated(nth, found, clock.now(), clock.is_early()));
            let Some((watch, error)) = group.watches.get_mut(nth) else {
                continue;
            };
            let mark = self.mark(&group.file, &group.name, &watch.rule.alert);
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
