//! The shell: one task that owns the desk, makes its changes durable, shows them, and sends notifications.

use std::{collections::VecDeque, panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use futures_util::FutureExt;
use streamflow_bus::signals::{SignalMessage, SignalReceiver};
use streamflow_model::{Alert, DeliveryState};
use streamflow_plugin_host::{ChannelSender, DeliverError};
use streamflow_storage::{DocOp, Store};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    desk::Desk,
    error::AlertingError,
    handle::{AfterCommit, Board, Job},
    intake::Intake,
    link,
    metrics::Metrics,
    options::Options,
    outbox::Outgoing,
    seal::Vault,
};

/// Messages taken into one commit.
const MOST_AT_ONCE: usize = 256;
/// Retention is looked at this often even when nothing happens.
const IDLE: Duration = Duration::from_secs(600);
/// At the end, sends under way may take this long; what is not finished is sent again after the next start.
const LAST_SENDS: Duration = Duration::from_secs(3);
/// Sends that may end while a write is under way, and be noted by the next one. A crash repeats them, as it does those under way.
const ENDED: usize = 64;
/// Pauses between attempts to write.
const WRITE_AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// The task.
pub(crate) struct Engine {
    pub(crate) options: Options,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) sender: Arc<dyn ChannelSender>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) signals: SignalReceiver,
    pub(crate) jobs: mpsc::Receiver<Job>,
    pub(crate) desk: Desk,
    /// Address of the hub as people reach it.
    pub(crate) external_url: Arc<str>,
    pub(crate) board: Arc<Board>,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Clock,
    pub(crate) sends: JoinSet<Box<Sent>>,
    pub(crate) answers: Answers,
    pub(crate) intake: Intake,
    /// Sends that have ended and are not booked yet.
    pub(crate) ended: VecDeque<Box<Sent>>,
}

/// Who waits for the next commit.
#[derive(Default)]
pub(crate) struct Answers {
    jobs: Vec<AfterCommit>,
    flushes: Vec<oneshot::Sender<()>>,
    signals_ended: bool,
}

/// Wall clock of the start, carried on by the monotonic one: a clock that is set does not fire or hold back anything.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    wall_ms: i64,
    /// None in tests: it stands still.
    since: Option<Instant>,
}

/// An attempt that is over.
pub(crate) struct Sent {
    outgoing: Outgoing,
    outcome: Result<String, DeliverError>,
    took: Duration,
}

enum Event {
    Signals(SignalMessage),
    SignalsEnded,
    Job(Job),
    Sent(Box<Sent>),
    Time,
    Stop,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            wall_ms: streamflow_model::Instant::now().0,
            since: Some(Instant::now()),
        }
    }

    /// One that always shows this time.
    #[cfg(test)]
    pub(crate) const fn standing_at(wall_ms: i64) -> Self {
        Self { wall_ms, since: None }
    }

    pub(crate) fn now(&self) -> i64 {
        let elapsed = self.since.map_or(0, |since| since.elapsed().as_millis());
        self.wall_ms.saturating_add(i64::try_from(elapsed).unwrap_or(i64::MAX))
    }

    fn at(&self, ms: i64) -> Instant {
        self.since.unwrap_or_else(Instant::now) + Duration::from_millis(u64::try_from(ms - self.wall_ms).unwrap_or(0))
    }
}

impl Engine {
    pub(crate) async fn run(mut self, token: CancellationToken) -> Result<(), AlertingError> {
        loop {
            self.settle(&token).await?;
            self.launch();
            let event = self.next(&token).await;
            if matches!(event, Event::Stop) {
                break;
            }
            self.absorb(event)?;
            for _ in 1..MOST_AT_ONCE {
                let Some(event) = self.waiting() else { break };
                self.absorb(event)?;
            }
            self.turn();
        }
        self.stop(&token).await
    }

