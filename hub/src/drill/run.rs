//! One drill, from the hub's wish to a person's answer.

use std::time::Duration;

use streamflow_bus::{TailReader, TailRecvError};
use streamflow_ingest::DrillHeard;
use streamflow_model::{Account, Alert, Delivery, Drill, HopName, Instant, Signal};
use streamflow_proto::wire::{DrillNews, DrillOrder, DrillStep};
use streamflow_storage::{Appended, LogBatch, RowSpan, Store};
use tokio::{
    sync::broadcast::{self, error::RecvError},
    time::{Instant as Clock, sleep_until, timeout},
};

use super::{
    Drills,
    course::{self, Course},
    log,
    matcher::{Matcher, Seen},
    plan::Planned,
};

/// Between two looks at the alert while machines are at work, and while a person is waited for. Times are taken from what is written, so they are exact all the same.
const LOOK: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// Machines that have not been done for so long are looked at as seldom as people are: every look reads all notifications since the drill began.
const QUICK: Duration = Duration::from_secs(10);
/// Events read from the store at a time, by a drill that was too slow for the tail.
const READ_EVENTS: usize = 50_000;

/// Where a drill ends.
struct Lost(HopName, String);

/// What a drill listens to. All of it is there before the agent is asked.
struct Ears {
    tail: TailReader,
    news: broadcast::Receiver<DrillHeard>,
    alerts: broadcast::Receiver<Alert>,
    /// The end of the log before the drill.
    position: u64,
}

enum Heard {
    Stop,
    Late,
    Log(Option<LogBatch>),
    News(DrillNews),
    Alert,
}

impl Drills {
    /// Carries a drill out; afterwards it has passed or failed, and nothing is left of its alert and its rule.
    pub(super) async fn carry_out(&self, planned: &mut Planned) {
        let outcome = self.walk(planned).await;
        let now = Instant::now();
        match outcome {
            Ok(()) => planned.drill.pass(now),
            Err(Lost(hop, reason)) => planned.drill.fail(hop, reason, now),
        }
        if self.0.rooms.alerting.end_drill(planned.rule.id.clone()).await.is_err() {
            tracing::debug!(
                drill = planned.drill.id,
                "alerting stopped first; it ends the drill's alert at its next start"
            );
        }
    }

    async fn walk(&self, planned: &mut Planned) -> Result<(), Lost> {
        let rooms = &self.0.rooms;
        let mut ears = Ears {
            tail: rooms.store.tail().subscribe(),
            news: rooms.ingest.subscribe_drills(),
            alerts: rooms.alerting.subscribe(),
            position: rooms.store.stats().await.map_or(0, |stats| stats.position),
        };
        if rooms.alerting.begin_drill(planned.rule.clone()).await.is_err() {
            return Err(Lost(HopName::Asked, "alerting has stopped".to_owned()));
        }
        let begun = Clock::now();
        let mut deadline = begun + planned.deadline;
        self.ask(planned).await?;
        let (mut deliveries, mut accepted, mut written): (Vec<Delivery>, bool, usize) = Default::default();
        let mut look = Clock::now();
        loop {
            if planned.drill.hops.len() != written {
                written = planned.drill.hops.len();
                self.keep(&planned.drill).await;
            }
            let waits_for_log = planned.drill.at(HopName::Stored).is_none();
            let own = (planned.rule.id.as_str(), planned.agent_id.as_deref());
            match self.hear(&mut ears, own, waits_for_log, look, deadline).await {
                Heard::Stop => {
                    let hop = planned.drill.waits_for().unwrap_or(HopName::Acknowledged);
                    return Err(Lost(hop, "the hub stopped meanwhile".to_owned()));
                }
                Heard::Late => {
                    let hop = planned.drill.waits_for().unwrap_or(HopName::Acknowledged);
                    let reason = course::late(&planned.drill, hop, &deliveries);
                    let patience = if accepted {
                        planned.acknowledge
                    } else {
                        Some(planned.deadline)
                    };
                    let patience = patience.unwrap_or_default().as_secs();
                    return Err(Lost(hop, format!("{reason} (within {patience} s)")));
                }
                Heard::News(news) => planned.tell(news)?,
                Heard::Log(batch) => {
                    let seen = match batch {
                        Some(batch) => planned.matcher.look(&batch).ok().flatten(),
                        None => reread(rooms.store.as_ref(), &mut planned.matcher, &mut ears.position).await,
                    };
                    if let Some(seen) = seen {
                        let judged = rooms.analytics.complete_until();
                        let signals = planned.judge(seen, judged, self.0.rooms.engine.max_future.ms())?;
                        if rooms.signals.send(signals).await.is_err() {
                            return Err(Lost(HopName::Fired, "alerting has stopped".to_owned()));
                        }
                    }
                }
                Heard::Alert => {
                    let slow = accepted || begun.elapsed() > QUICK;
                    look = Clock::now() + if slow { LOOK.1 } else { LOOK.0 };
                    let Some(alert) = self.alert(planned).await else {
                        continue;
                    };
                    if !accepted {
                        let since = planned.drill.started_at;
                        let read = rooms
                            .alerting
                            .deliveries_of(rooms.store.as_ref(), &alert.id, since)
                            .await;
                        deliveries = read.unwrap_or(deliveries);
                    }
                    match course::follow(&mut planned.drill, &alert, &deliveries) {
                        Course::Waits => {}
                        Course::Lost(HopName::Notified, reason) if !alert.muted_by.is_empty() => {
                            let why = rooms.alerting.why_muted(alert.muted_by.clone()).await;
                            return Err(Lost(
                                HopName::Notified,
                                why.map_or(reason, |why| format!("muted by {why}")),
                            ));
                        }
                        Course::Lost(hop, reason) => return Err(Lost(hop, reason)),
                        Course::Answered => return Ok(()),
                        Course::Accepted => match planned.acknowledge {
                            None => return Ok(()),
                            Some(patience) if !accepted => {
                                accepted = true;
                                deadline = Clock::now() + patience;
                            }
                            Some(_) => {}
                        },
                    }
                }
            }
        }
    }

