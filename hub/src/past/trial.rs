//! What runs a rule over the past: the engine, or its plugin.

use std::ops::ControlFlow;

use streamflow_analytics::{
    PluginBacktest,
    backtest::{Backtest, BacktestError, Step, Totals},
};
use streamflow_model::Instant;
use streamflow_storage::Store;

use super::backtest::Asked;

/// A rule ready to run.
pub(super) enum Trial {
    /// By the engine.
    Engine(Box<Backtest>),
    /// By its plugin.
    Plugin(Box<PluginBacktest>),
}

/// What came of it besides its verdicts.
pub(super) struct Tried {
    /// What had to be read.
    pub(super) totals: Totals,
    /// Everything before this event time was judged, ms.
    pub(super) until: i64,
    /// Windows that end after it have not ended yet; absent when all have, and for a plugin, which has none.
    pub(super) unended: Option<Instant>,
    /// What else makes the answer less than it seems, in words.
    pub(super) notes: Vec<String>,
}

/// The note that windows after `end` have not ended yet.
pub(super) fn unended(end: Instant) -> String {
    format!("windows that end after {end} have not ended yet")
}

impl Trial {
    /// Of what is asked, at `now`, ms.
    ///
    /// # Errors
    /// When the rule does not compile, the range is empty, or the plugin does not take the rule.
    pub(super) async fn new(
        options: streamflow_analytics::Options,
        asked: &Asked,
        now: i64,
    ) -> Result<Self, BacktestError> {
        let Asked { rule, from, to, plugin } = asked;
        Ok(match plugin.clone() {
            Some(plugin) => {
                let trial = PluginBacktest::new(&options, plugin, rule, from.0, to.0, now).await?;
                Self::Plugin(Box::new(trial))
            }
            None => Self::Engine(Box::new(Backtest::new(options, rule, from.0, to.0, now)?)),
        })
    }

    /// The event times that it reads, `[from, to)`.
    pub(super) fn reads(&self) -> (i64, i64) {
        match self {
            Self::Engine(trial) => trial.reads(),
            Self::Plugin(trial) => trial.reads(),
        }
    }

    /// The end of what it judges.
    pub(super) fn end(&self) -> i64 {
        match self {
            Self::Engine(trial) => trial.end(),
            Self::Plugin(trial) => trial.end(),
        }
    }

    /// Runs it over the store and shows every step.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) async fn run(
        self,
        store: &dyn Store,
        on_step: impl FnMut(Step) -> ControlFlow<()> + Send + 'static,
    ) -> Result<Tried, BacktestError> {
        let (end, last) = (self.end(), self.reads().1);
        match self {
            Self::Engine(trial) => {
                let totals = trial.run(store, on_step).await?;
                Ok(Tried {
                    totals,
                    until: end,
                    unended: (last > end).then_some(Instant(end)),
                    notes: Vec::new(),
                })
            }
            Self::Plugin(trial) => {
                let tried = trial.run(store, on_step).await?;
                Ok(Tried {
                    totals: tried.totals,
                    until: tried.until,
                    unended: None,
                    notes: tried.notes,
                })
            }
        }
    }
}
