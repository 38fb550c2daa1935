//! Rules of kind `plugin`: each follows the log by itself, so that a plugin that fails or is slow holds up nobody but itself.
//!
//! A rule's state and its place in the log are saved together. While its plugin does not run, the rule waits where it is: its events are read once the
//! plugin is back. Events that a plugin cannot take even when they are shown to it again are passed over and counted, and the place before them is kept:
//! another version of the plugin begins there.

mod ledger;
mod mark;
mod metrics;
mod order;
mod past;
mod task;
mod worker;

use std::{collections::BTreeMap, sync::Arc};

use prometheus::Registry;
use streamflow_bus::signals::SignalSender;
use streamflow_model::{Rule, RuleKind};
use streamflow_plugin_host::PluginHost;
use streamflow_storage::store::Store;
use tokio::{
    sync::{Semaphore, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{Heartbeats, Options, service::AnalyticsError};
use metrics::Metrics;
use task::Task;

pub(crate) use ledger::KEY;
pub use past::{PluginBacktest, PluginTried};

/// What the rules have in common.
#[derive(Debug, Clone)]
struct Common {
    options: Options,
    store: Arc<dyn Store>,
    host: Arc<PluginHost>,
    signals: SignalSender,
    heartbeats: Heartbeats,
    metrics: Metrics,
    /// How many rules may compute at the same time.
    turns: Arc<Semaphore>,
}

/// All rules of kind `plugin`, ready to run.
#[derive(Debug)]
pub struct PluginRules {
    common: Common,
    rules: watch::Receiver<Arc<Vec<Rule>>>,
}

/// A rule at work.
struct Running {
    question: String,
    rule: watch::Sender<Rule>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl PluginRules {
    /// Registers the metrics.
    ///
    /// # Errors
    /// When a metric's name is taken.
    pub fn build(
        options: &Options,
        store: Arc<dyn Store>,
        host: Arc<PluginHost>,
        rules: watch::Receiver<Arc<Vec<Rule>>>,
        signals: SignalSender,
        registry: &Registry,
    ) -> Result<Self, AnalyticsError> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let common = Common {
            options: *options,
            store,
            host,
            signals,
            heartbeats: Heartbeats::default(),
            metrics: Metrics::register(registry)?,
            turns: Arc::new(Semaphore::new(cores)),
        };
        Ok(Self { common, rules })
    }

    /// Listens to agents' heartbeats, as [`crate::Analytics::with_heartbeats`] does: a host that has nothing to send is not missed.
    #[must_use]
    pub fn with_heartbeats(mut self, heartbeats: Heartbeats) -> Self {
        self.common.heartbeats = heartbeats;
        self
    }

    /// Keeps one task for each rule until told to stop; then lets each of them save its state.
    ///
    /// # Errors
    /// When a task panics.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), AnalyticsError> {
        let mut running: BTreeMap<String, Running> = BTreeMap::new();
        loop {
            let rules = Arc::clone(&self.rules.borrow_and_update());
            self.take_over(&mut running, &rules).await?;
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                changed = self.rules.changed() => if changed.is_err() {
                    stop.cancelled().await;
                    break;
                },
            }
        }
        running.values().for_each(|rule| rule.stop.cancel());
        for rule in running.into_values() {
            rule.task.await?;
        }
        Ok(())
    }

    async fn take_over(&self, running: &mut BTreeMap<String, Running>, rules: &[Rule]) -> Result<(), AnalyticsError> {
        let wanted: BTreeMap<&str, &Rule> = rules
            .iter()
            .filter(|rule| rule.draft.enabled && rule.draft.kind == RuleKind::Plugin)
            .map(|rule| (rule.id.as_str(), rule))
            .collect();
        let ended: Vec<String> = running
            .iter()
            .filter(|(id, own)| {
                wanted
                    .get(id.as_str())
                    .is_none_or(|rule| question(rule) != own.question)
            })
            .map(|(id, _)| id.clone())
            .collect();
        for id in ended {
            if let Some(own) = running.remove(&id) {
                own.stop.cancel();
                let name = own.rule.borrow().draft.name.clone();
                own.task.await?;
                self.common.metrics.forget(&name);
            }
        }
        for (id, rule) in wanted {
            if let Some(own) = running.get(id) {
                own.rule.send_replace(rule.clone());
                continue;
            }
            let (sender, receiver) = watch::channel(rule.clone());
            let stop = CancellationToken::new();
            let task = Task::new(self.common.clone(), receiver, question(rule));
            running.insert(
                id.to_owned(),
                Running {
                    question: question(rule),
                    rule: sender,
                    stop: stop.clone(),
                    task: tokio::spawn(task.run(stop)),
                },
            );
        }
        Ok(())
    }
}

/// What decides a rule's verdicts; its state is good for that and nothing else.
fn question(rule: &Rule) -> String {
    let draft = &rule.draft;
    let config = serde_json::Value::Object(draft.config.clone());
    format!("{:?}", (&draft.plugin, &draft.matches, config.to_string()))
}
