//! Metrics that the hub pushed down: counted here, batch by batch, before the events leave.
//!
//! What a batch adds to a metric goes into that very batch, see [`streamflow_proto::metric`]. Nothing is kept from one batch to the next, so there is nothing that a
//! crash could lose or count twice. Whatever is wrong with a metric, its events are sent as they are and the hub counts them.

mod fold;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use streamflow_proto::bitmap::Bitmap;
use streamflow_proto::build::{BatchBuilder, Head, Scalar};
use streamflow_proto::event::Severity;
use streamflow_proto::metric::{FORMAT, PARTIALS};
use streamflow_proto::wire::{MetricDefinition, MetricsPush, MetricsTaken};
use tokio::sync::watch;

use crate::counters::Counter;
use fold::{Folded, Live};

/// `[edge]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EdgeOptions {
    /// Whether the hub may have metrics computed here.
    pub enabled: bool,
    /// Most metrics.
    pub max_metrics: u32,
    /// Most windows and series that a metric may have in one batch; a batch with more is counted by the hub.
    pub max_groups: u32,
}

impl Default for EdgeOptions {
    fn default() -> Self {
        Self {
            enabled: true,
            max_metrics: 64,
            max_groups: 256,
        }
    }
}

/// Longest reason that the hub is told, characters.
const MAX_REASON: usize = 200;

/// Why a metric was not counted for a batch, so that the hub has to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeclineReason {
    /// Too many windows and series.
    Groups,
    /// They take too many bytes, or the batch has no room.
    Size,
    /// The batch cannot be read, or the metric failed.
    Failed,
}

impl DeclineReason {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Groups, Self::Size, Self::Failed];

    /// Name for people and programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Groups => "groups",
            Self::Size => "size",
            Self::Failed => "failed",
        }
    }
}

/// What is counted about it.
#[derive(Debug, Default)]
pub struct EdgeCounters {
    /// Events that carry partial windows.
    pub partials: Counter,
    /// Events counted in them, once for each metric.
    pub events: Counter,
    /// Events that were counted and, as their metric says, not sent.
    pub not_kept: Counter,
    declined: [Counter; DeclineReason::ALL.len()],
}

impl EdgeCounters {
    /// Reasons and batches, zeros included.
    pub fn declined(&self) -> impl Iterator<Item = (DeclineReason, u64)> + '_ {
        DeclineReason::ALL
            .into_iter()
            .zip(self.declined.iter().map(Counter::get))
    }
}

/// A pushed metric in `status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushedMetric {
    /// Its name.
    pub name: String,
    /// What is computed.
    pub aggregate: String,
    /// Which events count.
    #[serde(rename = "match")]
    pub matches: String,
    /// Whether the events that it counts are sent all the same.
    pub keep_events: bool,
    /// Events counted here since it was pushed.
    pub events: u64,
    /// Why it is not computed here.
    pub refused: Option<String>,
}

#[derive(Default)]
struct State {
    version: u64,
    live: Arc<[Arc<Live>]>,
    refused: Vec<(MetricDefinition, String)>,
    /// Series that failed at work, which a later push does not bring back.
    failed: BTreeMap<String, String>,
}

/// The metrics at work. Shared by all sources.
pub struct Edge {
    options: EdgeOptions,
    /// The agent's name, the source of what it sends itself.
    source: String,
    state: Mutex<State>,
    failures: watch::Sender<u64>,
    /// Counts.
    pub counters: EdgeCounters,
}

