//! Shows the log to one plugin instance, in order: rows that match, in calls of many; ticks in between where event time passes them.

use std::collections::BTreeSet;

use streamflow_model::{Completeness, Rule, Signal};
use streamflow_plugin_host::{MAX_ROWS, RuleAlert, RuleError, RulePlugin, RuleRun, Said, ShadowRun};
use streamflow_proto::filter::{Columns, Filter};
use streamflow_storage::store::{LogBatch, RowSpan};

use super::{
    ledger::{Standing, TooMany},
    mark::Mark,
    order::Order,
};
use crate::{Options, engine::Heard};

/// A plugin at work for a rule. Everything in it is rebuilt from a mark after a fault.
pub(super) struct Worker {
    pub(super) rule: Rule,
    pub(super) options: Options,
    pub(super) filter: Filter,
    pub(super) plugin: RulePlugin,
    pub(super) run: RuleRun,
    pub(super) mark: Mark,
    /// Batches of the log that were part of a call that failed: shown one by one, so that only the one that it fails on is passed over.
    pub(super) suspects: BTreeSet<u64>,
    /// Batches of the log that are passed over.
    pub(super) skip: BTreeSet<u64>,
    /// Another version of the plugin, which is shown the same and never waited for.
    pub(super) shadow: Option<ShadowRun>,
}

/// What came of a part of the log.
#[derive(Debug, Default)]
pub(super) struct Brought {
    pub(super) signals: Vec<Signal>,
    pub(super) events: u64,
    /// Batches of the log that were passed over, with their events.
    pub(super) skipped: Vec<(u64, u64)>,
    pub(super) refused: u64,
    pub(super) unreadable: u64,
}

/// Why a part of the log could not be shown to its end. What it brought so far does not count: it is shown again.
#[derive(Debug)]
pub(super) enum Stop {
    /// The plugin does not run.
    Unavailable(String),
    /// A call with these batches of the log failed.
    Fault { positions: Vec<u64>, reason: String },
}

/// Rows that wait for their call.
#[derive(Default)]
struct Pending {
    rows: Vec<u32>,
    spans: Vec<Shown>,
}

/// A span with the place of its rows.
struct Shown {
    span: RowSpan,
    order: Order,
}

impl Worker {
    /// Shows a part of the log.
    pub(super) async fn part(&mut self, batches: &[LogBatch]) -> Result<Brought, Stop> {
        let mut out = Brought::default();
        for batch in batches {
            self.batch(batch, &mut out).await?;
        }
        Ok(out)
    }

    /// Lets time pass without a batch. Every batch that was stored before these heartbeats has been shown.
    pub(super) async fn time(&mut self, now: i64, heard: &[Heard]) -> Result<Brought, Stop> {
        let mut out = Brought::default();
        for one in heard {
            self.mark.agents.hear(one, &self.options);
        }
        self.mark.agents.advance(now, &self.options);
        self.mark.order.time(now);
        self.tick(now, &mut out).await?;
        Ok(out)
    }

    async fn batch(&mut self, log: &LogBatch, out: &mut Brought) -> Result<(), Stop> {
        let mut columns = Columns::new(&log.batch);
        let prepared = columns
            .timestamps()
            .and_then(|times| Ok((times, self.filter.eval_columns(&mut columns)?)));
        let Ok((times, matches)) = prepared else {
            out.unreadable += 1;
            self.mark.position = log
                .spans
                .iter()
                .map(|span| span.position)
                .max()
                .unwrap_or(0)
                .max(self.mark.position);
            return Ok(());
        };
        let mut pending = Pending::default();
        for span in &log.spans {
            if span.position <= self.mark.position {
                continue;
            }
            self.mark.agents.advance(span.stored_at, &self.options);
            if self.tick_due().is_some() {
                self.flush(&mut columns, &times, &mut pending, out).await?;
                self.tick(span.stored_at, out).await?;
            }
            let alone = self.suspects.contains(&span.position);
            if alone {
                self.flush(&mut columns, &times, &mut pending, out).await?;
            }
            self.mark.order.batch(span.position, span.stored_at);
            let all = span.start as usize..(span.end as usize).min(times.len());
            let limit = span.stored_at.saturating_add(self.options.max_future.ms());
            if self.skip.contains(&span.position) {
                let count = all.clone().filter(|row| matches.get(*row)).count() as u64;
                out.skipped.push((span.position, count));
            } else if span.stored_at >= self.mark.since {
                let counted = all.clone().filter(|row| matches.get(*row) && times[*row] <= limit);
                pending.rows.extend(counted.filter_map(|row| u32::try_from(row).ok()));
            }
            out.events += all.len() as u64;
            pending.spans.push(Shown {
                span: span.clone(),
                order: self.mark.order,
            });
            if let Some(newest) = all.map(|row| times[row]).filter(|at| *at <= limit).max() {
                self.mark
                    .agents
                    .report(&span.agent, newest, span.stored_at, &self.options);
            }
            if alone || pending.rows.len() >= MAX_ROWS {
                self.flush(&mut columns, &times, &mut pending, out).await?;
            }
        }
        self.flush(&mut columns, &times, &mut pending, out).await?;
        if let Some(last) = log.spans.last() {
            self.mark.agents.advance(last.stored_at, &self.options);
            self.tick(last.stored_at, out).await?;
        }
        Ok(())
    }

