//! What other rooms and the routes see of alerting, and how they ask the task that owns it.

use std::{
    collections::BTreeMap,
    iter,
    sync::{Arc, PoisonError, RwLock},
};

use streamflow_model::{Alert, AlertState, Channel, Rule, rule::SELF};
use streamflow_plugin_host::PluginUsers;
use streamflow_storage::Store;
use streamflow_web::{ApiError, ApiResult, CheckResult};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::{
    desk::{Desk, no_alert},
    documents,
    external::{self, PostedAlert},
    id::AlertId,
    metrics::Metrics,
    outbox::ChannelHealth,
    packed::Packed,
    ranked::{HasId, Ranked},
};

/// Changes of alerts kept for a listener that is behind; one further behind reads [`AlertingHandle::open_alerts`] anew.
const EVENTS: usize = 1024;
/// Questions waiting for the owner.
const JOBS: usize = 64;
/// Open alerts that are taken out of the board at once, while nothing can be shown.
const AT_ONCE: usize = 1000;

/// Work on the desk; what it returns is run when its changes are durable.
pub(crate) type Job = Box<dyn FnOnce(&mut Desk, i64) -> AfterCommit + Send>;
/// Answers the one who asked.
pub(crate) type AfterCommit = Box<dyn FnOnce() + Send>;

/// Cheap access to alerting.
#[derive(Debug, Clone)]
pub struct AlertingHandle {
    pub(crate) board: Arc<Board>,
    jobs: mpsc::Sender<Job>,
}

/// The durable state as everybody may see it.
#[derive(Debug)]
pub(crate) struct Board {
    open: RwLock<Ranked<Shown>>,
    /// Those of them that the hub tells of itself, at hand: they are asked for every few seconds.
    own: RwLock<BTreeMap<String, Alert>>,
    failing: RwLock<Option<String>>,
    events: broadcast::Sender<Alert>,
    pub(crate) rules: watch::Sender<Arc<Vec<Rule>>>,
    pub(crate) channels: watch::Sender<Arc<BTreeMap<String, Arc<Channel>>>>,
    pub(crate) health: watch::Sender<Arc<BTreeMap<String, ChannelHealth>>>,
    /// Rules that nobody has written.
    pub(crate) builtin: Vec<Rule>,
    metrics: Metrics,
}

/// An alert as everybody may see it.
#[derive(Debug, Clone)]
pub(crate) enum Shown {
    Plain(Arc<Plain>),
    /// It rests.
    Packed(Packed),
}

/// An alert at hand.
#[derive(Debug)]
pub(crate) struct Plain {
    id: AlertId,
    alert: Arc<Alert>,
}

impl Shown {
    /// One that is at hand.
    pub(crate) fn plain(alert: Arc<Alert>) -> Self {
        let id = AlertId::of(&alert.id);
        Self::Plain(Arc::new(Plain { id, alert }))
    }

    /// The alert.
    pub(crate) fn alert(&self) -> Option<Arc<Alert>> {
        match self {
            Self::Plain(plain) => Some(Arc::clone(&plain.alert)),
            Self::Packed(packed) => packed.read().map(Arc::new),
        }
    }

    fn rule_id(&self) -> &str {
        match self {
            Self::Plain(plain) => &plain.alert.rule_id,
            Self::Packed(packed) => packed.rule_id(),
        }
    }

    fn state(&self) -> AlertState {
        match self {
            Self::Plain(plain) => plain.alert.state,
            Self::Packed(packed) => packed.state(),
        }
    }
}

impl HasId for Shown {
    fn id(&self) -> AlertId {
        match self {
            Self::Plain(plain) => plain.id,
            Self::Packed(packed) => *packed.id(),
        }
    }
}

impl AlertingHandle {
    pub(crate) fn new(metrics: Metrics, builtin: Vec<Rule>) -> (Self, mpsc::Receiver<Job>) {
        let (jobs, receiver) = mpsc::channel(JOBS);
        let board = Board {
            open: RwLock::default(),
            own: RwLock::default(),
            failing: RwLock::default(),
            events: broadcast::channel(EVENTS).0,
            rules: watch::Sender::default(),
            channels: watch::Sender::default(),
            health: watch::Sender::default(),
            builtin,
            metrics,
        };
        (
            Self {
                board: Arc::new(board),
                jobs,
            },
            receiver,
        )
    }