    async fn hear(
        &self,
        ears: &mut Ears,
        (rule_id, agent): (&str, Option<&str>),
        waits_for_log: bool,
        look: Clock,
        deadline: Clock,
    ) -> Heard {
        // Another agent may have learned the id of the drill.
        let is_own = |heard: &DrillHeard| {
            agent == Some(heard.agent.as_str()) && rule_id == streamflow_model::drill::drill_rule_id(&heard.news.drill)
        };
        loop {
            return tokio::select! {
                () = self.0.stop.cancelled() => Heard::Stop,
                committed = ears.tail.recv(), if waits_for_log => match committed {
                    Ok(committed) => {
                        let Ok(batch) = committed.batch() else { continue };
                        let end = u32::try_from(batch.len()).unwrap_or(u32::MAX);
                        let span = RowSpan {
                            position: committed.position,
                            agent: committed.agent.clone(),
                            stored_at: committed.stored_at,
                            start: 0,
                            end,
                        };
                        Heard::Log(Some(LogBatch { batch, spans: vec![span] }))
                    }
                    Err(TailRecvError::Lagged(_)) => Heard::Log(None),
                    Err(TailRecvError::Closed) => Heard::Stop,
                },
                heard = ears.news.recv() => match heard {
                    Ok(heard) if is_own(&heard) => Heard::News(heard.news),
                    Ok(_) | Err(RecvError::Lagged(_)) => continue,
                    Err(RecvError::Closed) => Heard::Stop,
                },
                alert = ears.alerts.recv() => match alert {
                    Ok(alert) if alert.rule_id == rule_id => Heard::Alert,
                    Ok(_) | Err(RecvError::Lagged(_)) => continue,
                    Err(RecvError::Closed) => Heard::Stop,
                },
                () = sleep_until(deadline) => Heard::Late,
                () = sleep_until(look), if !waits_for_log => Heard::Alert,
            };
        }
    }

