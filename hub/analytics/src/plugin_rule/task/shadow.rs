//! The shadow of a rule's plugin: another version that is shown the same events, for comparison alone.

use streamflow_plugin_host::ShadowRun;

use super::{End, Task, Work};

impl Task {
    /// A shadow may have come or gone.
    pub(super) async fn shadow_changed(&mut self) -> Result<(), End> {
        let draft = self.rule.borrow().draft.clone();
        let wanted = self.common.host.shadow(draft.plugin.as_deref().unwrap_or_default());
        let same = match (&self.shadow, &wanted) {
            (Some(own), Some(wanted)) => own.plugin().is(wanted),
            (None, None) => true,
            _ => false,
        };
        if same {
            return Ok(());
        }
        self.shadow = wanted.map(|plugin| ShadowRun::start(&plugin, &draft.name, &draft.config));
        if let Some(worker) = &mut self.worker {
            worker.shadow.clone_from(&self.shadow);
        }
        // It begins where the rule stands.
        self.work(Work::Save).await
    }

    /// Gives the shadow the plugin's state when it has none. What the worker does next goes on from the stable mark.
    pub(super) fn lead_shadow(&self) {
        if let Some(shadow) = &self.shadow {
            let mark = &self.stable;
            shadow.set_state(mark.guest.as_deref(), mark.position, mark.ticked);
        }
    }
}