    /// Alerts that are not over: pending, firing, acknowledged or stale; oldest first.
    #[must_use]
    pub fn open_alerts(&self) -> Vec<Alert> {
        let mut open: Vec<Alert> = self.board.newest_first().filter_map(alert_of).collect();
        open.reverse();
        open
    }

    /// The newest of them, at most so many; oldest first.
    #[must_use]
    pub fn newest_alerts(&self, most: usize) -> Vec<Alert> {
        let newest = self.board.newest_first().take(most);
        let mut newest: Vec<Alert> = newest.filter_map(alert_of).collect();
        newest.reverse();
        newest
    }

    /// Those of them that are of this rule.
    #[must_use]
    pub fn open_of(&self, rule_id: &str) -> Vec<Alert> {
        let of_rule: Vec<Shown> = {
            let open = self.board.open.read().unwrap_or_else(PoisonError::into_inner);
            open.iter()
                .filter(|shown| shown.rule_id() == rule_id)
                .cloned()
                .collect()
        };
        of_rule.into_iter().filter_map(alert_of).collect()
    }

    /// Those of them by which the hub tells of itself.
    #[must_use]
    pub fn own_alerts(&self) -> Vec<Alert> {
        let own = self.board.own.read().unwrap_or_else(PoisonError::into_inner);
        own.values().cloned().collect()
    }

    /// How each channel does, by name.
    #[must_use]
    pub fn channels(&self) -> Arc<BTreeMap<String, ChannelHealth>> {
        self.board.health.borrow().clone()
    }

    /// Takes in alerts that somebody else has decided, as `POST /api/v2/alerts` does. One that is wrong is logged and left out.
    ///
    /// # Errors
    /// When alerting has stopped.
    pub async fn post(&self, alerts: Vec<PostedAlert>) -> ApiResult<()> {
        self.call(move |desk, now| {
            let read = alerts.into_iter().filter_map(|alert| {
                let read = external::read("alert", alert, now);
                read.inspect_err(|errors| tracing::warn!(?errors, "an alert is wrong and left out"))
                    .ok()
            });
            let read: Vec<_> = read.collect();
            desk.book.external(&read, now);
            Ok(())
        })
        .await
    }

    /// Why nobody is told of an alert, as its `muted_by` lists it, in words for people.
    ///
    /// # Errors
    /// 503 when alerting has stopped.
    pub async fn why_muted(&self, reasons: Vec<String>) -> ApiResult<String> {
        self.call(move |desk, _| {
            let why: Vec<String> = reasons.iter().map(|reason| desk.book.why_muted(reason)).collect();
            Ok(why.join(", "))
        })
        .await
    }

    /// Answers when the task that owns alerts and deliveries has taken a turn, and what it had to write is durable.
    ///
    /// # Errors
    /// When it has stopped.
    pub async fn turn(&self) -> ApiResult<()> {
        self.call(|_, _| Ok(())).await
    }

    /// Every change of an alert from now on, as the alert then is.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Alert> {
        self.board.events.subscribe()
    }

    /// All rules as they are now, oldest first.
    #[must_use]
    pub fn rules(&self) -> Arc<Vec<Rule>> {
        self.board.rules.borrow().clone()
    }

    /// Names of the rules and of the channels that use a plugin.
    #[must_use]
    pub fn users_of_plugin(&self, plugin: &str) -> PluginUsers {
        let rules = self.rules();
        let rules = rules.iter().filter(|rule| rule.draft.plugin.as_deref() == Some(plugin));
        let channels = self.board.channels.borrow().clone();
        let channels = channels.values().filter(|channel| channel.plugin == plugin);
        PluginUsers {
            rules: rules.map(|rule| rule.draft.name.clone()).collect(),
            channels: channels.map(|channel| channel.name.clone()).collect(),
        }
    }

    /// An alert, open or over, as long as it is kept.
    ///
    /// # Errors
    /// 404 when there is none, 500 when the store cannot be read.
    pub async fn alert(&self, store: &dyn Store, id: &str) -> ApiResult<Alert> {
        if let Some(alert) = self.board.alert(id) {
            return Ok(Alert::clone(&alert));
        }
        documents::alert(store, id).await?.ok_or_else(|| no_alert(id))
    }

    /// Readiness: red while changes cannot be made durable.
    ///
    /// # Errors
    /// The store's failure in words.
    pub fn check(&self) -> CheckResult {
        let failing = self.board.failing.read().unwrap_or_else(PoisonError::into_inner);
        failing.clone().map_or(Ok(()), Err)
    }

    /// Runs work on the desk and answers when it is durable.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Desk, i64) -> ApiResult<T> + Send + 'static,
    ) -> ApiResult<T> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |desk, now| {
            let result = work(desk, now);
            // The caller may have gone; the work stays done.
            Box::new(move || drop(reply.send(result)))
        });
        self.jobs.send(job).await.map_err(|_| ApiError::unavailable(1))?;
        answer.await.map_err(|_| ApiError::unavailable(1))?
    }
}

