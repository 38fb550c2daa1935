//! Metrics on their way to agents, and what agents make of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::pending,
    sync::Arc,
};

use streamflow_model::Instant;
use streamflow_proto::{
    metric::FORMAT,
    wire::{self, Ability, MetricDefinition, MetricsPush, MetricsTaken},
};
use tokio::sync::watch;

/// Refusals of an agent that are kept, at most: more metrics than are pushed at a time.
const MAX_REFUSED: usize = 400;
/// Longest reason that is kept, characters.
const MAX_REASON: usize = 200;

/// What all agents that can are to compute now.
#[derive(Debug, Default)]
pub(crate) struct Pushes {
    now: watch::Sender<Arc<MetricsPush>>,
    /// Changes with every agent that comes, goes or answers.
    agents: watch::Sender<u64>,
}

/// What one session of an agent tells.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answers {
    pub(crate) capable: bool,
    taken: Option<u64>,
    pub(crate) refused: BTreeMap<String, String>,
}

impl Answers {
    /// Of an agent that has just said hello.
    pub(crate) fn of(version: &str) -> Self {
        Self {
            capable: wire::can(version, Ability::Metrics),
            ..Self::default()
        }
    }

    /// Takes note of an answer to what is or was pushed, and says which refusals are new; `None` when there is nothing new in it. What was refused earlier in the session
    /// stays refused: the metric may have been taken back because of it. Of names that are not pushed nothing is kept.
    pub(crate) fn take(&mut self, taken: MetricsTaken, push: &MetricsPush) -> Option<Vec<(String, String)>> {
        if taken.version > push.version {
            return None;
        }
        let answered = self.taken.replace(taken.version) != Some(taken.version);
        let pushed: BTreeSet<&str> = push.definitions.iter().map(|one| one.series.as_str()).collect();
        let mut fresh = Vec::new();
        for (series, reason) in taken.refused {
            let reason: String = reason.chars().take(MAX_REASON).collect();
            let known = self.refused.get(&series);
            let room = known.is_some() || self.refused.len() < MAX_REFUSED;
            if pushed.contains(series.as_str()) && room && known != Some(&reason) {
                self.refused.insert(series.clone(), reason.clone());
                fresh.push((series, reason));
            }
        }
        (answered || !fresh.is_empty()).then_some(fresh)
    }

    /// Whether it has answered to this push.
    pub(crate) fn answered(&self, push: &MetricsPush) -> bool {
        self.taken == Some(push.version)
    }
}

impl Pushes {
    /// Has these metrics computed from now on. Nothing happens when they are the ones that are computed already.
    pub(crate) fn push(&self, definitions: Vec<MetricDefinition>) {
        self.now.send_if_modified(|now| {
            let same = now.version > 0 && now.definitions == definitions;
            if !same {
                // Above what agents have heard before this start, too.
                let clock = u64::try_from(Instant::now().0).unwrap_or(1);
                *now = Arc::new(MetricsPush {
                    version: clock.max(now.version + 1),
                    format: FORMAT,
                    definitions,
                });
            }
            !same
        });
    }

    /// What is computed now.
    pub(crate) fn current(&self) -> Arc<MetricsPush> {
        Arc::clone(&self.now.borrow())
    }

    /// For a session: what is pushed now and from now on.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<MetricsPush>> {
        let mut pushes = self.now.subscribe();
        pushes.mark_changed();
        pushes
    }

    /// An agent came, went or answered.
    pub(crate) fn agent_changed(&self) {
        self.agents.send_modify(|count| *count += 1);
    }

    pub(crate) fn agents(&self) -> watch::Receiver<u64> {
        self.agents.subscribe()
    }
}

/// The next push for an agent; never ends for one that takes none.
pub(crate) async fn next(pushes: &mut Option<watch::Receiver<Arc<MetricsPush>>>) -> Arc<MetricsPush> {
    let Some(pushes) = pushes else { return pending().await };
    loop {
        if pushes.changed().await.is_err() {
            return pending().await;
        }
        let push = Arc::clone(&pushes.borrow_and_update());
        // Nobody has said yet what to compute: an agent that was told before the hub started goes on with that.
        if push.version > 0 {
            return push;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(series: &str) -> MetricDefinition {
        MetricDefinition {
            series: series.to_owned(),
            name: series.to_owned(),
            matches: "true".to_owned(),
            aggregate: "count()".to_owned(),
            group_by: Vec::new(),
            base_ms: 60_000,
            keep_events: true,
        }
    }

    #[tokio::test]
    async fn a_session_hears_the_present_push_and_every_later_one() {
        let pushes = Pushes::default();
        let mut early = Some(pushes.subscribe());
        pushes.push(vec![definition("a")]);
        let first = next(&mut early).await;
        assert_eq!(first.definitions, [definition("a")]);
        pushes.push(vec![definition("a")]);
        assert_eq!(pushes.current().version, first.version, "nothing new");
        pushes.push(Vec::new());
        let second = next(&mut early).await;
        assert!(second.version > first.version && second.definitions.is_empty());
        let mut late = Some(pushes.subscribe());
        assert_eq!(next(&mut late).await.version, second.version);
    }

    #[test]
    fn a_refusal_outlives_the_push_that_was_refused() {
        let pushes = Pushes::default();
        let mut answers = Answers::of("0.1.0+drill.metrics");
        assert!(answers.capable && !Answers::of("0.1.0").capable);
        pushes.push(vec![definition("a")]);
        assert!(!answers.answered(&pushes.current()));
        let taken = |refused: Vec<(String, String)>| MetricsTaken {
            version: pushes.current().version,
            refused,
        };
        let no = ("a".to_owned(), "no".to_owned());
        let fresh = answers.take(taken(vec![no.clone()]), &pushes.current());
        assert_eq!(fresh, Some(vec![no.clone()]));
        assert_eq!(
            answers.take(taken(vec![no]), &pushes.current()),
            None,
            "it says so again"
        );
        assert!(answers.answered(&pushes.current()));
        pushes.push(Vec::new());
        assert!(!answers.answered(&pushes.current()));
        assert_eq!(answers.take(taken(Vec::new()), &pushes.current()), Some(Vec::new()));
        assert_eq!(answers.refused["a"], "no");
    }

    #[test]
    fn nothing_is_kept_of_what_was_never_pushed() {
        let pushes = Pushes::default();
        let mut answers = Answers::of("0.1.0+metrics");
        pushes.push(vec![definition("a")]);
        let version = pushes.current().version;
        let refusals = |from: usize| (from..from + 5000).map(|n| (format!("s{n}"), "x".repeat(1000)));
        for round in 0..3 {
            let refused = refusals(round * 5000)
                .chain([("a".to_owned(), "y".repeat(1000))])
                .collect();
            answers.take(MetricsTaken { version, refused }, &pushes.current());
        }
        assert_eq!(answers.refused.len(), 1);
        assert_eq!(answers.refused["a"].len(), MAX_REASON);
        let never = MetricsTaken {
            version: version + 1,
            refused: Vec::new(),
        };
        assert_eq!(answers.take(never, &pushes.current()), None);
    }
}
