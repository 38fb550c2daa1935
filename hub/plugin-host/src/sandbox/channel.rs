//! One live instance of a channel plugin: made for one channel, kept between calls, thrown away after a fault.

use std::sync::Arc;

use wasmtime::Store;

use super::{
    Fault,
    bindings::{Failure, channel, wit_notice},
    code::Code,
    guest::Guest,
    instance::{CallLimits, Spent, StartError, begin, open, opened, settle},
};
use crate::Notice;

/// A live instance.
pub(crate) struct ChannelInstance {
    store: Store<Guest>,
    plugin: channel::Guest,
    limits: CallLimits,
}

impl ChannelInstance {
    /// Makes an instance and hands it its configuration.
    pub(crate) async fn start(code: &Code, guest: Guest, limits: CallLimits) -> Result<Self, StartError> {
        let (mut store, config, began) = open(code, guest, limits);
        let work = async {
            let plugin = code.channel(&mut store).await?;
            let answer = plugin.call_init(&mut store, &config).await?;
            wasmtime::Result::Ok((plugin, answer))
        };
        let outcome = tokio::time::timeout(limits.wall, work).await;
        let plugin = opened(&store, limits, began, outcome)?;
        Ok(Self { store, plugin, limits })
    }

    /// Delivers one notice. After a fault the instance must not be used again, which taking it by value ensures.
    pub(crate) async fn deliver(
        mut self,
        notice: &Notice,
        attempt: u32,
    ) -> (Result<Result<String, Failure>, Fault>, Spent, Option<Self>) {
        self.store.data_mut().group = (notice.members.clone(), notice.omitted);
        let notice = wit_notice(notice, &self.store.data().used_by);
        let began = begin(&mut self.store, self.limits.deadline);
        let work = self.plugin.call_deliver(&mut self.store, &notice, attempt);
        let outcome = tokio::time::timeout(self.limits.wall, work).await;
        let (outcome, spent) = settle(&self.store, self.limits, began, outcome);
        self.store.data_mut().group = (Vec::new(), 0);
        let answer = match outcome {
            Ok(answer) => answer,
            Err(fault) => return (Err(fault), spent, None),
        };
        let guest = self.store.data();
        let answer = answer.map(|text| match guest.unreached.as_slice() {
            [] => guest.shown(&text),
            // Whoever looks at the delivery must see that it did not reach everybody.
            some => guest.shown(&format!("{text} (not delivered to {})", some.join("; "))),
        });
        let answer = answer.map_err(|failure| match failure {
            Failure::Transient((reason, after)) => Failure::Transient((guest.shown(&reason), after)),
            Failure::Permanent(reason) => Failure::Permanent(guest.shown(&reason)),
        });
        (Ok(answer), spent, Some(self))
    }

    /// The channel's configuration that it was made with.
    pub(crate) fn config(&self) -> &Arc<serde_json::Map<String, serde_json::Value>> {
        &self.store.data().config
    }
}
