//! `/api/v1/paging/backtest`: what the alerts of many rules together would have meant for those who are told.

use std::{
    collections::{BTreeMap, HashMap},
    ops::ControlFlow,
    sync::{Arc, Mutex, PoisonError},
    time::Instant as Clock,
};

use axum::{body::Bytes, extract::State, http::HeaderMap, response::Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use streamflow_alerting::{Paging, PagingReport};
use streamflow_analytics::backtest::{BacktestError, Step, Verdict};
use streamflow_model::{Instant, Role, Rule, Signal, Span};
use streamflow_plugin_host::RulePlugin;
use streamflow_storage::Scanned;
use streamflow_web::{ApiError, ApiResult, Identity, parse_json};

use super::{
    Past,
    backtest::{Asked, PagingAsked, Progress},
    routes::{DEFAULT_RANGE_MS, plugin_of, refused, watched},
    trial::{Trial, unended},
    watch::{Place, Run},
};

/// Changes of verdicts that are kept at once: some hundred bytes each.
const MOST_CHANGES: usize = 200_000;

/// Over which range, and which rules.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = PagingBacktestRange)]
pub(super) struct Body {
    /// Event time from, inclusive; a day before `to` when absent.
    from: Option<Instant>,
    /// Event time to, exclusive; now when absent.
    to: Option<Instant>,
    /// Ids of rules; all that are enabled when empty.
    rules: Vec<String>,
    /// Suppose that somebody acknowledges each alert so long after it was told of; nobody does when absent.
    acknowledge_after: Option<Span>,
}

/// The answer.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = PagingBacktestReport)]
pub(super) struct Report {
    /// Who would have been told, and what was held back.
    paging: PagingReport,
    /// Names of the rules that ran.
    rules: Vec<String>,
    /// Windows that end after this and up to `to` were judged.
    from: Instant,
    /// End of the range.
    to: Instant,
    /// What had to be read.
    scanned: Scanned,
    /// How long it took.
    took_ms: u64,
    /// What makes the answer less than it seems.
    notes: Vec<String>,
}

/// Says what the alerts of all enabled rules would have meant for those who are told
///
/// Runs the rules over stored events, and their alerts together through grouping, inhibition, silences, maintenance windows, active hours, routes, escalation and
/// on-call schedules as they are now: who would have been told how often and when, and what each gate held back. Nobody is told.
/// With `Accept: application/x-ndjson` the answer is lines: `{"type":"progress",…}` now and then, last `{"type":"result",…}` with the fields below.
#[utoipa::path(post, path = "/api/v1/paging/backtest", tag = "rules", request_body = Body,
    responses((status = 200, body = Report), (status = 400, description = "The range is wrong, or there is too much in it."),
        (status = 429, description = "As many backtests run as may.")))]
pub(super) async fn backtest_paging(
    State(past): State<Past>,
    identity: Identity,
    headers: HeaderMap,
    body: Bytes,
) -> ApiResult<Response> {
    identity.require(Role::Viewer)?;
    let body: Body = if body.is_empty() {
        Body::default()
    } else {
        parse_json(&body)?
    };
    let to = body.to.unwrap_or_else(Instant::now);
    let from = body.from.unwrap_or(Instant(to.0.saturating_sub(DEFAULT_RANGE_MS)));
    if from >= to {
        return Err(refused(BacktestError::Range));
    }
    let all = past.alerting.rules();
    if let Some((nth, id)) = body
        .rules
        .iter()
        .enumerate()
        .find(|(_, id)| !all.iter().any(|rule| rule.id == **id))
    {
        let field = format!("rules[{nth}]");
        return Err(ApiError::validation(format!("there is no rule {id}")).with_details(json!({"field": field})));
    }
    let wanted = |rule: &&Rule| {
        let named = body.rules.contains(&rule.id);
        !rule.is_builtin()
            && if body.rules.is_empty() {
                rule.draft.enabled
            } else {
                named
            }
    };
    let (mut rules, mut notes) = (Vec::new(), Vec::new());
    for rule in all.iter().filter(wanted) {
        match plugin_of(&past, rule, None).await {
            Ok(plugin) => rules.push((rule.clone(), plugin)),
            Err(error) => notes.push(left_out(rule, &error.to_string())),
        }
    }
    let paging = PagingAsked {
        setup: past.alerting.paging().await?,
        acknowledge_after: body.acknowledge_after,
    };
    let place = Place::take(&past)?;
    let run = Together {
        rules,
        from,
        to,
        paging,
        notes,
    };
    watched(&past, &headers, place, run).await
}

