//! Queries over the log. Work on columns runs on blocking threads, a few scans at a time, so that readers of documents never wait for them.

use std::{ops::ControlFlow, sync::Arc};

use futures_util::TryStreamExt as _;
use streamflow_proto::{
    batch::DecodeError,
    bitmap::Bitmap,
    chunk::Bloom,
    event::Event,
    filter::{EvalError, Filter},
};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::part::{Keep, Part, PartReader, Stored, Which};
use crate::{
    StoreError,
    cursor::Key,
    page::Page,
    selection::Selection,
    store::{EventPage, EventQuery, LogBatch, Order, RowSpan, Scanned, Visit},
};

/// Scans at a time.
const SCANS: usize = 3;
/// Events of a frame, as senders make them.
const FRAME_EVENTS: u64 = 1000;
/// The largest page.
pub const MAX_LIMIT: usize = 10_000;

/// Answers queries.
#[derive(Debug, Clone)]
pub struct Reader {
    /// Where the parts are.
    pub parts: PartReader,
    scans: Arc<Semaphore>,
}

impl Reader {
    /// Reads through these connections and this cache.
    pub fn new(parts: PartReader) -> Self {
        Self {
            parts,
            scans: Arc::new(Semaphore::new(SCANS)),
        }
    }

    /// One page of events.
    pub async fn query(&self, query: EventQuery) -> Result<EventPage, StoreError> {
        if query.limit == 0 || query.limit > MAX_LIMIT {
            return Err(StoreError::BadRequest(format!(
                "limit is {}, allowed is 1 to {MAX_LIMIT}",
                query.limit
            )));
        }
        let order = query.order;
        let after = query
            .cursor
            .as_deref()
            .map(|cursor| Key::from_cursor(cursor, order))
            .transpose()?;
        let selection = Arc::new(Selection::new(&query)?);
        let _permit = self.permit().await?;
        let mut parts = self.parts.list(query.from, query.to).await?;
        match order {
            Order::Desc => parts.sort_unstable_by_key(|part| std::cmp::Reverse((part.max_ts, part.last))),
            Order::Asc => parts.sort_unstable_by_key(|part| (part.min_ts, part.last)),
        }
        let mut page = Page::new(order, after, query.limit);
        for part in parts {
            if page.is_complete(part.min_ts, part.max_ts) {
                break;
            }
            if !page.reaches(part.min_ts, part.max_ts) || !self.may_match(&part, &selection).await? {
                continue;
            }
            let Some(stored) = self.parts.load(&part, Keep::Yes).await? else {
                continue;
            };
            let selection = selection.clone();
            page = blocking(move || {
                page.scanned.add(&part, &stored);
                let Some(batch) = readable(&part, stored.batch())? else {
                    return Ok(page);
                };
                let rows = stored.frames.rows(part.first, part.last);
                let taken = page.take(&batch, &stored.frames, rows, &selection);
                evaluated(&part, taken)?;
                Ok(page)
            })
            .await?;
        }
        Ok(page.finish())
    }

    /// Shows every batch that may match, in log order.
    pub async fn scan(
        &self,
        from: Option<i64>,
        to: Option<i64>,
        filter: Option<Arc<Filter>>,
        mut visit: Visit,
    ) -> Result<Scanned, StoreError> {
        let query = EventQuery {
            from,
            to,
            filter,
            ..EventQuery::default()
        };
        let selection = Arc::new(Selection::new(&query)?);
        let _permit = self.permit().await?;
        let mut scanned = Scanned::default();
        let mut parts = self.parts.list(from, to).await?;
        parts.sort_unstable_by_key(|part| part.last);
        for part in parts {
            if !self.may_match(&part, &selection).await? {
                continue;
            }
            let Some(stored) = self.parts.load(&part, Keep::No).await? else {
                continue;
            };
            scanned.add(&part, &stored);
            let selection = selection.clone();
            let flow;
            (visit, flow) = blocking(move || {
                let Some(batch) = readable(&part, stored.batch())? else {
                    return Ok((visit, ControlFlow::Continue(())));
                };
                let Some(mut rows) = evaluated(&part, selection.rows(&batch))? else {
                    return Ok((visit, ControlFlow::Continue(())));
                };
                let own = stored.frames.rows(part.first, part.last);
                if own.len() < batch.len() {
                    rows = rows.and(&Bitmap::from_fn(batch.len(), |row| own.contains(&(row as u32))));
                }
                let flow = if rows.is_empty() {
                    ControlFlow::Continue(())
                } else {
                    visit(&batch, &rows)
                };
                Ok((visit, flow))
            })
            .await?;
            if flow.is_break() {
                break;
            }
        }
        Ok(scanned)
    }