    /// Takes in as many verdicts as one commit should hold: whoever else waits, waits for no more than that.
    fn turn(&mut self) {
        let now = self.clock.now();
        for signals in self.intake.turn() {
            self.desk.book.signals(&signals, now);
            self.desk.tick(now);
        }
        self.answers.flushes.append(&mut self.intake.flushed());
    }

    async fn next(&mut self, token: &CancellationToken) -> Event {
        if token.is_cancelled() {
            return Event::Stop;
        }
        if let Some(sent) = self.ended.pop_front() {
            return Event::Sent(sent);
        }
        let due = [
            self.desk.book.due(),
            self.desk.outbox.due(self.options.channel_concurrency),
        ];
        // While verdicts wait, or incidents are to be laid to rest, there is something to do.
        let idle = if self.desk.book.is_tired() || !self.intake.is_empty() {
            Instant::now()
        } else {
            Instant::now() + IDLE
        };
        let wake = due
            .into_iter()
            .flatten()
            .min()
            .map_or(idle, |due| self.clock.at(due).min(idle));
        tokio::select! {
            biased;
            () = token.cancelled() => Event::Stop,
            Some(Ok(sent)) = self.sends.join_next() => Event::Sent(sent),
            Some(job) = self.jobs.recv() => Event::Job(job),
            message = self.signals.recv(), if self.listens() => message.map_or(Event::SignalsEnded, Event::Signals),
            () = tokio::time::sleep_until(wake) => Event::Time,
        }
    }

    /// Whether the next verdicts may come.
    const fn listens(&self) -> bool {
        !self.answers.signals_ended && self.intake.has_room()
    }

    /// What has arrived meanwhile and may share the commit.
    fn waiting(&mut self) -> Option<Event> {
        if let Some(sent) = self.ended.pop_front() {
            return Some(Event::Sent(sent));
        }
        if let Some(Ok(sent)) = self.sends.try_join_next() {
            return Some(Event::Sent(sent));
        }
        if let Ok(job) = self.jobs.try_recv() {
            return Some(Event::Job(job));
        }
        if !self.listens() {
            return None;
        }
        self.signals
            .recv()
            .now_or_never()
            .map(|message| message.map_or(Event::SignalsEnded, Event::Signals))
    }

    fn absorb(&mut self, event: Event) -> Result<(), AlertingError> {
        let now = self.clock.now();
        match event {
            Event::Signals(SignalMessage::Signals(signals)) => {
                self.intake.push(signals);
                return Ok(());
            }
            Event::Signals(SignalMessage::Flush(done)) => {
                self.intake.flush(done);
                return Ok(());
            }
            Event::SignalsEnded => self.answers.signals_ended = true,
            Event::Job(job) => self.answers.jobs.push(job(&mut self.desk, now)),
            Event::Sent(sent) => self.book_sent(*sent, now)?,
            Event::Time | Event::Stop => {}
        }
        self.desk.tick(now);
        Ok(())
    }

    fn book_sent(&mut self, sent: Sent, now: i64) -> Result<(), AlertingError> {
        let Sent {
            outgoing,
            outcome,
            took,
        } = sent;
        let stored_at = outgoing.stored_at;
        if let Err(error) = &outcome {
            let (channel, alert) = (&outgoing.delivery.channel, &outgoing.delivery.alert_id);
            tracing::warn!(%channel, %alert, attempt = outgoing.delivery.attempts + 1, %error, "notification not delivered");
        }
        let delivery = self
            .desk
            .sent(outgoing, outcome, now, rand::random())
            .map_err(AlertingError::Encode)?;
        let outcome = match delivery.state {
            DeliveryState::Pending => "retry",
            DeliveryState::Delivered => "delivered",
            DeliveryState::Failed => "failed",
        };
        self.metrics
            .deliveries
            .with_label_values(&[delivery.channel.as_str(), outcome])
            .inc();
        self.metrics.delivery_seconds.observe(took.as_secs_f64());
        if delivery.state == DeliveryState::Delivered && delivery.attempts == 1 && stored_at > 0 {
            #[expect(clippy::cast_precision_loss, reason = "a latency in ms is far below 2^52")]
            self.metrics
                .end_to_end_seconds
                .observe((now - stored_at).max(0) as f64 / 1000.0);
        }
        Ok(())
    }