fn left_out(rule: &Rule, reason: &str) -> String {
    format!("rule `{}` was left out: {reason}", rule.draft.name)
}

/// Rules whose alerts are rehearsed together.
struct Together {
    rules: Vec<(Rule, Option<RulePlugin>)>,
    from: Instant,
    to: Instant,
    paging: PagingAsked,
    notes: Vec<String>,
}

impl Run for Together {
    type Report = Report;

    fn begin(&self) -> Instant {
        self.from
    }

    async fn run(
        self,
        past: &Past,
        on_progress: impl FnMut(Progress) -> ControlFlow<()> + Send + 'static,
    ) -> ApiResult<(Report, Scanned)> {
        let started = Clock::now();
        let Self {
            rules,
            from,
            to,
            paging,
            mut notes,
        } = self;
        let count = rules.len().max(1);
        let shared = Arc::new(Mutex::new((Changes::default(), on_progress)));
        let mut scanned = Scanned::default();
        let (mut tried, mut begin, mut end) = (Vec::new(), from.0, to.0.min(Instant::now().0));
        let mut first_unended: Option<Instant> = None;
        for (nth, (rule, plugin)) in rules.into_iter().enumerate() {
            let asked = Asked { rule, from, to, plugin };
            let trial = match Trial::new(past.options.analytics, &asked, Instant::now().0).await {
                Ok(trial) => trial,
                Err(error) => {
                    notes.push(left_out(&asked.rule, &error.to_string()));
                    continue;
                }
            };
            begin = begin.min(trial.reads().0);
            let visitor = Arc::clone(&shared);
            let before = scanned.events;
            let ran = trial.run(past.store.as_ref(), move |step: Step| {
                let mut guard = visitor.lock().unwrap_or_else(PoisonError::into_inner);
                let (changes, on_progress) = &mut *guard;
                changes.take(&step);
                if changes.full() {
                    return ControlFlow::Break(());
                }
                on_progress(Progress {
                    progress: share(nth, step.progress, count),
                    until: Instant(step.until),
                    events: before + changes.events,
                })
            });
            let ran = ran.await.map_err(refused)?;
            end = end.max(ran.until);
            // One note for all rules: each began a moment after the one before.
            first_unended = first_unended.into_iter().chain(ran.unended).min();
            add(&mut scanned, ran.totals.scanned);
            let rule = asked.rule;
            notes.extend(ran.notes.iter().map(|note| format!("{}: {note}", rule.draft.name)));
            let full = {
                let mut guard = shared.lock().unwrap_or_else(PoisonError::into_inner);
                guard.0.next_rule();
                guard.0.full()
            };
            if full {
                let reason = format!(
                    "there are more than {MOST_CHANGES} changes of verdicts in this range; choose a shorter one, or fewer rules"
                );
                return Err(ApiError::validation(reason).with_details(json!({"field": "from"})));
            }
            tried.push(rule);
        }
        let verdicts = {
            let mut guard = shared.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut guard.0.verdicts)
        };
        let names = tried.iter().map(|rule| rule.draft.name.clone()).collect();
        let options = past.options.alerting.clone();
        let work = move || rehearse(paging, &tried, &options, verdicts, begin, end);
        let paging = tokio::task::spawn_blocking(work).await.map_err(ApiError::internal)?;
        notes.extend(first_unended.map(unended));
        let oldest = past.store.stats().await.map_err(ApiError::internal)?.oldest;
        if let Some(oldest) = oldest.filter(|oldest| *oldest > from.0) {
            notes.push(format!("nothing older than {} is stored", Instant(oldest)));
        }
        let report = Report {
            paging,
            rules: names,
            from,
            to: Instant(end),
            scanned,
            took_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            notes,
        };
        Ok((report, scanned))
    }
}

