//! Somebody has taken an alert. Channels that keep an incident of their own hear of it; to all others it would be one message more.

use std::{borrow::Cow, sync::Arc};

use streamflow_model::{Alert, AlertState, Channel, Level};

use super::{Book, Open};
use crate::{
    compose::{NOTED, Together},
    held::{Cause, Meant},
    outbox::Outgoing,
};

impl Book {
    /// Tells of an acknowledgement, those who were told of the alert and whose plugins ask for it.
    pub(in crate::book) fn tell_taken(&mut self, key: &str, now: i64) {
        let Some(slot) = self.groups.get(key) else { return };
        let incident = &slot.incident;
        if incident.alert.state != AlertState::Acknowledged {
            return;
        }
        let told = incident.memory.told.iter();
        let takers = told.filter(|name| self.register.takes_acknowledgements(name));
        let takers: Vec<Meant> = takers.cloned().map(Meant::channel).collect();
        let groups: Vec<String> = incident.memory.groups().map(str::to_owned).collect();
        if !takers.is_empty() {
            self.tell_channels(key, &takers, Cause::Acknowledged, now);
        }
        for name in groups {
            self.tell_group_taken(&name, now);
        }
    }

    /// A group is one incident to them: it is taken when all of its alerts are.
    fn tell_group_taken(&mut self, name: &str, now: i64) {
        let Some(bundle) = self.bundles.get(name) else { return };
        let told = bundle.group.told.iter();
        let takers = told.filter(|name| self.register.takes_acknowledgements(name));
        let channels = takers.filter_map(|name| self.register.channels().get(name));
        let channels: Vec<Arc<Channel>> = channels.filter(|channel| channel.enabled).cloned().collect();
        if channels.is_empty() {
            return;
        }
        let (mut alerts, mut count, mut level): (Vec<Cow<'_, Alert>>, usize, Level) = (Vec::new(), 0, Level::Info);
        for Open { id, .. } in bundle.open.iter() {
            let Some(brief) = self.brief(*id).filter(|brief| !brief.muted) else {
                continue;
            };
            if !brief.acknowledged {
                return;
            }
            count += 1;
            level = level.max(brief.level);
            if alerts.len() < NOTED {
                alerts.extend(self.look_id(*id).map(|incident| match incident {
                    Cow::Borrowed(incident) => Cow::Borrowed(&incident.alert),
                    Cow::Owned(incident) => Cow::Owned(incident.alert),
                }));
            }
        }
        let alerts: Vec<&Alert> = alerts.iter().map(AsRef::as_ref).collect();
        if alerts.is_empty() {
            return;
        }
        let together = Together {
            group: &bundle.group,
            firing: &alerts,
            over: &[],
            counts: (count, 0),
            level,
            external_url: &self.external_url,
        };
        let mut failures = Vec::new();
        let made: Vec<Outgoing> = channels
            .iter()
            .map(|channel| {
                Outgoing::about_group(&together, channel, now)
                    .taken(now)
                    .because(Cause::Acknowledged, None)
                    .not_before(self.register.open_at(&channel.name, now))
                    .worded(channel, &mut failures)
            })
            .collect();
        self.changes.outgoing.extend(made);
        self.changes.template_failures.append(&mut failures);
    }
}
