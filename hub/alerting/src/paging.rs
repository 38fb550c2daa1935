//! Who would have been told: verdicts from the past through the very cores that decide live, with the time of the verdicts as
//! their clock. Nobody is told.
//!
//! Rules, routing, inhibition, silences, maintenance windows, active hours, escalation policies, on-call schedules and limits of
//! channels are those of the hub as it is now. Every channel accepts at once. Nobody acknowledges, unless it is asked what would be
//! if somebody did after a while.

mod report;
mod tally;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashSet};

use streamflow_model::{AlertState, Rule, Signal, Span};
use streamflow_web::ApiResult;

pub use report::{HeldBack, Page, PagingReport, Recipient};

use crate::{
    book::{Book, Stored},
    gate::BreakerLimits,
    handle::AlertingHandle,
    options::Options,
    outbox::{Outbox, Outgoing},
};
use tally::Tally;

/// Who acknowledges here.
const SOMEBODY: &str = "rehearsal";

/// A copy of everything that decides who is told.
#[derive(Debug)]
pub struct PagingSetup {
    stored: Stored,
    /// Plugins whose channels are told of acknowledgements.
    acknowledging: Vec<String>,
}

impl PagingSetup {
    fn of(book: &Book) -> Self {
        Self {
            stored: book.setup(),
            acknowledging: book.register().acknowledging().to_vec(),
        }
    }
}

impl AlertingHandle {
    /// Everything that decides who is told, as it is now.
    ///
    /// # Errors
    /// 503 when alerting has stopped.
    pub async fn paging(&self) -> ApiResult<PagingSetup> {
        self.call(|desk, _| Ok(PagingSetup::of(&desk.book))).await
    }
}

/// Alerts of some rules, and everybody who would be told of them.
#[derive(Debug)]
pub struct Paging {
    book: Book,
    outbox: Outbox,
    options: Options,
    acknowledge_after: Option<Span>,
    /// When which alert is acknowledged.
    acknowledgements: BTreeSet<(i64, String)>,
    /// Alerts that somebody is about to acknowledge.
    taken: HashSet<String>,
    now: i64,
    tally: Tally,
}

impl Paging {
    /// Begins at `now`, ms, with no alert. The rules on trial are enabled, and take the place of saved ones of the same id.
    /// Somebody acknowledges each alert so long after it was told of; `None` = nobody does.
    #[must_use]
    pub fn new(
        setup: PagingSetup,
        trial: &[Rule],
        options: &Options,
        acknowledge_after: Option<Span>,
        now: i64,
    ) -> Self {
        let PagingSetup {
            mut stored,
            acknowledging,
        } = setup;
        for rule in trial {
            stored.rules.retain(|saved| saved.id != rule.id);
            let mut rule = rule.clone();
            rule.draft.enabled = true;
            stored.rules.push(rule);
        }
        let mut book = Book::load(options.clone(), "", stored, Vec::new(), now);
        book.set_acknowledging(acknowledging);
        let mut outbox = Outbox::default();
        outbox.set_limits(BreakerLimits {
            failures: options.breaker_failures,
            pause: options.breaker_pause,
            longest: options.breaker_longest,
        });
        for channel in book.channels().values() {
            outbox.open_channel(&channel.name, channel.rate_per_minute);
        }
        Self {
            book,
            outbox,
            options: options.clone(),
            acknowledge_after,
            acknowledgements: BTreeSet::new(),
            taken: HashSet::new(),
            now,
            tally: Tally::default(),
        }
    }

    /// Takes in verdicts that were given at `now`, which never goes back.
    pub fn verdicts(&mut self, signals: &[Signal], now: i64) {
        self.pass(now);
        self.book.signals(signals, now);
        self.book.tick(now);
        self.take_in(now);
    }

    /// Lets time pass up to the end, and answers what came of it.
    #[must_use]
    pub fn finish(mut self, now: i64) -> PagingReport {
        self.pass(now);
        self.tally.report(self.book.mutes())
    }

    fn pass(&mut self, until: i64) {
        loop {
            let next = [
                self.book.due(),
                self.outbox.due(self.options.channel_concurrency),
                self.acknowledgements.first().map(|(at, _)| *at),
            ];
            let Some(due) = next.into_iter().flatten().min().filter(|due| *due <= until) else {
                break;
            };
            let now = due.max(self.now);
            self.now = now;
            self.acknowledge(now);
            self.book.tick(now);
            self.take_in(now);
        }
        self.now = self.now.max(until);
    }

    fn acknowledge(&mut self, now: i64) {
        while self.acknowledgements.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, id)) = self.acknowledgements.pop_first() else {
                break;
            };
            self.taken.remove(&id);
            let incident = self.book.by_id(&id).filter(|incident| incident.is_open());
            if incident.is_some_and(|incident| incident.alert.acknowledged_at.is_none()) {
                self.book.acknowledge(&id, SOMEBODY, "", now);
                self.tally.acknowledged += 1;
            }
        }
    }

    fn take_in(&mut self, now: i64) {
        let changes = self.book.take_changes();
        self.tally.fired += u64::try_from(changes.fired.len()).unwrap_or(u64::MAX);
        self.tally.refused(changes.refused);
        for held in changes.held {
            self.tally.hold(held);
        }
        for outgoing in changes.outgoing {
            self.outbox.push(outgoing);
        }
        loop {
            // All that may be under way at once.
            let take = || self.outbox.take(now, self.options.channel_concurrency);
            let under_way: Vec<Outgoing> = std::iter::from_fn(take).collect();
            if under_way.is_empty() {
                break;
            }
            for outgoing in under_way {
                self.send(outgoing, now);
            }
        }
    }

    /// Its channel accepts it.
    fn send(&mut self, mut outgoing: Outgoing, now: i64) {
        self.tally.page(&outgoing, now);
        if let Some(after) = self.acknowledge_after
            && outgoing.notice.state == AlertState::Firing
        {
            for id in &outgoing.delivery.alert_ids {
                if self.taken.insert(id.clone()) {
                    self.acknowledgements
                        .insert((now.saturating_add(after.ms()), id.clone()));
                }
            }
        }
        self.outbox.heard(&outgoing.delivery.channel, true, now);
        outgoing.after(Ok(String::new()), now, 0.0, &self.options);
        self.outbox.done(outgoing);
    }
}