impl Edge {
    /// Without metrics until the hub pushes some.
    pub fn new(options: EdgeOptions, source: String) -> Self {
        Self {
            options,
            source,
            state: Mutex::default(),
            failures: watch::Sender::default(),
            counters: EdgeCounters::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what the hub wants computed, and answers what is refused.
    pub fn take(&self, push: MetricsPush) -> MetricsTaken {
        let mut state = self.state();
        let mut live: Vec<Arc<Live>> = Vec::with_capacity(push.definitions.len());
        let mut refused = Vec::new();
        for definition in push.definitions {
            let known = state.live.iter().find(|one| one.definition == definition);
            let verdict = if push.format != FORMAT {
                let theirs = push.format;
                Err(format!(
                    "the hub reads windows of format {theirs}, this agent writes {FORMAT}; upgrade the older of them"
                ))
            } else if let Some(reason) = state.failed.get(&definition.series) {
                Err(reason.clone())
            } else if live.len() >= self.options.max_metrics as usize {
                let most = self.options.max_metrics;
                Err(format!(
                    "this agent computes at most {most} metrics ([edge] max_metrics)"
                ))
            } else if let Some(known) = known {
                Ok(Arc::clone(known))
            } else {
                Live::compile(definition.clone()).map(Arc::new)
            };
            match verdict {
                Ok(one) => live.push(one),
                Err(reason) => {
                    let reason: String = reason.chars().take(MAX_REASON).collect();
                    tracing::warn!(
                        metric = definition.name,
                        reason,
                        "a metric that the hub wants is not computed here"
                    );
                    refused.push((definition, reason));
                }
            }
        }
        tracing::info!(
            version = push.version,
            metrics = live.len(),
            refused = refused.len(),
            "the hub says what to compute here"
        );
        state.version = push.version;
        state.live = live.into();
        state.refused = refused;
        taken(&state)
    }

    /// Computes nothing until a hub says again what to compute.
    pub fn forget(&self) {
        let mut state = self.state();
        state.version = 0;
        state.live = Arc::default();
        state.refused.clear();
    }

    /// What is computed and what is not, as it was answered last or would be now.
    pub fn taken(&self) -> MetricsTaken {
        taken(&self.state())
    }

    /// Changes when a metric that was taken fails.
    pub fn failures(&self) -> watch::Receiver<u64> {
        self.failures.subscribe()
    }

    /// All pushed metrics.
    pub fn status(&self) -> Vec<PushedMetric> {
        let state = self.state();
        let shown = |definition: &MetricDefinition, events: u64, refused: Option<String>| PushedMetric {
            name: definition.name.clone(),
            aggregate: definition.aggregate.clone(),
            matches: definition.matches.clone(),
            keep_events: definition.keep_events,
            events,
            refused,
        };
        let live = state
            .live
            .iter()
            .map(|one| shown(&one.definition, one.events.get(), None));
        let refused = state
            .refused
            .iter()
            .map(|(definition, reason)| shown(definition, 0, Some(reason.clone())));
        live.chain(refused).collect()
    }

    /// Counts the events of a batch and puts what they add behind them, in place of those that are not to be sent. Answers how many are not. Never fails: a batch that
    /// cannot be counted stays as it is.
    pub fn fold(&self, builder: &mut BatchBuilder) -> u64 {
        let (live, hub_counts) = {
            let state = self.state();
            // What is refused here the hub counts from the events, and needs all of them.
            (Arc::clone(&state.live), !state.refused.is_empty())
        };
        if live.is_empty() || builder.is_empty() {
            return 0;
        }
        let folded = catch_unwind(AssertUnwindSafe(|| {
            let batch = builder.view()?;
            fold::fold(&batch, &live, self.options.max_groups as usize, hub_counts)
        }));
        let mut folded = match folded {
            Ok(Ok(folded)) => folded,
            Ok(Err(error)) => {
                tracing::error!(%error, "a batch cannot be counted here, the hub does it");
                self.counters.declined[DeclineReason::Failed as usize].add(live.len() as u64);
                return 0;
            }
            // The kernel itself is at fault; which metric it was does not matter any more.
            Err(_) => {
                live.iter().for_each(|one| self.fail(one));
                return 0;
            }
        };
        let events = builder.len();
        if !self.push(builder, &folded) {
            builder.retain(&Bitmap::from_fn(builder.len(), |row| row < events));
            self.counters.declined[DeclineReason::Size as usize].add(folded.counted.len() as u64);
            return 0;
        }
        for (reason, batches) in DeclineReason::ALL.into_iter().zip(folded.declined) {
            self.counters.declined[reason as usize].add(batches);
        }
        for one in &folded.failed {
            self.fail(one);
        }
        for (one, carriers) in &folded.counted {
            let counted = carriers.iter().map(|carrier| carrier.events).sum();
            one.events.add(counted);
            self.counters.events.add(counted);
            self.counters.partials.add(carriers.len() as u64);
        }
        let Some(leave) = folded.leave.take() else { return 0 };
        builder.retain(&Bitmap::from_fn(builder.len(), |row| row >= events || !leave.get(row)));
        let not_kept = leave.count_ones() as u64;
        self.counters.not_kept.add(not_kept);
        not_kept
    }

    /// Puts the partial windows behind the events; false when there is no room for all of them.
    fn push(&self, builder: &mut BatchBuilder, folded: &Folded) -> bool {
        let mut all = folded
            .counted
            .iter()
            .flat_map(|(one, carriers)| carriers.iter().map(move |carrier| (one, carrier)));
        all.all(|(one, carrier)| {
            let head = Head {
                kind: PARTIALS,
                source: &self.source,
                timestamp_ms: carrier.last,
                severity: Severity::Low,
                id: None,
                metadata: None,
            };
            let fields = [
                ("series", Scalar::Str(&one.definition.series)),
                ("metric", Scalar::Str(&one.definition.name)),
                ("events", Scalar::Int(i64::try_from(carrier.events).unwrap_or(i64::MAX))),
                ("state", Scalar::Str(&carrier.state)),
            ];
            builder.push_fields(&head, &fields).is_ok()
        })
    }

    /// A metric that fails at work is given up; the hub is told.
    fn fail(&self, failed: &Arc<Live>) {
        const REASON: &str = "it failed on this host, see the agent's log";
        tracing::error!(
            metric = failed.definition.name,
            "a metric failed here and is left to the hub"
        );
        let mut state = self.state();
        let stay: Arc<[Arc<Live>]> = state
            .live
            .iter()
            .filter(|one| !Arc::ptr_eq(one, failed))
            .cloned()
            .collect();
        state.live = stay;
        state.failed.insert(failed.definition.series.clone(), REASON.to_owned());
        state.refused.push((failed.definition.clone(), REASON.to_owned()));
        drop(state);
        self.failures.send_modify(|count| *count += 1);
    }
}

fn taken(state: &State) -> MetricsTaken {
    let refused = state
        .refused
        .iter()
        .map(|(definition, reason)| (definition.series.clone(), reason.clone()));
    MetricsTaken {
        version: state.version,
        refused: refused.collect(),
    }
}

#[cfg(test)]
mod tests;
