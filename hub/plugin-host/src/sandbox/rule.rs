//! One live instance of a rule plugin: made for one rule, kept between calls, thrown away after a fault.

use wasmtime::Store;

use super::{
    Fault,
    bindings::{rule, types},
    code::Code,
    guest::Guest,
    instance::{CallLimits, Spent, StartError, begin, open, opened, settle},
};

/// What a call brought: the plugin's own answer, or that there was none.
pub(crate) type Answer<T> = (Result<Result<T, String>, Fault>, Spent);

/// A live instance. After a fault it must not be called again; its owner drops it.
pub(crate) struct RuleInstance {
    store: Store<Guest>,
    plugin: rule::Guest,
    limits: CallLimits,
}

impl RuleInstance {
    /// Makes an instance and hands it its configuration and its state.
    pub(crate) async fn start(
        code: &Code,
        guest: Guest,
        state: Option<&[u8]>,
        limits: CallLimits,
    ) -> Result<Self, StartError> {
        let (mut store, config, began) = open(code, guest, limits);
        let work = async {
            let plugin = code.rule(&mut store).await?;
            let answer = plugin.call_init(&mut store, &config, state).await?;
            wasmtime::Result::Ok((plugin, answer))
        };
        let outcome = tokio::time::timeout(limits.wall, work).await;
        let plugin = opened(&store, limits, began, outcome)?;
        Ok(Self { store, plugin, limits })
    }

    pub(crate) async fn on_events(&mut self, batch: &types::Batch) -> Answer<Vec<types::Alert>> {
        let began = begin(&mut self.store, self.limits.deadline);
        let work = self.plugin.call_on_events(&mut self.store, batch);
        let outcome = tokio::time::timeout(self.limits.wall, work).await;
        self.answer(began, outcome)
    }

    pub(crate) async fn on_tick(&mut self, now: types::Timestamp) -> Answer<Vec<types::Alert>> {
        let began = begin(&mut self.store, self.limits.deadline);
        let work = self.plugin.call_on_tick(&mut self.store, now);
        let outcome = tokio::time::timeout(self.limits.wall, work).await;
        self.answer(began, outcome)
    }

    pub(crate) async fn save(&mut self) -> Answer<Vec<u8>> {
        let began = begin(&mut self.store, self.limits.deadline);
        let work = self.plugin.call_save(&mut self.store);
        let outcome = tokio::time::timeout(self.limits.wall, work).await;
        self.answer(began, outcome)
    }

    fn answer<T>(
        &self,
        began: std::time::Instant,
        outcome: Result<wasmtime::Result<Result<T, String>>, tokio::time::error::Elapsed>,
    ) -> Answer<T> {
        let (outcome, spent) = settle(&self.store, self.limits, began, outcome);
        let shown = |reason: String| self.store.data().shown(&reason);
        (outcome.map(|answer| answer.map_err(shown)), spent)
    }

    /// Text of the plugin as it may be shown.
    pub(crate) fn guest(&self) -> &Guest {
        self.store.data()
    }
}
