//! What the views answer, made of aggregates by series. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use streamflow_model::Instant;
use streamflow_proto::aggregate::Accumulator;

use crate::rollup::LabelledSeries;

/// Events in one step of time.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub(crate) struct Trend {
    /// Begin of the step.
    #[schema(value_type = String)]
    pub(crate) timestamp: Instant,
    /// Events in it.
    pub(crate) events: u64,
    /// Events by type.
    pub(crate) types: BTreeMap<String, u64>,
    /// All hosts have reported past its end.
    pub(crate) complete: bool,
}

/// A source's part of all events.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub(crate) struct SourceShare {
    /// The source; `other` for those beyond the limit of a day.
    pub(crate) source: String,
    /// Its events.
    pub(crate) events: u64,
    /// Its part of all events, 0 to 1.
    pub(crate) share: f64,
}

/// A type's part of all events.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub(crate) struct TypeShare {
    /// The type; `other` for those beyond the limit of a day.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// Its events.
    pub(crate) events: u64,
    /// Its part of all events, 0 to 1.
    pub(crate) share: f64,
}

/// Users and events of one kind of device.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub(crate) struct DeviceShare {
    /// `mobile`, `tablet`, `desktop`, `bot` or `unknown`.
    pub(crate) device: String,
    /// Different users, within about 2 %.
    pub(crate) users: u64,
    /// Events.
    pub(crate) events: u64,
    /// Its part of the users, 0 to 1; who uses two kinds of device counts in both.
    pub(crate) share: f64,
}

/// What one window holds.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub(crate) struct WindowSummary {
    /// Its begin.
    #[schema(value_type = String)]
    pub(crate) start: Instant,
    /// Its end.
    #[schema(value_type = String)]
    pub(crate) end: Instant,
    /// Events in it.
    pub(crate) events: u64,
    /// Events per second over the whole window.
    pub(crate) rate: f64,
    /// Events by type.
    pub(crate) types: BTreeMap<String, u64>,
    /// Events by severity.
    pub(crate) severities: BTreeMap<String, u64>,
    /// Different users, within about 2 %.
    pub(crate) users: u64,
    /// All hosts have reported past its end.
    pub(crate) complete: bool,
}

/// A count as a whole number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts are whole and not negative"
)]
pub(crate) fn whole(aggregate: &Accumulator) -> u64 {
    aggregate.value(1000).map_or(0, |value| value as u64)
}

/// Begin of each step, its length, what it holds by the one label.
fn by_step(series: &[LabelledSeries]) -> BTreeMap<i64, BTreeMap<String, u64>> {
    let mut steps: BTreeMap<i64, BTreeMap<String, u64>> = BTreeMap::new();
    for one in series {
        let label = one.labels.first().cloned().unwrap_or_default();
        for (start, aggregate) in &one.steps {
            *steps.entry(*start).or_default().entry(label.clone()).or_default() += whole(aggregate);
        }
    }
    steps
}

fn starts((from, to, step): (i64, i64, i64)) -> impl Iterator<Item = i64> {
    let first = from.div_euclid(step) * step;
    std::iter::successors(Some(first), move |at| at.checked_add(step)).take_while(move |at| *at < to)
}

/// Every step of a range, the empty ones too.
pub(crate) fn trends(types: &[LabelledSeries], range: (i64, i64, i64), complete_until: i64) -> Vec<Trend> {
    let mut steps = by_step(types);
    starts(range)
        .map(|start| {
            let types = steps.remove(&start).unwrap_or_default();
            Trend {
                timestamp: Instant(start),
                events: types.values().sum(),
                types,
                complete: start.saturating_add(range.2) <= complete_until,
            }
        })
        .collect()
}

/// Name, count and part of the whole, most first.
pub(crate) fn shares(mut counts: Vec<(String, u64)>) -> Vec<(String, u64, f64)> {
    let all: u64 = counts.iter().map(|(_, count)| count).sum();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counts
        .into_iter()
        .map(|(name, count)| (name, count, part(count, all)))
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn part(count: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { count as f64 / all as f64 }
}

impl From<(String, u64, f64)> for SourceShare {
    fn from((source, events, share): (String, u64, f64)) -> Self {
        Self { source, events, share }
    }
}

impl From<(String, u64, f64)> for TypeShare {
    fn from((kind, events, share): (String, u64, f64)) -> Self {
        Self { kind, events, share }
    }
}

/// Devices by their number of users, most first.
pub(crate) fn devices(users: Vec<(String, u64)>, events: Vec<(String, u64)>) -> Vec<DeviceShare> {
    let events: BTreeMap<String, u64> = events.into_iter().collect();
    let mut users: BTreeMap<String, u64> = users.into_iter().collect();
    let names: BTreeSet<String> = users.keys().chain(events.keys()).cloned().collect();
    for name in &names {
        users.entry(name.clone()).or_default();
    }
    shares(users.into_iter().collect())
        .into_iter()
        .map(|(device, users, share)| DeviceShare {
            events: events.get(&device).copied().unwrap_or_default(),
            device,
            users,
            share,
        })
        .collect()
}

/// Every window of a range, the empty ones too.
pub(crate) fn windows(
    types: &[LabelledSeries],
    severities: &[LabelledSeries],
    users: &[LabelledSeries],
    range: (i64, i64, i64),
    complete_until: i64,
) -> Vec<WindowSummary> {
    let (mut types, mut severities, mut users) = (by_step(types), by_step(severities), by_step(users));
    starts(range)
        .map(|start| {
            let types = types.remove(&start).unwrap_or_default();
            let events = types.values().sum();
            let end = start.saturating_add(range.2);
            #[expect(clippy::cast_precision_loss, reason = "counts and lengths stay far below 2^53")]
            let rate = events as f64 / (range.2 as f64 / 1000.0);
            WindowSummary {
                start: Instant(start),
                end: Instant(end),
                events,
                rate,
                types,
                severities: severities.remove(&start).unwrap_or_default(),
                users: users.remove(&start).unwrap_or_default().values().sum(),
                complete: end <= complete_until,
            }
        })
        .collect()
}