    /// Makes everything durable, then shows it and answers who waits.
    async fn settle(&mut self, token: &CancellationToken) -> Result<(), AlertingError> {
        let batch = self.desk.take_batch().map_err(AlertingError::Encode)?;
        self.commit(batch.ops, token).await?;
        // Those behind what is noted now may follow.
        self.desk.outbox.settled();
        let changes = batch.changes;
        let book = &self.desk.book;
        let alerts = |keys: &std::collections::BTreeSet<String>| -> Vec<Arc<Alert>> {
            let incidents = keys.iter().filter_map(|key| book.incident(key));
            incidents.map(|incident| Arc::new(incident.alert.clone())).collect()
        };
        self.board.show(alerts(&changes.touched), false);
        let replaced = changes.replaced.into_iter();
        let mut news: Vec<Arc<Alert>> = replaced.map(|incident| Arc::new(incident.alert)).collect();
        news.extend(alerts(&changes.written));
        news.extend(changes.forgotten.into_iter().map(Arc::new));
        self.board.show(news, true);
        if batch.rules_changed {
            let rules = book
                .rules()
                .values()
                .map(|rule| streamflow_model::Rule::clone(rule))
                .collect();
            self.board.rules.send_replace(Arc::new(rules));
        }
        if batch.channels_changed {
            self.board.channels.send_replace(Arc::new(book.channels().clone()));
        }
        for level in changes.fired {
            self.metrics.fired.with_label_values(&[level.name()]).inc();
        }
        self.metrics.breakers_opened.inc_by(batch.breakers_opened);
        for (channel, reason) in changes.template_failures {
            self.metrics
                .template_failures
                .with_label_values(&[channel.as_str()])
                .inc();
            tracing::warn!(
                channel,
                reason,
                "template failed, the message goes out in the hub's own words"
            );
        }
        for held in &changes.held {
            self.metrics
                .held_back
                .with_label_values(&[held.gate.name()])
                .inc_by(held.count);
        }
        if changes.refused > 0 {
            self.metrics.refused.inc_by(changes.refused);
            tracing::warn!(
                refused = changes.refused,
                limit = self.options.max_open,
                "too many open alerts"
            );
        }
        let outgoing = changes.outgoing.into_iter().chain(batch.again);
        outgoing.for_each(|outgoing| self.desk.outbox.push(outgoing));
        self.board.rest(self.desk.book.rest());
        self.answers.jobs.drain(..).for_each(|answer| answer());
        for flush in self.answers.flushes.drain(..) {
            if flush.send(()).is_err() {
                tracing::debug!("analytics has stopped waiting, it saves no checkpoint");
            }
        }
        Ok(())
    }

    /// Tries until it works: verdicts wait in their queue meanwhile, and analytics saves no checkpoint past them.
    async fn commit(&mut self, ops: Vec<DocOp>, token: &CancellationToken) -> Result<(), AlertingError> {
        if ops.is_empty() {
            return Ok(());
        }
        let mut pause = WRITE_AGAIN.0;
        let store = Arc::clone(&self.store);
        let mut written = self.meanwhile(store.commit(ops.clone())).await;
        while let Err(error) = written {
            tracing::error!(%error, "alerts cannot be written, trying again");
            self.board
                .set_failing(Some(format!("alerts cannot be written: {error}")));
            tokio::select! {
                () = token.cancelled() => return Err(AlertingError::Store(error)),
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(WRITE_AGAIN.1),
            }
            written = store.commit(ops.clone()).await;
        }
        self.board.set_failing(None);
        Ok(())
    }