fn rehearse(
    paging: PagingAsked,
    rules: &[Rule],
    options: &streamflow_alerting::Options,
    mut verdicts: Vec<Verdict>,
    begin: i64,
    end: i64,
) -> PagingReport {
    // Stable: verdicts of one rule stay in their order.
    verdicts.sort_by_key(|verdict| verdict.at);
    let PagingAsked {
        setup,
        acknowledge_after,
    } = paging;
    let mut paging = Paging::new(setup, rules, options, acknowledge_after, begin);
    for verdict in &verdicts {
        paging.verdicts(std::slice::from_ref(&verdict.signal), verdict.at);
    }
    paging.finish(end)
}

/// What an alert makes of a verdict, apart from its value: whether the condition holds, whether it no longer does, whether the
/// data is complete.
type Kind = (bool, bool, bool);

/// Verdicts that say something else than the one before of their group. Others would move the value of an alert, and nothing
/// besides.
#[derive(Default)]
struct Changes {
    verdicts: Vec<Verdict>,
    last: HashMap<BTreeMap<String, String>, Kind>,
    events: u64,
}

impl Changes {
    fn take(&mut self, step: &Step) {
        self.events += step.events;
        for verdict in &step.verdicts {
            let kind = kind(&verdict.signal);
            match self.last.get_mut(&verdict.signal.labels) {
                Some(last) if *last == kind => continue,
                Some(last) => *last = kind,
                None => drop(self.last.insert(verdict.signal.labels.clone(), kind)),
            }
            if self.verdicts.len() <= MOST_CHANGES {
                self.verdicts.push(verdict.clone());
            }
        }
    }

    const fn full(&self) -> bool {
        self.verdicts.len() > MOST_CHANGES
    }

    fn next_rule(&mut self) {
        self.last.clear();
        self.events = 0;
    }
}

const fn kind(signal: &Signal) -> Kind {
    let over = !signal.met && (signal.value.is_none() || !signal.running);
    (signal.met, over, signal.completeness.complete)
}

#[expect(clippy::cast_precision_loss, reason = "a share for people")]
fn share(done: usize, progress: f64, all: usize) -> f64 {
    (done as f64 + progress) / all as f64
}

const fn add(sum: &mut Scanned, more: Scanned) {
    sum.chunks += more.chunks;
    sum.events += more.events;
    sum.bytes += more.bytes;
}

#[cfg(test)]
mod tests {
    use streamflow_model::Completeness;

    use super::*;

    fn verdict(at: i64, source: &str, met: bool, running: bool) -> Verdict {
        let signal = Signal {
            rule_id: "r".to_owned(),
            rule_version: 1,
            labels: BTreeMap::from([("source".to_owned(), source.to_owned())]),
            value: Some(1.0),
            met,
            running,
            window_start: at,
            window_end: at + 1,
            revision: 0,
            watermark: at,
            completeness: Completeness {
                complete: true,
                ..Completeness::default()
            },
            top: Vec::new(),
            stored_at: at,
            account: None,
        };
        Verdict { at, signal }
    }

    #[test]
    fn only_what_changes_something_is_kept() {
        let mut changes = Changes::default();
        let verdicts = vec![
            verdict(1, "a", true, true),
            verdict(2, "a", true, false),
            verdict(3, "b", true, false),
            verdict(4, "a", false, true),
            verdict(5, "a", false, false),
            verdict(6, "a", false, false),
            verdict(7, "a", true, false),
        ];
        changes.take(&Step {
            verdicts,
            events: 3,
            ..Step::default()
        });
        let kept: Vec<i64> = changes.verdicts.iter().map(|verdict| verdict.at).collect();
        assert_eq!(kept, [1, 3, 4, 5, 7]);
        assert_eq!(changes.events, 3);
        changes.next_rule();
        changes.take(&Step {
            verdicts: vec![verdict(8, "a", true, false)],
            ..Step::default()
        });
        assert_eq!(changes.verdicts.len(), 6, "another rule's groups are others");
    }
}
