//! One backtest: verdicts from the engine, alerts and notifications from the state machine.

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    sync::{Arc, Mutex, PoisonError},
    time::Instant as Clock,
};

use serde::Serialize;
use streamflow_alerting::{Paging, PagingReport, PagingSetup, Rehearsal};
use streamflow_analytics::backtest::{BacktestError, Step};
use streamflow_model::{AlertState, Instant, Rule, Span};
use streamflow_plugin_host::RulePlugin;
use streamflow_storage::{Scanned, Store};

use super::trial::{Trial, unended};

/// What is asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The rule, saved or not.
    pub rule: Rule,
    /// Event time from, inclusive.
    pub from: Instant,
    /// Event time to, exclusive.
    pub to: Instant,
    /// The plugin of a rule of kind `plugin`.
    pub plugin: Option<RulePlugin>,
}

/// That it is also asked who would have been told.
#[derive(Debug)]
pub struct PagingAsked {
    /// What decides who is told.
    pub setup: PagingSetup,
    /// Somebody acknowledges each alert so long after it was told of.
    pub acknowledge_after: Option<Span>,
}

/// One alert as it would have begun to fire.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = BacktestFiring)]
pub struct Firing {
    /// When.
    pub at: Instant,
    /// Attributes and values of its group.
    pub labels: BTreeMap<String, String>,
    /// Value of the window with which it fired.
    pub value: f64,
    /// `firing`: what the alert became then.
    pub state: AlertState,
    /// Begin of that window.
    pub window_start: Instant,
    /// End of that window, exclusive.
    pub window_end: Instant,
    /// When it was over; absent when the condition held to the end of the range.
    pub resolved_at: Option<Instant>,
}

impl From<streamflow_alerting::Firing> for Firing {
    fn from(firing: streamflow_alerting::Firing) -> Self {
        Self {
            at: firing.at,
            labels: firing.labels,
            value: firing.value,
            state: AlertState::Firing,
            window_start: firing.window_start,
            window_end: firing.window_end,
            resolved_at: firing.resolved_at,
        }
    }
}

/// The answer to a backtest.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = BacktestReport)]
pub struct Report {
    /// One entry for each time that the alert would have fired, oldest first; at most 10,000.
    pub data: Vec<Firing>,
    /// Notifications that it would have been, after `for` and `suppression_minutes`.
    pub notifications: u64,
    /// How long it took.
    pub took_ms: u64,
    /// Notifications that an alert is over.
    pub endings: u64,
    /// How many times it would have fired.
    pub fired: u64,
    /// Windows that end after this and up to `to` were judged.
    pub from: Instant,
    /// End of the last window that was judged.
    pub to: Instant,
    /// What had to be read.
    pub scanned: Scanned,
    /// Chunks that were passed over unread, because they certainly hold no match.
    pub skipped: u64,
    /// What makes the answer less than it seems: retention, damage, limits.
    pub notes: Vec<String>,
    /// Who would have been told, when that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paging: Option<PagingReport>,
}

/// How far a backtest is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = BacktestProgress)]
pub struct Progress {
    /// From 0 to 1.
    pub progress: f64,
    /// Everything before this event time has been judged.
    pub until: Instant,
    /// Events read so far.
    pub events: u64,
}

impl Progress {
    /// Nothing is done yet.
    pub const fn begin(from: Instant) -> Self {
        Self {
            progress: 0.0,
            until: from,
            events: 0,
        }
    }
}

/// How engine and state machine are set.
#[derive(Debug, Clone)]
pub struct Options {
    /// Of the engine.
    pub analytics: streamflow_analytics::Options,
    /// Of the state machine.
    pub alerting: streamflow_alerting::Options,
}

#[derive(Default)]
struct Sums {
    events: u64,
    surplus_groups: u64,
    condition_errors: u64,
    unreadable: u64,
}

