//! A shadow at work for one rule: it is shown what the active version was shown, later and on a thread of its own, and what it says is compared and goes
//! nowhere else.
//!
//! The active version never waits for it: when the shadow is slower, or has failed, it loses its place, and begins again from the active version's state.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::{Map, Value};
use streamflow_model::Instant;
use streamflow_proto::filter::Columns;
use tokio::{
    runtime::Handle,
    sync::mpsc::{self, Receiver, Sender},
    task::spawn_blocking,
};

use super::{ShadowPlugin, comparison::Side};
use crate::{RuleAlert, RuleError, RuleRows, RuleRun};

/// Calls that wait for the shadow of a rule; each holds at most 4,096 events.
const MAX_WAITING: usize = 8;

/// What the active version said in one call.
#[derive(Debug)]
pub struct Said {
    /// Its verdicts.
    pub alerts: Vec<RuleAlert>,
    /// Its computing time.
    pub spent: Duration,
}

/// The hand by which a rule holds its shadow; copies hold the same one. It ends with the last of them.
#[derive(Debug, Clone)]
pub struct ShadowRun {
    plugin: ShadowPlugin,
    sender: Sender<Message>,
    progress: Arc<Mutex<Progress>>,
}

/// How far the shadow of a rule was led.
#[derive(Debug)]
struct Progress {
    follows: Follows,
    /// Last position of the log that it was shown.
    position: u64,
    /// Last tick of its own.
    ticked: i64,
    /// Last tick of the active version that was compared.
    active_ticked: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Follows {
    /// It needs the active version's state to go on.
    NeedsState,
    Yes,
    /// It failed for good.
    No,
}

enum Message {
    State(Option<Vec<u8>>),
    Events(Vec<RuleRows>, Said, i64),
    /// The shadow's own tick, if it has one now.
    Time(Option<i64>, Said, i64),
}

impl ShadowRun {
    /// A shadow of this version for a rule. It follows once it has a state. Needs a tokio runtime.
    #[must_use]
    pub fn start(plugin: &ShadowPlugin, rule: &str, config: &Map<String, Value>) -> Self {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        let progress = Arc::new(Mutex::new(Progress {
            follows: Follows::NeedsState,
            position: 0,
            ticked: i64::MIN,
            active_ticked: i64::MIN,
        }));
        let follower = Follower {
            plugin: plugin.clone(),
            rule: rule.to_owned(),
            config: config.clone(),
            progress: Arc::clone(&progress),
            run: None,
        };
        let runtime = Handle::current();
        // Ends when the last hand lets go: that closes the channel.
        drop(spawn_blocking(move || runtime.block_on(follower.follow(receiver))));
        Self {
            plugin: plugin.clone(),
            sender,
            progress,
        }
    }

    /// The version that it runs.
    #[must_use]
    pub const fn plugin(&self) -> &ShadowPlugin {
        &self.plugin
    }

    /// Whether it waits for [`Self::set_state`].
    #[must_use]
    pub fn needs_state(&self) -> bool {
        self.progress().follows == Follows::NeedsState
    }

    /// The state of the active version behind this position of the log and this tick. Without effect unless [`Self::needs_state`].
    pub fn set_state(&self, state: Option<&[u8]>, position: u64, ticked: i64) {
        let mut progress = self.progress();
        if progress.follows == Follows::NeedsState
            && self.sender.try_send(Message::State(state.map(<[u8]>::to_vec))).is_ok()
        {
            *progress = Progress {
                follows: Follows::Yes,
                position,
                ticked,
                active_ticked: ticked,
            };
        }
    }

    /// Shows it rows, up to a position of the log that was stored at this time, which the active version has seen. What it has seen already is not shown again.
    pub fn events(
        &self,
        columns: &mut Columns<'_>,
        rows: &[u32],
        position: u64,
        stored_at: i64,
        said: impl FnOnce() -> Said,
    ) {
        {
            let mut progress = self.progress();
            if position <= progress.position || progress.follows == Follows::No {
                return;
            }
            if progress.follows == Follows::NeedsState {
                self.plugin.comparison().passed_over += 1;
                return;
            }
            progress.position = position;
        }
        // A batch that does not decode for it is passed over, and it goes on behind it, as the active version does.
        match self.plugin.plugin.project(columns, rows) {
            Ok(parts) => self.send(Message::Events(parts, said(), stored_at)),
            Err(_) => self.plugin.comparison().passed_over += 1,
        }
    }

