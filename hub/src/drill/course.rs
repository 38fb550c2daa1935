//! What an alert and its deliveries say of a drill's course. Pure.

use streamflow_model::{Alert, AlertState, Delivery, DeliveryState, Drill, HopName};

/// Who ends alerts when no person does.
const SYSTEM: &str = "streamflow";

/// How a drill stands after a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Course {
    /// Something is still to come.
    Waits,
    /// The channels have accepted.
    Accepted,
    /// And a person has answered.
    Answered,
    /// It is lost at this hop.
    Lost(HopName, String),
}

/// Notes what is new in the drill.
pub fn follow(drill: &mut Drill, alert: &Alert, deliveries: &[Delivery]) -> Course {
    drill.alert_id.get_or_insert_with(|| alert.id.clone());
    if let Some(at) = alert.fired_at {
        drill.reach(HopName::Fired, at, alert.title.clone());
    }
    let told: Vec<&Delivery> = deliveries
        .iter()
        .filter(|delivery| delivery.status != AlertState::Resolved.name() && !delivery.test)
        .collect();
    if let Some(first) = told.iter().map(|delivery| delivery.created_at).min() {
        let mut names: Vec<&str> = told.iter().map(|delivery| delivery.channel.as_str()).collect();
        names.dedup();
        drill.reach(HopName::Notified, first, names.join(", "));
    }
    // What an escalation tells later is not part of the first way.
    let first_wave: Vec<&&Delivery> = drill
        .channels
        .iter()
        .filter_map(|name| told.iter().find(|delivery| delivery.channel == *name))
        .collect();
    let wave = if first_wave.is_empty() {
        told.iter().collect()
    } else {
        first_wave
    };
    if let Some(failed) = wave.iter().find(|delivery| delivery.state == DeliveryState::Failed) {
        let error = failed.error.as_deref().unwrap_or("no reason given");
        return Course::Lost(HopName::Accepted, format!("{}: {error}", failed.channel));
    }
    let delivered: Vec<_> = wave.iter().filter_map(|delivery| delivery.delivered_at).collect();
    let accepted = wave.len() >= drill.channels.len().max(1) && delivered.len() == wave.len();
    if accepted && let Some(last) = delivered.iter().max() {
        let references: Vec<String> = wave
            .iter()
            .map(|one| match &one.reference {
                Some(reference) => format!("{}: {reference}", one.channel),
                None => one.channel.clone(),
            })
            .collect();
        drill.reach(HopName::Accepted, *last, references.join(", "));
    }
    if let (Some(at), Some(by)) = (alert.acknowledged_at, &alert.acknowledged_by) {
        drill.reach(HopName::Acknowledged, at, by.clone());
    }
    if let (Some(at), Some(by)) = (alert.resolved_at, &alert.resolved_by) {
        if by != SYSTEM {
            drill.reach(HopName::Acknowledged, at, format!("{by}, who closed it"));
        } else if drill.at(HopName::Acknowledged).is_none() {
            let hop = drill.waits_for().unwrap_or(HopName::Acknowledged);
            return Course::Lost(hop, "its alert ended before".to_owned());
        }
    }
    match (accepted, drill.at(HopName::Acknowledged)) {
        (true, Some(_)) => Course::Answered,
        (true, None) => Course::Accepted,
        (false, _) if told.is_empty() && !alert.muted_by.is_empty() => {
            Course::Lost(HopName::Notified, format!("muted by {}", alert.muted_by.join(", ")))
        }
        (false, _) => Course::Waits,
    }
}

/// Why a drill did not come further in time.
pub fn late(drill: &Drill, hop: HopName, deliveries: &[Delivery]) -> String {
    let agent = &drill.agent;
    match hop {
        HopName::Asked => format!("agent `{agent}` could not be asked"),
        HopName::Emitted => format!("agent `{agent}` was asked and said nothing"),
        HopName::Spooled => {
            format!("the event does not get into the spool of agent `{agent}`: is the spool full, or its disk?")
        }
        HopName::Sent => {
            format!("agent `{agent}` has the event in its spool and did not send it: is there a backlog before it?")
        }
        HopName::Stored => "the event did not get into the log".to_owned(),
        HopName::Matched => "the rule did not match the event".to_owned(),
        HopName::Fired => "the verdict raised no alert".to_owned(),
        HopName::Notified => "the alert fires, and no notification was made".to_owned(),
        HopName::Accepted => {
            let waiting = deliveries
                .iter()
                .filter(|delivery| delivery.state == DeliveryState::Pending);
            let mut told: Vec<String> = waiting
                .map(|delivery| match (&delivery.error, delivery.next_attempt_at) {
                    (Some(error), _) => format!("{} after {} attempts: {error}", delivery.channel, delivery.attempts),
                    (None, Some(at)) if at > delivery.created_at => {
                        format!("{}, which is told from {at} on", delivery.channel)
                    }
                    (None, _) => format!("{}, which has not answered", delivery.channel),
                })
                .collect();
            let untold = |name: &&String| !deliveries.iter().any(|delivery| delivery.channel == **name);
            told.extend(
                drill
                    .channels
                    .iter()
                    .filter(untold)
                    .map(|name| format!("{name}, which was not told")),
            );
            format!("not accepted by {}", told.join("; "))
        }
        HopName::Acknowledged => "nobody acknowledged it in time".to_owned(),
    }
}

#[cfg(test)]
mod tests;
