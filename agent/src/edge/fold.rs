//! One batch and all metrics: what each of them gains, and which events need not be sent. Pure.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use streamflow_proto::batch::{Batch, DecodeError};
use streamflow_proto::bitmap::Bitmap;
use streamflow_proto::metric::{self, Ask, Carrier, Gains, MAX_CARRIED, Sheet};
use streamflow_proto::wire::MetricDefinition;

use super::DeclineReason;
use crate::counters::Counter;

/// A metric at work.
#[derive(Debug)]
pub struct Live {
    pub definition: MetricDefinition,
    pub ask: Ask,
    /// Events counted.
    pub events: Counter,
}

impl Live {
    /// Parses a definition. Whatever is wrong with it is a reason, and never the end of the agent.
    pub fn compile(definition: MetricDefinition) -> Result<Self, String> {
        let compiled = catch_unwind(AssertUnwindSafe(|| definition.compile()));
        let ask = compiled.unwrap_or_else(|_| Err("it makes the parser fail".to_owned()))?;
        Ok(Self {
            definition,
            ask,
            events: Counter::default(),
        })
    }
}

/// What became of a batch.
#[derive(Debug, Default)]
pub struct Folded {
    /// Metrics that count some of its events, with what they gained.
    pub counted: Vec<(Arc<Live>, Vec<Carrier>)>,
    /// Metrics that were left to the hub for this batch, by [`DeclineReason`].
    pub declined: [u64; DeclineReason::ALL.len()],
    /// Metrics that failed.
    pub failed: Vec<Arc<Live>>,
    /// Events that need not be sent. None at all when the hub has to count for some metric.
    pub leave: Option<Bitmap>,
}

/// Counts a batch. `max_groups` bounds the windows and series of one metric; `hub_counts` says that the hub needs the events for some other metric.
pub fn fold(batch: &Batch, live: &[Arc<Live>], max_groups: usize, hub_counts: bool) -> Result<Folded, DecodeError> {
    let mut sheet = Sheet::new(batch)?;
    let all = Bitmap::new(batch.len(), true);
    let mut leave = Bitmap::new(batch.len(), false);
    let mut folded = Folded::default();
    let mut bytes = 0;
    for one in live {
        let counted = catch_unwind(AssertUnwindSafe(|| count(&mut sheet, one, &all, max_groups)));
        match counted {
            Ok(Ok(None)) => {}
            Ok(Ok(Some((rows, carriers)))) => {
                bytes += carriers.iter().map(|carrier| carrier.state.len()).sum::<usize>();
                if bytes > MAX_CARRIED {
                    folded.declined[DeclineReason::Size as usize] += 1;
                    continue;
                }
                if !one.definition.keep_events {
                    leave = leave.or(&rows);
                }
                folded.counted.push((Arc::clone(one), carriers));
            }
            Ok(Err(reason)) => folded.declined[reason as usize] += 1,
            Err(_) => {
                // What it left of the sheet is not used any more.
                sheet = Sheet::new(batch)?;
                folded.declined[DeclineReason::Failed as usize] += 1;
                folded.failed.push(Arc::clone(one));
            }
        }
    }
    let hub_counts = hub_counts || folded.declined.iter().any(|batches| *batches > 0);
    folded.leave = (!hub_counts && !leave.is_empty()).then_some(leave);
    Ok(folded)
}

/// The rows that a metric counts and what they add; none when it counts none.
fn count(
    sheet: &mut Sheet<'_>,
    one: &Live,
    all: &Bitmap,
    max_groups: usize,
) -> Result<Option<(Bitmap, Vec<Carrier>)>, DeclineReason> {
    let failed = |_: DecodeError| DeclineReason::Failed;
    let rows = sheet.matching(&one.ask, all).map_err(failed)?;
    if rows.is_empty() {
        return Ok(None);
    }
    let mut gains = Gains::default();
    sheet.fold(&one.ask, &rows, &mut gains, max_groups).map_err(failed)?;
    if gains.is_capped() {
        return Err(DeclineReason::Groups);
    }
    let carriers = metric::pack(&mut gains, &rows, &sheet.times()).map_err(|_| DeclineReason::Size)?;
    Ok(Some((rows, carriers)))
}