    /// Time has passed to this watermark; `tick` is the one of which the active version has just heard, if it has.
    pub fn time(&self, watermark: i64, tick: Option<i64>, said: impl FnOnce() -> Said) {
        let own = {
            let mut progress = self.progress();
            if progress.follows != Follows::Yes {
                return;
            }
            let due = self
                .plugin
                .plugin
                .tick_ms()
                .map(|every| watermark.div_euclid(every).saturating_mul(every));
            let own = due.filter(|due| *due > progress.ticked && watermark > i64::MIN);
            let news = tick.is_some_and(|tick| tick > progress.active_ticked);
            if own.is_none() && !news {
                return;
            }
            progress.ticked = own.unwrap_or(progress.ticked);
            progress.active_ticked = tick.unwrap_or(i64::MIN).max(progress.active_ticked);
            own
        };
        self.send(Message::Time(own, said(), watermark));
    }

    fn send(&self, message: Message) {
        if self.sender.try_send(message).is_err() {
            self.plugin.comparison().passed_over += 1;
            let mut progress = self.progress();
            if progress.follows == Follows::Yes {
                progress.follows = Follows::NeedsState;
            }
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The other end.
struct Follower {
    plugin: ShadowPlugin,
    rule: String,
    config: Map<String, Value>,
    progress: Arc<Mutex<Progress>>,
    run: Option<RuleRun>,
}

impl Follower {
    async fn follow(mut self, mut messages: Receiver<Message>) {
        while let Some(message) = messages.recv().await {
            match message {
                Message::State(state) => self.begin(state.as_deref()).await,
                Message::Events(parts, said, at) => self.events(&parts, &said, at).await,
                Message::Time(tick, said, at) => self.time(tick, &said, at).await,
            }
        }
    }

    async fn begin(&mut self, state: Option<&[u8]>) {
        let problems = self.plugin.plugin.0.check_rule(&self.config).await;
        if let Some(problem) = problems.first() {
            return self.end(&format!("{}: {}", problem.field, problem.reason));
        }
        match self.plugin.plugin.start(&self.rule, &self.config, state).await {
            Ok(run) => {
                self.run = Some(run);
                self.plugin.comparison().rules.insert(self.rule.clone());
            }
            Err(error) => self.failed(&error),
        }
    }

    async fn events(&mut self, parts: &[RuleRows], said: &Said, at: i64) {
        let Some(run) = &mut self.run else {
            self.plugin.comparison().passed_over += 1;
            return;
        };
        let before = run.spent();
        let (mut alerts, mut events) = (Vec::new(), 0);
        for part in parts {
            events += part.rows().len() as u64;
            match run.on_events(part).await {
                Ok(found) => alerts.extend(found),
                Err(RuleError::Failed(_)) => {}
                Err(error) => return self.failed(&error),
            }
        }
        let spent = run.spent() - before;
        self.compare(at, events, said, &alerts, spent);
    }

    async fn time(&mut self, tick: Option<i64>, said: &Said, at: i64) {
        let Some(run) = &mut self.run else { return };
        let before = run.spent();
        let alerts = match tick {
            None => Vec::new(),
            Some(tick) => match run.on_tick(tick).await {
                Ok(found) => found,
                Err(RuleError::Failed(_)) => Vec::new(),
                Err(error) => return self.failed(&error),
            },
        };
        let spent = run.spent() - before;
        self.compare(at, 0, said, &alerts, spent);
    }

    fn compare(&self, at: i64, events: u64, said: &Said, alerts: &[RuleAlert], spent: Duration) {
        let active = Side {
            alerts: &said.alerts,
            spent: said.spent,
        };
        let shadow = Side { alerts, spent };
        self.plugin
            .comparison()
            .add(&self.rule, Instant(at), events, active, shadow);
    }

    /// A fault costs the instance; the next one begins with the active version's state, unless it failed too often.
    fn failed(&mut self, error: &RuleError) {
        self.run = None;
        self.plugin.comparison().passed_over += 1;
        match error {
            RuleError::Fault(_) | RuleError::Failed(_) => self.set(Follows::NeedsState),
            RuleError::Unavailable(_) | RuleError::Refused(_) => self.end(&error.to_string()),
        }
    }

    fn end(&mut self, reason: &str) {
        self.run = None;
        self.set(Follows::No);
        tracing::warn!(
            rule = self.rule,
            reason,
            "the shadow of the rule's plugin follows no more"
        );
        self.plugin.comparison().ended = Some(format!("rule `{}`: {reason}", self.rule));
    }

    fn set(&self, follows: Follows) {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).follows = follows;
    }
}