    /// The log after a place.
    pub async fn read_log(&self, position: u64, max_events: usize) -> Result<Vec<LogBatch>, StoreError> {
        let mut batches = Vec::new();
        let (mut position, mut events) = (position, 0);
        while events < max_events.max(1) {
            let parts = self.parts.list_after(position, 64).await?;
            if parts.is_empty() {
                break;
            }
            for part in parts {
                if part.last <= position {
                    continue;
                }
                if events >= max_events.max(1) {
                    break;
                }
                let Some(stored) = self.parts.load(&part, Keep::No).await? else {
                    position = part.last;
                    continue;
                };
                let spans: Vec<RowSpan> = stored.frames.after(position).to_vec();
                position = spans.last().map_or(part.last, |span| span.position.max(part.last));
                let batch = blocking(move || readable(&part, stored.batch())).await?;
                if let Some(batch) = batch {
                    events += spans.iter().map(|span| (span.end - span.start) as usize).sum::<usize>();
                    batches.push(LogBatch { batch, spans });
                }
            }
        }
        Ok(batches)
    }

    /// One event. Newest first, since that is what people ask for.
    pub async fn event(&self, id: Uuid) -> Result<Option<Event>, StoreError> {
        let mut parts: Vec<Part> = sqlx::query_as(
            "SELECT id last, first, n events, min_ts, max_ts, 1 merged FROM chunk WHERE max_id >= ?1 AND min_id <= ?1
             UNION ALL SELECT id, id, n, min_ts, max_ts, 0 FROM inbox",
        )
        .bind(&id.as_bytes()[..])
        .fetch_all(&self.parts.pool)
        .await?;
        parts.sort_unstable_by_key(|part| std::cmp::Reverse(part.last));
        for part in parts {
            if part.merged && !Bloom::new(&self.parts.bloom(&part, Which::Ids).await?).contains_id(id) {
                continue;
            }
            let Some(stored) = self.parts.load(&part, Keep::Yes).await? else {
                continue;
            };
            let found = blocking(move || {
                let Some(batch) = readable(&part, stored.batch())? else {
                    return Ok(None);
                };
                let Some(ids) = readable(&part, batch.ids())? else {
                    return Ok(None);
                };
                let Some(row) = ids.iter().position(|have| *have == id) else {
                    return Ok(None);
                };
                readable(&part, batch.event(row))
            })
            .await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Ids that one agent had stored since a time, with that time.
    pub async fn recent_ids(&self, agent: &str, since: i64) -> Result<Vec<(Uuid, i64)>, StoreError> {
        let mut parts: Vec<Part> = sqlx::query_as(
            "SELECT id last, first, n events, min_ts, max_ts, 1 merged FROM chunk WHERE stored_at >= ?1
             UNION ALL SELECT id, id, n, min_ts, max_ts, 0 FROM inbox WHERE stored_at >= ?1 AND agent = ?2",
        )
        .bind(since)
        .bind(agent)
        .fetch_all(&self.parts.pool)
        .await?;
        parts.sort_unstable_by_key(|part| part.last);
        let agent: Arc<str> = agent.into();
        let mut ids = Vec::new();
        for part in parts {
            match self.ids_of(part, &agent, since).await {
                Ok(more) => ids.extend(more),
                // A hub must start all the same: some ids less are a smaller harm than no hub.
                Err(StoreError::Corrupt { position, source }) => {
                    tracing::error!(position, error = %source, "a stored batch does not decode, its ids are not known");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(ids)
    }

    /// The place before the newest frames. Walks over the parts from the end, without their contents.
    pub async fn place_before(&self, frames: u64) -> Result<u64, StoreError> {
        let mut parts = sqlx::query_as::<_, (i64, i64, i64)>(
            "SELECT id, first, n FROM chunk UNION ALL SELECT id, id, n FROM inbox ORDER BY 1 DESC",
        )
        .fetch(&self.parts.pool);
        let mut left = frames;
        while let Some((last, first, events)) = parts.try_next().await? {
            let (last, events) = (last.cast_unsigned(), events.cast_unsigned());
            let places = last + 1 - first.cast_unsigned();
            let counted = places.max(events.div_ceil(FRAME_EVENTS));
            if counted >= left {
                return Ok(last - left.min(places));
            }
            left -= counted;
        }
        Ok(0)
    }

    async fn ids_of(&self, part: Part, agent: &Arc<str>, since: i64) -> Result<Vec<(Uuid, i64)>, StoreError> {
        let Some(stored) = self.parts.load(&part, Keep::No).await? else {
            return Ok(Vec::new());
        };
        let agent = agent.clone();
        blocking(move || {
            let wanted = |span: &&RowSpan| {
                span.agent == agent && span.stored_at >= since && (part.first..=part.last).contains(&span.position)
            };
            let spans: Vec<&RowSpan> = stored.frames.spans().iter().filter(wanted).collect();
            if spans.is_empty() {
                return Ok(Vec::new());
            }
            let Some(batch) = readable(&part, stored.batch())? else {
                return Ok(Vec::new());
            };
            let Some(all) = readable(&part, batch.ids())? else {
                return Ok(Vec::new());
            };
            let of_span = |span: &RowSpan| {
                let ids = all.get(span.start as usize..span.end as usize).unwrap_or_default();
                ids.iter().map(|id| (*id, span.stored_at)).collect::<Vec<_>>()
            };
            Ok(spans.into_iter().flat_map(of_span).collect())
        })
        .await
    }

    /// Whether a part may hold a wanted row; `false` is certain.
    pub(super) async fn may_match(&self, part: &Part, selection: &Selection) -> Result<bool, StoreError> {
        if !part.merged || !selection.prunes() {
            return Ok(true);
        }
        let bloom = self.parts.bloom(part, Which::Values).await?;
        Ok(selection.may_match(part.min_ts, part.max_ts, &Bloom::new(&bloom)))
    }

    async fn permit(&self) -> Result<tokio::sync::OwnedSemaphorePermit, StoreError> {
        self.scans.clone().acquire_owned().await.map_err(|_| StoreError::Closed)
    }
}

impl Scanned {
    /// Adds a part that was opened.
    pub(super) fn add(&mut self, part: &Part, stored: &Stored) {
        self.chunks += 1;
        self.events += part.events;
        self.bytes += stored.bytes;
    }
}

/// A frame of the inbox that does not decode is passed over: the next merge sets it aside. A chunk that does not decode is an error.
fn readable<T>(part: &Part, batch: Result<T, DecodeError>) -> Result<Option<T>, StoreError> {
    match batch {
        Ok(batch) => Ok(Some(batch)),
        Err(error) if !part.merged => {
            tracing::warn!(position = part.last, %error, "a frame does not decode");
            Ok(None)
        }
        Err(source) => Err(StoreError::Corrupt {
            position: part.last,
            source,
        }),
    }
}

fn evaluated<T>(part: &Part, result: Result<T, EvalError>) -> Result<Option<T>, StoreError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(EvalError::Decode(error)) => readable(part, Err(error)),
        Err(other) => Err(StoreError::BadRequest(other.to_string())),
    }
}

/// Runs work on columns where it holds nobody up.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| StoreError::Closed)?
}
