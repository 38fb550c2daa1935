//! Counts what a rehearsal sends and holds back.

use std::collections::{BTreeMap, HashMap};

use jiff::{Timestamp, Zoned, tz::TimeZone};
use streamflow_model::{AlertState, Instant};

use super::report::{HeldBack, Page, PagingReport, Recipient};
use crate::{
    held::{Cause, Gate, Held, OnDuty},
    mute::Mutes,
    outbox::Outgoing,
};

/// Notifications that are listed; further ones are only counted.
const LISTED: usize = 10_000;

type Whom = (String, Option<OnDuty>);
type What = (Gate, String);

#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) fired: u64,
    pub(super) acknowledged: u64,
    notifications: u64,
    who: BTreeMap<Whom, Recipient>,
    held: BTreeMap<What, HeldBack>,
    /// What holds back which alert.
    holding: HashMap<String, Vec<What>>,
    /// Who was told, by alert or group and channel: the end of an alert goes where its beginning went.
    told: HashMap<(String, String), OnDuty>,
    days: BTreeMap<String, u64>,
    pages: Vec<Page>,
}

impl Tally {
    /// Verdicts of new groups that were refused.
    pub(super) fn refused(&mut self, count: u64) {
        if count > 0 {
            let held = Held::one(Gate::Refused, "", "");
            self.hold(Held { count, ..held });
        }
    }

    /// Something was held back.
    pub(super) fn hold(&mut self, held: Held) {
        let Held {
            gate,
            name,
            alert,
            count,
            delay,
        } = held;
        let what = (gate, name);
        let entry = self.held.entry(what.clone()).or_insert_with(|| HeldBack {
            gate,
            name: what.1.clone(),
            comment: None,
            count: 0,
            told_later: 0,
            longest_ms: 0,
        });
        entry.count += count;
        entry.longest_ms = entry.longest_ms.max(delay);
        let mutes = matches!(
            gate,
            Gate::Silence | Gate::Maintenance | Gate::Inhibition | Gate::Suppression
        );
        if mutes && !alert.is_empty() {
            let holding = self.holding.entry(alert).or_default();
            if !holding.contains(&what) {
                holding.push(what);
            }
        }
    }

    /// A notification is sent.
    pub(super) fn page(&mut self, outgoing: &Outgoing, now: i64) {
        let (delivery, notice) = (&outgoing.delivery, &outgoing.notice);
        let due = delivery.next_attempt_at.map_or(now, |at| at.0);
        if now > due {
            let held = Held::one(Gate::RateLimit, &delivery.channel, "");
            self.hold(held.for_ms(now - due));
        }
        self.notifications += 1;
        if !matches!(outgoing.cause, Cause::Over | Cause::Acknowledged) {
            for id in &delivery.alert_ids {
                for what in self.holding.remove(id).unwrap_or_default() {
                    if let Some(held) = self.held.get_mut(&what) {
                        held.told_later += 1;
                    }
                }
            }
        }
        let duty = self.duty(outgoing);
        let at = Instant(now);
        let (day, hour) = day_and_hour(now);
        let whom = (delivery.channel.clone(), duty.clone());
        let recipient = self.who.entry(whom).or_insert_with(|| Recipient {
            channel: delivery.channel.clone(),
            schedule: duty.as_ref().map(|duty| duty.schedule.clone()),
            person: duty.as_ref().and_then(|duty| duty.person.clone()),
            notifications: 0,
            causes: BTreeMap::new(),
            by_hour: vec![0; 24],
            first_at: at,
            last_at: at,
        });
        recipient.notifications += 1;
        recipient.last_at = at;
        *recipient.causes.entry(outgoing.cause.name().to_owned()).or_default() += 1;
        if let Some(count) = recipient.by_hour.get_mut(hour) {
            *count += 1;
        }
        *self.days.entry(day).or_default() += 1;
        if self.pages.len() < LISTED {
            let others = notice.members.len().saturating_add(notice.omitted as usize).max(1);
            self.pages.push(Page {
                at,
                made_at: delivery.created_at,
                channel: delivery.channel.clone(),
                schedule: duty.as_ref().map(|duty| duty.schedule.clone()),
                person: duty.and_then(|duty| duty.person),
                cause: outgoing.cause,
                state: notice.state,
                level: notice.level,
                title: notice.title.clone(),
                alerts: u64::try_from(others).unwrap_or(u64::MAX),
            });
        }
    }

    fn duty(&mut self, outgoing: &Outgoing) -> Option<OnDuty> {
        let delivery = &outgoing.delivery;
        let about = delivery.group_id.as_ref().unwrap_or(&delivery.alert_id).clone();
        let key = (about, delivery.channel.clone());
        if let Some(duty) = &outgoing.oncall {
            self.told.insert(key, duty.clone());
            return Some(duty.clone());
        }
        if !matches!(outgoing.cause, Cause::Over | Cause::Acknowledged) {
            return None;
        }
        if outgoing.notice.state == AlertState::Resolved && delivery.group_id.is_none() {
            return self.told.remove(&key);
        }
        self.told.get(&key).cloned()
    }

    pub(super) fn report(self, mutes: &Mutes) -> PagingReport {
        let mut who: Vec<Recipient> = self.who.into_values().collect();
        who.sort_by_key(|recipient| std::cmp::Reverse(recipient.notifications));
        let mut held: Vec<HeldBack> = self.held.into_values().collect();
        held.sort_by_key(|held| std::cmp::Reverse(held.count));
        for held in &mut held {
            held.comment = match held.gate {
                Gate::Silence => mutes.silence(&held.name).map(|silence| silence.comment.clone()),
                Gate::Maintenance => mutes
                    .windows()
                    .get(&held.name)
                    .map(|window| window.maintenance.comment.clone()),
                _ => None,
            };
        }
        PagingReport {
            fired: self.fired,
            notifications: self.notifications,
            acknowledged: self.acknowledged,
            who,
            held,
            days: self.days,
            pages: self.pages,
        }
    }
}

fn day_and_hour(now: i64) -> (String, usize) {
    let at = Timestamp::from_millisecond(now).unwrap_or_default();
    let zoned: Zoned = at.to_zoned(TimeZone::UTC);
    let hour = usize::try_from(zoned.hour()).unwrap_or_default();
    (zoned.date().to_string(), hour)
}