fn alert_of(shown: Shown) -> Option<Alert> {
    shown.alert().map(Arc::unwrap_or_clone)
}

impl Board {
    /// Alerts that are not over, newest first. They are looked at by the thousand: what changes meanwhile may be seen, or not.
    pub(crate) fn newest_first(&self) -> impl Iterator<Item = Shown> {
        let mut before = None;
        let parts = iter::from_fn(move || {
            let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
            let part: Vec<Shown> = open.below(before).take(AT_ONCE).cloned().collect();
            before = Some(part.last()?.id());
            Some(part)
        });
        parts.flatten()
    }

    /// One alert that is not over.
    pub(crate) fn alert(&self, id: &str) -> Option<Arc<Alert>> {
        let shown = {
            let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
            open.get(AlertId::of(id)).cloned()
        };
        shown?.alert().filter(|alert| alert.id == id)
    }

    /// Alerts that rest from now on.
    pub(crate) fn rest(&self, resting: Vec<Packed>) {
        if resting.is_empty() {
            return;
        }
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        for packed in resting {
            let state = packed.state();
            if open.get(*packed.id()).is_some() {
                let before = open.insert(Shown::Packed(packed));
                self.count(before.map(|before| before.state()), Some(state));
            }
        }
    }

    /// Shows alerts as they are now. Values that merely moved are no news to listeners.
    pub(crate) fn show(&self, alerts: impl IntoIterator<Item = Arc<Alert>>, news: bool) {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        for alert in alerts {
            let is_open = alert.resolved_at.is_none();
            if alert.rule_id.starts_with(SELF) {
                let mut own = self.own.write().unwrap_or_else(PoisonError::into_inner);
                if is_open {
                    own.insert(alert.id.clone(), Alert::clone(&alert));
                } else {
                    own.remove(&alert.id);
                }
            }
            let before = if is_open {
                open.insert(Shown::plain(Arc::clone(&alert)))
            } else {
                open.remove(AlertId::of(&alert.id))
            };
            self.count(before.map(|before| before.state()), is_open.then_some(alert.state));
            if news && self.events.receiver_count() > 0 {
                drop(self.events.send(Alert::clone(&alert)));
            }
        }
    }

    fn count(&self, before: Option<AlertState>, now: Option<AlertState>) {
        if before == now {
            return;
        }
        let of = |state: AlertState| self.metrics.active.with_label_values(&[state.name()]);
        if let Some(before) = before {
            of(before).dec();
        }
        if let Some(now) = now {
            of(now).inc();
        }
    }

    /// Shows all alerts that are there at the start.
    pub(crate) fn show_all(&self, alerts: impl Iterator<Item = Shown>) {
        let mut plain = Vec::new();
        {
            let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
            for shown in alerts {
                match shown {
                    Shown::Plain(alert) => plain.push(alert),
                    packed @ Shown::Packed(_) => {
                        self.count(None, Some(packed.state()));
                        open.insert(packed);
                    }
                }
            }
        }
        self.show(plain.into_iter().map(|plain| Arc::clone(&plain.alert)), false);
    }

    /// Shows how channels do.
    pub(crate) fn show_health(&self, health: BTreeMap<String, ChannelHealth>) {
        self.health.send_if_modified(|shown| {
            let moved = **shown != health;
            if moved {
                self.metrics.show_channels(&health, shown);
                *shown = Arc::new(health);
            }
            moved
        });
    }

    /// Remembers why changes cannot be made durable; `None` when they can.
    pub(crate) fn set_failing(&self, reason: Option<String>) {
        *self.failing.write().unwrap_or_else(PoisonError::into_inner) = reason;
    }
}