    /// The first hop.
    async fn ask(&self, planned: &mut Planned) -> Result<(), Lost> {
        let rooms = &self.0.rooms;
        let drill = &mut planned.drill;
        if let Some(agent) = &planned.agent_id {
            let order = DrillOrder {
                drill: drill.id.clone(),
                event: planned.event.clone(),
            };
            let asked = rooms.ingest.order_drill(agent, order);
            asked.map_err(|error| Lost(HopName::Asked, error.to_string()))?;
            drill.reach(HopName::Asked, Instant::now(), drill.agent.clone());
            return Ok(());
        }
        let now = Instant::now();
        drill.reach(HopName::Asked, now, "the hub itself");
        let lost = |reason: String| Lost(HopName::Stored, reason);
        let receipt = self.append(&planned.event, now).await.map_err(lost)?;
        match timeout(planned.deadline, receipt).await {
            Ok(Ok(Ok(Appended::Stored(_)))) => Ok(()),
            Ok(Ok(Ok(Appended::Duplicate))) => Err(lost("the store takes the event for one that it knows".to_owned())),
            Ok(Ok(Err(error))) => Err(lost(error.to_string())),
            Ok(Err(_)) => Err(lost("the store has stopped".to_owned())),
            Err(_) => Err(lost("the store does not answer".to_owned())),
        }
    }

    /// The drill's alert as it is now.
    async fn alert(&self, planned: &Planned) -> Option<Alert> {
        let rooms = &self.0.rooms;
        let open = rooms.alerting.open_of(&planned.rule.id);
        match (open.into_iter().next(), &planned.drill.alert_id) {
            (Some(alert), _) => Some(alert),
            (None, Some(id)) => rooms.alerting.alert(rooms.store.as_ref(), id).await.ok(),
            (None, None) => None,
        }
    }

    /// Shows how far it is.
    async fn keep(&self, drill: &Drill) {
        if let Err(error) = log::save(self.0.rooms.store.as_ref(), drill).await {
            tracing::warn!(drill = drill.id, %error, "how far a fire drill is cannot be written");
        }
    }
}

impl Planned {
    /// The agent tells how far the event is.
    fn tell(&mut self, news: DrillNews) -> Result<(), Lost> {
        let at = Instant(news.at_ms.saturating_sub(self.ahead_ms));
        let hop = match news.step {
            DrillStep::Emitted => HopName::Emitted,
            DrillStep::Spooled => HopName::Spooled,
            DrillStep::Sent => HopName::Sent,
            DrillStep::Lost => {
                let hop = self.drill.waits_for().unwrap_or(HopName::Emitted);
                return Err(Lost(hop, news.reason.unwrap_or_default()));
            }
        };
        self.drill.reach(hop, at, "");
        Ok(())
    }

    /// The event is in the log: what the copy of the rule makes of it.
    fn judge(&mut self, seen: Seen, judged_until: i64, max_future_ms: i64) -> Result<Vec<Signal>, Lost> {
        let drill = &mut self.drill;
        drill.reach(
            HopName::Stored,
            Instant(seen.stored_at),
            format!("position {}", seen.position),
        );
        let (at, agent) = (Instant(seen.at), drill.agent.clone());
        if seen.at.saturating_add(self.patience_ms) < judged_until {
            let until = Instant(judged_until);
            let reason = format!(
                "the event is of {at}, and windows are judged up to {until} already: is the clock of `{agent}` behind?"
            );
            return Err(Lost(HopName::Matched, reason));
        }
        if seen.signals.is_empty() {
            let reason = if seen.at > seen.stored_at.saturating_add(max_future_ms) {
                format!("the event is of {at}, too far ahead for any window: is the clock of `{agent}` ahead?")
            } else {
                "the rule does not match the event as the agent sent it".to_owned()
            };
            return Err(Lost(HopName::Matched, reason));
        }
        drill.reach(HopName::Matched, Instant::now(), self.rule.draft.matches.clone());
        let mut signals = seen.signals;
        for signal in &mut signals {
            signal.account = Some(Box::new(Account {
                summary: "this is not a real alert".to_owned(),
                message: format!(
                    "This is a fire drill, asked for by {}: nothing is wrong. Acknowledge it as you would a real alert.\nAn event from {agent} went through the rule `{}`.",
                    drill.by, self.rule.draft.name
                ),
                ..Account::default()
            }));
        }
        Ok(signals)
    }
}

/// Looks for the event in the store, from where the log ended before the drill.
async fn reread(store: &dyn Store, matcher: &mut Matcher, position: &mut u64) -> Option<Seen> {
    loop {
        let batches = store.read_log(*position, READ_EVENTS).await.ok()?;
        let last = batches
            .iter()
            .flat_map(|batch| &batch.spans)
            .map(|span| span.position)
            .max()?;
        for batch in &batches {
            if let Ok(Some(seen)) = matcher.look(batch) {
                return Some(seen);
            }
        }
        if last <= *position {
            return None;
        }
        *position = last;
    }
}
