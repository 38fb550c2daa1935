//! The past again, in the order of event time.

use std::{ops::ControlFlow, sync::Arc};

use futures_util::{StreamExt, stream};
use streamflow_bus::Drills;
use streamflow_proto::{batch::DecodeError, filter::Filter, metric};

use super::{
    part::{Keep, Part, Stored},
    read::{Reader, blocking},
};
use crate::{
    StoreError,
    selection::Selection,
    store::{EventQuery, LogBatch, Replay, ReplayPart, Replayed, RowSpan},
};

/// Parts that are read while one is worked on.
const AHEAD: usize = 3;

/// A part, how the replay goes on after it, and its contents when it was opened.
struct Loaded {
    part: Part,
    floor: i64,
    done: u64,
    contents: Contents,
}

enum Contents {
    Stored(Arc<Stored>),
    /// It certainly holds no match.
    Skipped,
    /// It has expired meanwhile.
    Gone,
    Damaged,
}

impl Reader {
    /// Shows the parts with events in `[from, to)`, the one that begins earliest first, without the events of fire drills.
    pub async fn replay(
        &self,
        from: i64,
        to: i64,
        filter: Option<Arc<Filter>>,
        drills: &Drills,
        mut visit: Replay,
    ) -> Result<Replayed, StoreError> {
        let query = EventQuery {
            from: Some(from),
            to: Some(to),
            filter,
            ..EventQuery::default()
        };
        let selection = Arc::new(Selection::new(&query)?);
        let mut parts = self.parts.list(Some(from), Some(to)).await?;
        parts.sort_unstable_by_key(|part| (part.min_ts, part.last));
        let total: u64 = parts.iter().map(|part| part.events).sum();
        let floors: Vec<i64> = parts.iter().skip(1).map(|part| part.min_ts).collect();
        let mut done = 0;
        let plan = parts.into_iter().zip(floors.into_iter().chain([i64::MAX]));
        let mut loads = stream::iter(plan)
            .map(|(part, floor)| {
                done += part.events;
                load(self.clone(), part, floor, done, Arc::clone(&selection))
            })
            .buffered(AHEAD);
        let mut replayed = Replayed::default();
        while let Some(loaded) = loads.next().await {
            let Loaded {
                part,
                floor,
                done,
                contents,
            } = loaded?;
            let stored = match contents {
                Contents::Stored(stored) => stored,
                Contents::Skipped => {
                    replayed.skipped += 1;
                    continue;
                }
                Contents::Gone => continue,
                Contents::Damaged => {
                    replayed.unreadable += 1;
                    continue;
                }
            };
            replayed.scanned.add(&part, &stored);
            let drills = drills.clone();
            let work = move || {
                let Some(mut log) = own_rows(&part, &stored) else {
                    return Ok((visit, None));
                };
                log.pass_over_drills(&drills);
                let flow = visit(&ReplayPart {
                    log,
                    floor,
                    done,
                    total,
                });
                Ok((visit, Some(flow)))
            };
            let flow;
            (visit, flow) = blocking(work).await?;
            match flow {
                Some(ControlFlow::Break(())) => break,
                Some(ControlFlow::Continue(())) => {}
                None => replayed.unreadable += 1,
            }
        }
        Ok(replayed)
    }
}

async fn load(
    reader: Reader,
    part: Part,
    floor: i64,
    done: u64,
    selection: Arc<Selection>,
) -> Result<Loaded, StoreError> {
    let contents = if reader.may_match(&part, &selection).await? {
        match reader.parts.load(&part, Keep::No).await {
            Ok(Some(stored)) => Contents::Stored(stored),
            Ok(None) => Contents::Gone,
            Err(StoreError::Corrupt { position, source }) => {
                damaged(position, &source);
                Contents::Damaged
            }
            Err(error) => return Err(error),
        }
    } else {
        Contents::Skipped
    };
    Ok(Loaded {
        part,
        floor,
        done,
        contents,
    })
}

/// The rows of a part, which may have been merged with others since it was listed; `None` when they do not decode.
fn own_rows(part: &Part, stored: &Stored) -> Option<LogBatch> {
    let batch = stored.batch().map_err(|source| damaged(part.last, &source)).ok()?;
    let carriers = metric::carriers(&batch)
        .map_err(|source| damaged(part.last, &source))
        .ok()?;
    let own = |span: &&RowSpan| (part.first..=part.last).contains(&span.position);
    let events = |span: &RowSpan| RowSpan {
        end: carriers.as_ref().map_or(span.end, |carriers| span.events_end(carriers)),
        ..span.clone()
    };
    let spans = stored.frames.spans().iter().filter(own).map(events).collect();
    Some(LogBatch { batch, spans })
}

fn damaged(position: u64, error: &DecodeError) {
    tracing::error!(position, %error, "a stored batch does not decode and is passed over");
}
