//! Drills that happen by themselves.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::Serialize;
use streamflow_model::{Drill, DrillRequest, DrillState, HopName, Instant, Span};
use streamflow_web::ApiError;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Drills,
    options::{Options, Schedule},
};

/// A clock that is set must not put a drill off for long.
const LONGEST_SLEEP: Duration = Duration::from_secs(10);

/// When each schedule is due next. A lock and not a task: it is held for a lookup, by the one task and by a route.
pub struct Schedules(Mutex<BTreeMap<String, Instant>>);

/// A schedule as people see it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = DrillSchedule)]
pub struct Shown {
    /// Its name.
    pub name: String,
    /// Time from the begin of one drill to the begin of the next.
    pub every: Span,
    /// When the next one begins.
    pub next_at: Instant,
    /// What it asks for.
    pub request: DrillRequest,
}

/// When a schedule is due first: after the last drill of before, not before the hub has settled.
fn first(schedule: &Schedule, before: &[Drill], settled: Instant) -> Instant {
    let last = before
        .iter()
        .filter(|drill| drill.schedule.as_deref() == Some(&schedule.name))
        .map(|drill| drill.started_at.0)
        .max();
    let due = last.map_or(settled.0, |last| last.saturating_add(schedule.every.ms()));
    Instant(due.max(settled.0))
}

impl Schedules {
    /// From the drills of before.
    pub fn new(options: &Options, before: &[Drill], now: Instant) -> Self {
        let settled = Instant(now.0.saturating_add(options.settle.ms()));
        let next = |schedule: &Schedule| (schedule.name.clone(), first(schedule, before, settled));
        Self(Mutex::new(options.schedule.iter().map(next).collect()))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drills {
    /// All schedules, with the time of their next drill.
    pub fn schedules(&self) -> Vec<Shown> {
        let next = self.0.schedules.lock().clone();
        let shown = |schedule: &Schedule| {
            Some(Shown {
                name: schedule.name.clone(),
                every: schedule.every,
                next_at: *next.get(&schedule.name)?,
                request: schedule.request(),
            })
        };
        self.0.options.schedule.iter().filter_map(shown).collect()
    }

    /// Starts what is due, until the token is cancelled.
    pub(super) async fn keep_schedules(&self, token: &CancellationToken) {
        loop {
            let now = Instant::now();
            let soonest = self.0.schedules.lock().values().min().copied();
            let wait = soonest.map_or(LONGEST_SLEEP, |at| {
                let ms = u64::try_from(at.0.saturating_sub(now.0)).unwrap_or(0);
                Duration::from_millis(ms).min(LONGEST_SLEEP)
            });
            tokio::select! {
                () = token.cancelled() => return,
                () = tokio::time::sleep(wait), if soonest.is_some() => {}
            }
            let now = Instant::now();
            for schedule in &self.0.options.schedule {
                let due = {
                    let mut next = self.0.schedules.lock();
                    let due = next.get(&schedule.name).is_some_and(|at| *at <= now);
                    if due {
                        next.insert(
                            schedule.name.clone(),
                            Instant(now.0.saturating_add(schedule.every.ms())),
                        );
                    }
                    due
                };
                if due {
                    self.begin(schedule).await;
                }
            }
        }
    }

    async fn begin(&self, schedule: &Schedule) {
        let by = format!("schedule {}", schedule.name);
        if let Err(error) = self.start(schedule.request(), &by, Some(&schedule.name)).await {
            tracing::warn!(schedule = schedule.name, %error, "a fire drill cannot begin");
            self.finish(&refused(schedule, by, &error)).await;
        }
    }
}

/// A drill that could not even begin, so that nobody takes silence for good news.
fn refused(schedule: &Schedule, by: String, error: &ApiError) -> Drill {
    let request = schedule.request();
    let labels = request.route.iter().flatten();
    let labels: Vec<String> = labels.map(|(name, value)| format!("{name}={value}")).collect();
    let now = Instant::now();
    let mut drill = Drill {
        id: Uuid::now_v7().to_string(),
        state: DrillState::Running,
        by,
        schedule: Some(schedule.name.clone()),
        target: request.rule.clone().unwrap_or_else(|| labels.join(",")),
        agent: request.agent.clone().unwrap_or_default(),
        request,
        event_id: None,
        alert_id: None,
        channels: Vec::new(),
        would_tell: Vec::new(),
        started_at: now,
        ended_at: None,
        hops: Vec::new(),
        lost_at: None,
        reason: None,
        notes: Vec::new(),
    };
    drill.fail(HopName::Asked, error.to_string(), now);
    drill
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_neither_repeats_nor_skips_a_drill() {
        let schedule: Schedule = toml::from_str("name = \"weekly\"\nevery = \"7d\"\nrule = \"r\"").unwrap();
        let settled = Instant(1000);
        assert_eq!(first(&schedule, &[], settled), settled, "never yet");
        let error = ApiError::conflict("no agent is connected");
        let mut drill = refused(&schedule, "schedule weekly".into(), &error);
        assert_eq!(drill.lost_at, Some(HopName::Asked));
        drill.started_at = Instant(500);
        let due = 500 + 7 * 86_400_000;
        assert_eq!(first(&schedule, std::slice::from_ref(&drill), settled), Instant(due));
        drill.started_at = Instant(-7 * 86_400_000);
        assert_eq!(
            first(&schedule, std::slice::from_ref(&drill), settled),
            settled,
            "missed while the hub was off"
        );
        drill.schedule = None;
        assert_eq!(first(&schedule, &[drill], settled), settled, "of nobody's schedule");
    }
}
