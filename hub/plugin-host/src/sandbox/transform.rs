//! One live instance of a transform plugin: made for one source of one processor, kept between calls, thrown away after a fault.

use wasmtime::Store;

use super::{
    bindings::{transform, types},
    code::Code,
    guest::Guest,
    instance::{CallLimits, StartError, begin, open, opened, settle},
    rule::Answer,
};

/// A live instance. After a fault it must not be called again; its owner drops it.
pub(crate) struct TransformInstance {
    store: Store<Guest>,
    plugin: transform::Guest,
    limits: CallLimits,
}

impl TransformInstance {
    /// Makes an instance and hands it its configuration.
    pub(crate) async fn start(code: &Code, guest: Guest, limits: CallLimits) -> Result<Self, StartError> {
        let (mut store, config, began) = open(code, guest, limits);
        let work = async {
            let plugin = code.transform(&mut store).await?;
            let answer = plugin.call_init(&mut store, &config).await?;
            wasmtime::Result::Ok((plugin, answer))
        };
        let outcome = tokio::time::timeout(limits.wall, work).await;
        let plugin = opened(&store, limits, began, outcome)?;
        Ok(Self { store, plugin, limits })
    }

    pub(crate) async fn apply(&mut self, batch: &types::Batch) -> Answer<transform::Output> {
        let began = begin(&mut self.store, self.limits.deadline);
        let work = self.plugin.call_apply(&mut self.store, batch);
        let outcome = tokio::time::timeout(self.limits.wall, work).await;
        let (outcome, spent) = settle(&self.store, self.limits, began, outcome);
        let shown = |reason: String| self.store.data().shown(&reason);
        (outcome.map(|answer| answer.map_err(shown)), spent)
    }

    /// Text of the plugin as it may be shown in one line.
    pub(crate) fn shown(&self, text: &str) -> String {
        self.store.data().shown(text)
    }
}