    async fn flush(
        &mut self,
        columns: &mut Columns<'_>,
        times: &[i64],
        pending: &mut Pending,
        out: &mut Brought,
    ) -> Result<(), Stop> {
        let Pending { rows, spans } = std::mem::take(pending);
        let Some(last) = spans.last() else { return Ok(()) };
        let position = last.span.position;
        if !rows.is_empty() {
            match self.plugin.project(columns, &rows) {
                Err(error) => {
                    tracing::warn!(rule = self.rule.draft.name, position, %error, "a batch cannot be read for a rule");
                    out.unreadable += 1;
                }
                Ok(parts) => {
                    let mut found: Vec<(Standing, RuleAlert)> = Vec::new();
                    let (mut said, spent) = (Vec::new(), self.run.spent());
                    for part in parts {
                        let answer = self.run.on_events(&part).await;
                        let alerts = self.answer(answer, || spans.iter().map(|shown| shown.span.position).collect())?;
                        if self.shadow.is_some() {
                            said.extend(alerts.iter().cloned());
                        }
                        let newest = part.rows().last().copied();
                        let placed = alerts.into_iter().filter_map(|alert| {
                            let row = alert.row.or(newest)? as usize;
                            Some((self.standing(&spans, row, times)?, alert))
                        });
                        found.extend(placed);
                    }
                    if let Some(shadow) = &self.shadow {
                        let spent = self.run.spent().saturating_sub(spent);
                        shadow.events(columns, &rows, position, last.span.stored_at, || Said {
                            alerts: said,
                            spent,
                        });
                    }
                    // In the order of the log, whatever order the plugin answered in; of one place and key the last word counts, because it comes last.
                    found.sort_by_key(|(standing, _)| standing.place);
                    for (standing, alert) in found {
                        self.take(alert, &standing, out);
                    }
                }
            }
        }
        self.mark.position = position;
        Ok(())
    }

    /// Where an alert about this row stands.
    fn standing(&self, spans: &[Shown], row: usize, times: &[i64]) -> Option<Standing> {
        let of = |shown: &&Shown| (shown.span.start as usize..shown.span.end as usize).contains(&row);
        let shown = spans.iter().find(of)?;
        Some(Standing {
            place: shown.order.row(row - shown.span.start as usize),
            event_time: *times.get(row)?,
            watermark: self.mark.agents.watermark(),
            stored_at: shown.span.stored_at,
            completeness: self.complete(),
        })
    }

    /// What a plugin says about events rests on these events: they are there.
    fn complete(&self) -> Completeness {
        let mut completeness = self.mark.agents.completeness(i64::MIN).0;
        completeness.complete = true;
        completeness
    }

    fn take(&mut self, alert: RuleAlert, standing: &Standing, out: &mut Brought) {
        let most = self.options.max_groups as usize;
        match self.mark.ledger.take(&self.rule, alert, standing, most) {
            Ok(signal) => out.signals.extend(signal),
            Err(TooMany) => out.refused += 1,
        }
    }

    /// The time of which the plugin has to hear, if there is one.
    fn tick_due(&self) -> Option<i64> {
        let every = self.plugin.tick_ms()?;
        let watermark = self.mark.agents.watermark();
        if watermark == i64::MIN {
            return None;
        }
        let due = watermark.div_euclid(every).saturating_mul(every);
        (due > self.mark.ticked).then_some(due)
    }

    /// Lets the plugin hear of time when it is due, and ends incidents that waited for silent hosts.
    async fn tick(&mut self, stored_at: i64, out: &mut Brought) -> Result<(), Stop> {
        let at = |agents: &crate::engine::agents::Agents, order: Order, time: i64| Standing {
            place: order.end(),
            event_time: time,
            watermark: agents.watermark(),
            stored_at,
            completeness: agents.completeness(time).0,
        };
        let (mut said, mut ticked, spent) = (Vec::new(), None, self.run.spent());
        if let Some(due) = self.tick_due() {
            let answer = self.run.on_tick(due).await;
            let alerts = self.answer(answer, Vec::new)?;
            self.mark.ticked = due;
            ticked = Some(due);
            if self.shadow.is_some() {
                said.clone_from(&alerts);
            }
            let standing = at(&self.mark.agents, self.mark.order, due);
            for alert in alerts {
                self.take(alert, &standing, out);
            }
        }
        if let Some(shadow) = &self.shadow {
            let spent = self.run.spent().saturating_sub(spent);
            shadow.time(self.mark.agents.watermark(), ticked, || Said { alerts: said, spent });
        }
        if self.mark.ledger.waits() {
            let (agents, order) = (&self.mark.agents, self.mark.order);
            out.signals
                .extend(self.mark.ledger.settle(&self.rule, |time| at(agents, order, time)));
        }
        Ok(())
    }

    fn answer(
        &self,
        answer: Result<Vec<RuleAlert>, RuleError>,
        positions: impl FnOnce() -> Vec<u64>,
    ) -> Result<Vec<RuleAlert>, Stop> {
        match answer {
            Ok(alerts) => Ok(alerts),
            // It has said so itself, and it was counted and logged; what it saw is behind it.
            Err(RuleError::Failed(_)) => Ok(Vec::new()),
            Err(RuleError::Unavailable(reason)) => Err(Stop::Unavailable(reason)),
            Err(RuleError::Fault(reason) | RuleError::Refused(reason)) => Err(Stop::Fault {
                positions: positions(),
                reason,
            }),
        }
    }

    /// The mark with the plugin's state of now.
    pub(super) async fn save(&mut self) -> Result<Mark, Stop> {
        match self.run.save().await {
            Ok(state) => {
                self.mark.guest = Some(state);
                Ok(self.mark.clone())
            }
            Err(RuleError::Unavailable(reason)) => Err(Stop::Unavailable(reason)),
            Err(error) => Err(Stop::Fault {
                positions: Vec::new(),
                reason: error.to_string(),
            }),
        }
    }
}