    /// Waits for a write. Channels go on with what is durable already, so that they do not idle for each write.
    async fn meanwhile<T>(&mut self, writing: impl Future<Output = T>) -> T {
        let mut writing = pin!(writing);
        // What was taken in just now made room for others, and with nothing under way nothing would end.
        if !self.jobs.is_closed() {
            self.send();
        }
        loop {
            tokio::select! {
                biased;
                done = &mut writing => return done,
                Some(Ok(sent)) = self.sends.join_next(), if self.ended.len() < ENDED => {
                    // What failed may have closed its channel: that is for the books to say. And at the end nothing is begun.
                    if sent.outcome.is_ok() && !self.jobs.is_closed() {
                        self.desk.outbox.leave(&sent.outgoing);
                        self.send();
                    }
                    self.ended.push_back(sent);
                }
            }
        }
    }

    /// Starts the sends that are due, and shows how channels do.
    fn launch(&mut self) {
        self.send();
        self.board.show_health(self.desk.outbox.health(self.clock.now()));
        self.metrics
            .waiting
            .set(i64::try_from(self.desk.outbox.len()).unwrap_or(i64::MAX));
    }

    /// Starts the sends that are due.
    fn send(&mut self) {
        let now = self.clock.now();
        while let Some(outgoing) = self.desk.outbox.take(now, self.options.channel_concurrency) {
            let channel = self.desk.book.channels().get(&outgoing.delivery.channel).cloned();
            let (sender, vault) = (Arc::clone(&self.sender), Arc::clone(&self.vault));
            let limit = self.options.send_timeout.std();
            let (external_url, ttl) = (Arc::clone(&self.external_url), self.options.link_ttl);
            self.sends.spawn(async move {
                let started = Instant::now();
                let attempt = outgoing.delivery.attempts + 1;
                let send = async {
                    let channel =
                        channel.ok_or_else(|| DeliverError::Permanent("the channel was deleted".to_owned()))?;
                    if !channel.enabled {
                        return Err(DeliverError::Permanent("the channel is disabled".to_owned()));
                    }
                    let config = vault.config(&channel)?;
                    let mut notice = outgoing.notice.clone();
                    let (delivery, links) = (&outgoing.delivery, vault.links());
                    link::put_in(&mut notice, delivery, &channel, links, &external_url, ttl);
                    sender
                        .deliver(&channel.plugin, &channel.name, &config, &notice, attempt)
                        .await
                };
                let transient = |reason: String| {
                    Err(DeliverError::Transient {
                        reason,
                        retry_after_ms: None,
                    })
                };
                let outcome = match tokio::time::timeout(limit, AssertUnwindSafe(send).catch_unwind()).await {
                    Ok(Ok(outcome)) => outcome,
                    Ok(Err(_)) => transient("the channel's host failed".to_owned()),
                    Err(_) => transient(format!("no answer within {} s", limit.as_secs())),
                };
                Box::new(Sent {
                    outgoing,
                    outcome,
                    took: started.elapsed(),
                })
            });
        }
    }

    /// Takes in what analytics still sent, and waits a little for the sends under way.
    async fn stop(mut self, token: &CancellationToken) -> Result<(), AlertingError> {
        self.jobs.close();
        loop {
            while let Some(event) = self.waiting() {
                self.absorb(event)?;
            }
            self.turn();
            self.settle(token).await?;
            if self.intake.is_empty() && self.ended.is_empty() {
                break;
            }
        }
        let deadline = Instant::now() + LAST_SENDS;
        while let Ok(Some(Ok(sent))) = tokio::time::timeout_at(deadline, self.sends.join_next()).await {
            self.book_sent(*sent, self.clock.now())?;
        }
        self.settle(token).await?;
        while let Some(sent) = self.ended.pop_front() {
            self.book_sent(*sent, self.clock.now())?;
        }
        self.settle(token).await
    }
}

#[cfg(test)]
pub(crate) mod stepped;
#[cfg(test)]
mod storm_tests;
#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
mod turn_tests;