/// Runs it; `on_progress` hears of every part and may end it.
///
/// # Errors
/// When the rule does not compile, the range is empty, the plugin does not take the rule, or the store fails.
pub async fn run(
    options: &Options,
    store: &dyn Store,
    asked: Asked,
    paging: Option<PagingAsked>,
    mut on_progress: impl FnMut(Progress) -> ControlFlow<()> + Send + 'static,
) -> Result<Report, BacktestError> {
    let started = Clock::now();
    let trial = Trial::new(options.analytics, &asked, Instant::now().0).await?;
    let Asked { rule, from, .. } = asked;
    let (first, _) = trial.reads();
    let rehearsal = Rehearsal::new(&rule, &options.alerting, first);
    let paging = paging.map(|asked| {
        let PagingAsked {
            setup,
            acknowledge_after,
        } = asked;
        Paging::new(
            setup,
            std::slice::from_ref(&rule),
            &options.alerting,
            acknowledge_after,
            first,
        )
    });
    let shared = Arc::new(Mutex::new((Some(rehearsal), paging, Sums::default())));
    let ours = Arc::clone(&shared);
    let tried = trial
        .run(store, move |step: Step| {
            let mut guard = ours.lock().unwrap_or_else(PoisonError::into_inner);
            let (rehearsal, paging, sums) = &mut *guard;
            if let Some(rehearsal) = rehearsal {
                rehearse(rehearsal, &step);
            }
            if let Some(paging) = paging {
                for verdict in &step.verdicts {
                    paging.verdicts(std::slice::from_ref(&verdict.signal), verdict.at);
                }
            }
            sums.add(&step);
            on_progress(Progress {
                progress: step.progress,
                until: Instant(step.until),
                events: sums.events,
            })
        })
        .await?;
    let (end, totals) = (tried.until, tried.totals);
    let (rehearsal, paging, sums) = {
        let mut guard = shared.lock().unwrap_or_else(PoisonError::into_inner);
        (guard.0.take(), guard.1.take(), std::mem::take(&mut guard.2))
    };
    let paging = paging.map(|paging| paging.finish(end));
    let simulated = rehearsal.map(|rehearsal| rehearsal.finish(end)).unwrap_or_default();
    let mut notes = Vec::new();
    let mut note = |count: u64, text: &str| {
        if count > 0 {
            notes.push(format!("{count} {text}"));
        }
    };
    note(
        totals.unreadable + sums.unreadable,
        "stored batches do not decode and were passed over",
    );
    note(
        sums.surplus_groups,
        "times a group was one too many and was counted in the group `other`",
    );
    note(sums.condition_errors, "times the condition gave no verdict");
    notes.extend(tried.unended.map(unended));
    notes.extend(tried.notes);
    let oldest = store.stats().await?.oldest;
    if oldest.is_some_and(|oldest| oldest > first.max(from.0)) {
        notes.push(format!(
            "nothing older than {} is stored",
            oldest.map(Instant).unwrap_or_default()
        ));
    }
    if simulated.fired > simulated.firings.len() as u64 {
        notes.push(format!(
            "only {} of {} firings are listed",
            simulated.firings.len(),
            simulated.fired
        ));
    }
    if paging.is_some() {
        let note =
            "only this rule's alerts were rehearsed: those of other rules neither inhibit nor group with them here";
        notes.push(note.to_owned());
    }
    Ok(Report {
        paging,
        data: simulated.firings.into_iter().map(Firing::from).collect(),
        notifications: simulated.notifications,
        endings: simulated.endings,
        took_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        fired: simulated.fired,
        from,
        to: Instant(end),
        scanned: totals.scanned,
        skipped: totals.skipped,
        notes,
    })
}

/// Lets the alerts of a rule live through a step.
pub fn rehearse(rehearsal: &mut Rehearsal, step: &Step) {
    for verdict in &step.verdicts {
        rehearsal.verdicts(std::slice::from_ref(&verdict.signal), verdict.at);
    }
}

impl Sums {
    const fn add(&mut self, step: &Step) {
        self.events += step.events;
        self.surplus_groups += step.surplus_groups;
        self.condition_errors += step.condition_errors;
        self.unreadable += step.unreadable;
    }
}
