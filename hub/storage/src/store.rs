//! The store's contract: the log, queries over it, documents and checkpoints. One trait, one test suite, several stores.

use std::{ops::ControlFlow, sync::Arc};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use streamflow_bus::{Drills, LogTail};
use streamflow_proto::{
    batch::Batch,
    bitmap::Bitmap,
    chunk::EncodedChunk,
    event::{Event, Severity},
    filter::Filter,
    frame::Frame,
};
use uuid::Uuid;

use crate::error::StoreError;

/// Who sent a frame. The frame's own header holds the sequence number.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The agent's certificate identity, or `@http` for the hub's own HTTP door.
    pub agent: Arc<str>,
    /// Changes when the sender's spool begins anew; sequences are compared within one epoch only.
    pub epoch: u64,
}

impl Origin {
    /// Whether the sender repeats a frame that was refused, under the same sequence. Agents do; the hub's own doors, whose names begin with `@`,
    /// answer their clients instead and go on with the next sequence.
    #[must_use]
    pub fn repeats(&self) -> bool {
        !self.agent.starts_with('@')
    }
}

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// Durable at this place in the log.
    Stored(u64),
    /// Its sequence was not above the high-water mark: it had been stored before.
    Duplicate,
}

/// Resolves when the frame is durable (or known to be a duplicate). Dropping it does not undo the append.
pub type Receipt = tokio::sync::oneshot::Receiver<Result<Appended, StoreError>>;

/// A run of rows of one batch that one agent sent in one frame.
#[derive(Debug, Clone)]
pub struct RowSpan {
    /// Place of the frame in the log.
    pub position: u64,
    /// Who sent it.
    pub agent: Arc<str>,
    /// When it became durable, wall clock ms.
    pub stored_at: i64,
    /// First row.
    pub start: u32,
    /// One past the last row.
    pub end: u32,
}

/// Names of the hub's own doors begin like this; what comes in there cannot have been counted by an agent.
const OWN_DOOR: char = '@';

impl RowSpan {
    /// Where the events of the frame end and what an agent counted of them for metrics begins: partial windows stand behind the events, and only agents make them. Anything
    /// like that elsewhere is somebody's event.
    #[must_use]
    pub fn events_end(&self, carriers: &Bitmap) -> u32 {
        if self.agent.starts_with(OWN_DOOR) {
            return self.end;
        }
        let mut end = self.end.min(u32::try_from(carriers.len()).unwrap_or(u32::MAX));
        while end > self.start && carriers.get(end as usize - 1) {
            end -= 1;
        }
        end
    }
}

/// Part of the log in order: a frame of the inbox, or a chunk into which frames were merged.
#[derive(Debug, Clone)]
pub struct LogBatch {
    /// Rows of all spans, and in a chunk perhaps rows before the asked position, which no span covers.
    pub batch: Arc<Batch>,
    /// Frames behind it, in log order, only those after the asked position.
    pub spans: Vec<RowSpan>,
}

impl LogBatch {
    /// Leaves out the events of fire drills, of which windows and rules must know nothing. Such an event is alone in its frame, and its mark is one that the hub has
    /// given out: a mark that somebody else has written hides nothing.
    pub fn pass_over_drills(&mut self, drills: &Drills) {
        let alone = |span: &RowSpan| span.end.saturating_sub(span.start) == 1;
        if !self.spans.iter().any(alone) || drills.is_empty() {
            return;
        }
        // A column that does not decode is reported by whoever reads it next.
        let Ok(Some(marks)) = Drills::marks(&self.batch) else {
            return;
        };
        for span in self.spans.iter_mut().filter(|span| alone(span)) {
            if marks.get(span.start as usize).is_some_and(|mark| drills.contains(mark)) {
                span.end = span.start;
            }
        }
    }
}

/// Order of a query's answer, by event time and then by place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Newest first.
    #[default]
    Desc,
    /// Oldest first.
    Asc,
}

/// Which events to read.
#[derive(Debug, Clone, Default)]
pub struct EventQuery {
    /// Event time from, inclusive.
    pub from: Option<i64>,
    /// Event time to, exclusive.
    pub to: Option<i64>,
    /// Any of these types; empty = all.
    pub types: Vec<String>,
    /// Any of these sources; empty = all.
    pub sources: Vec<String>,
    /// Any of these severities; empty = all.
    pub severities: Vec<Severity>,
    /// CEL over the event.
    pub filter: Option<Arc<Filter>>,
    /// Substring of any string attribute, ASCII case-insensitive.
    pub text: Option<String>,
    /// At most this many events.
    pub limit: usize,
    /// Where the previous page ended.
    pub cursor: Option<String>,
    /// Order of the answer.
    pub order: Order,
}

/// What a query had to read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Scanned {
    /// Chunks and inbox frames opened.
    pub chunks: u64,
    /// Events in them.
    pub events: u64,
    /// Stored bytes of them.
    pub bytes: u64,
}

/// One page of events.
#[derive(Debug)]
pub struct EventPage {
    /// The events in the asked order.
    pub events: Vec<Event>,
    /// Present when there is more.
    pub next_cursor: Option<String>,
    /// What had to be read.
    pub scanned: Scanned,
}

/// Sees each batch with the rows that match; breaks to stop early.
pub type Visit = Box<dyn FnMut(&Batch, &Bitmap) -> ControlFlow<()> + Send>;

/// A part of a replay.
#[derive(Debug)]
pub struct ReplayPart {
    /// Its batch; the spans cover the rows that belong to this part.
    pub log: LogBatch,
    /// No later part holds an event before this time; `i64::MAX` with the last one.
    pub floor: i64,
    /// Events in the parts up to this one, with those that were passed over.
    pub done: u64,
    /// Events in all parts.
    pub total: u64,
}

/// Sees each part of a replay, on a thread where it may take its time; breaks to stop early.
pub type Replay = Box<dyn FnMut(&ReplayPart) -> ControlFlow<()> + Send>;

/// What a replay had to read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Replayed {
    /// What was opened.
    pub scanned: Scanned,
    /// Parts that hold events of the range, but certainly none that match.
    pub skipped: u64,
    /// Parts that do not decode.
    pub unreadable: u64,
}

/// A document: rules, channels, alerts, deliveries, users, tokens, agents.
#[derive(Debug, Clone, PartialEq)]
pub struct Doc {
    /// Its collection, for example `rule`.
    pub kind: String,
    /// Unique in the collection.
    pub id: String,
    /// 1 at first, one more with every write.
    pub version: i64,
    /// Contents.
    pub body: Value,
}

/// One change of a document; several commit together or not at all.
#[derive(Debug, Clone)]
pub enum DocOp {
    /// Writes it. `expect` is the version it must have now: `Some(0)` = must not exist, `None` = any.
    Put {
        /// Its collection.
        kind: String,
        /// Unique in the collection.
        id: String,
        /// New contents.
        body: Value,
        /// Version that it must have now.
        expect: Option<i64>,
    },
    /// Writes it, whatever is there; for those who write many at once and may have to try again.
    Write {
        /// Its collection.
        kind: &'static str,
        /// Unique in the collection.
        id: String,
        /// New contents, as JSON.
        text: Arc<str>,
    },
    /// Removes it.
    Delete {
        /// Its collection.
        kind: String,
        /// Unique in the collection.
        id: String,
    },
}

/// One series' aggregate over one window; the store does not look into `body`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollupRow {
    /// Which metric.
    pub metric: Arc<str>,
    /// Values of its labels.
    pub labels: Arc<[String]>,
    /// Length of the window, ms.
    pub resolution: i64,
    /// Begin of the window, ms since 1970.
    pub start: i64,
    /// The aggregate.
    pub body: Vec<u8>,
}

/// Rows that take the place of older ones, and the part of the log that they add.
#[derive(Debug, Clone)]
pub struct RollupWrite {
    /// Name of the checkpoint that holds the place in the log.
    pub checkpoint: String,
    /// The place that must be saved now; `None` = none yet.
    pub after: Option<u64>,
    /// The place that is saved with the rows.
    pub position: u64,
    /// The rows.
    pub rows: Vec<RollupRow>,
}

/// Which windows to read.
#[derive(Debug, Clone)]
pub struct RollupQuery {
    /// Which metric.
    pub metric: Arc<str>,
    /// Length of the windows, ms.
    pub resolution: i64,
    /// First window begins at or after this, ms since 1970.
    pub from: i64,
    /// Last window begins before this.
    pub to: i64,
    /// Most windows of the answer.
    pub limit: usize,
}

/// The windows of one series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollupSeries {
    /// Values of its labels.
    pub labels: Vec<String>,
    /// Begin and aggregate of each window, oldest first.
    pub windows: Vec<(i64, Vec<u8>)>,
}

/// Totals of the store.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StoreStats {
    /// Events stored and not expired.
    pub events: u64,
    /// Of them, events still in the inbox.
    pub inbox_events: u64,
    /// Frames in the inbox.
    pub inbox_frames: u64,
    /// Chunks.
    pub chunks: u64,
    /// Bytes of the database on disk.
    pub bytes: u64,
    /// Oldest event, ms since 1970.
    pub oldest: Option<i64>,
    /// Newest event, ms since 1970.
    pub newest: Option<i64>,
    /// Last position of the log.
    pub position: u64,
}

/// Whether the store takes new frames.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum StoreHealth {
    /// Yes.
    #[default]
    Ready,
    /// Not until there is room on the disk.
    Full,
    /// Never again in this process; the reason.
    Failed(String),
}

/// The log and everything durable.
#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug + 'static {
    /// Queues a frame for the next group commit; waits only for room in the queue. Frames of one origin commit in the order
    /// of these calls. When one is refused, so are those that follow it, until the sender goes back: a later frame would raise the
    /// high-water mark, and the repetition of the refused one would be taken for a duplicate.
    async fn append(&self, origin: Origin, frame: Frame) -> Result<Receipt, StoreError>;

    /// As [`Store::append`], of a batch that is large enough to be a chunk of its own: it takes one place in the log, is stored as it is in the transaction
    /// that makes it durable, and is not merged later.
    async fn append_chunk(&self, _origin: Origin, _seq: u64, _chunk: Arc<EncodedChunk>) -> Result<Receipt, StoreError> {
        Err(StoreError::Unsupported("this store takes frames only".to_owned()))
    }

    /// Highest durable sequence of an origin.
    async fn high_water(&self, origin: &Origin) -> Result<Option<u64>, StoreError>;

    /// Batches that have just become durable.
    fn tail(&self) -> &LogTail;

    /// The log after `position`, oldest first, about `max_events` events.
    async fn read_log(&self, position: u64, max_events: usize) -> Result<Vec<LogBatch>, StoreError>;

    /// Events that match.
    async fn query(&self, query: EventQuery) -> Result<EventPage, StoreError>;

    /// Visits every stored batch that may match, oldest first.
    async fn scan(
        &self,
        from: Option<i64>,
        to: Option<i64>,
        filter: Option<Arc<Filter>>,
        visit: Visit,
    ) -> Result<Scanned, StoreError>;

    /// Replays the events in `[from, to)` in the order of event time, as far as parts of the log can be put into one: parts may overlap, and each says from
    /// where on no later part holds anything. Parts that certainly hold no match are passed over; other rows of a part are shown whether they match or not.
    /// Ends early, with nothing running on, when the future is dropped.
    async fn replay(
        &self,
        from: i64,
        to: i64,
        filter: Option<Arc<Filter>>,
        visit: Replay,
    ) -> Result<Replayed, StoreError>;

    /// One event by its id.
    async fn event(&self, id: Uuid) -> Result<Option<Event>, StoreError>;

    /// Ids that the HTTP door stored at or after this wall-clock time; to rebuild the deduplication window at start.
    async fn recent_ids(&self, agent: &str, since: i64) -> Result<Vec<(Uuid, i64)>, StoreError>;

    /// The place in the log before the newest frames, so many of them; every thousand events of a batch that is larger than a frame count as one.
    async fn place_before(&self, frames: u64) -> Result<u64, StoreError> {
        Ok(self.stats().await?.position.saturating_sub(frames))
    }

    /// Removes whole chunks whose newest event is older; answers how many events went.
    async fn expire(&self, before: i64) -> Result<u64, StoreError>;

    /// Whether frames are taken now; for readiness.
    fn health(&self) -> StoreHealth {
        StoreHealth::Ready
    }

    /// Totals.
    async fn stats(&self) -> Result<StoreStats, StoreError>;

    /// One document.
    async fn doc(&self, kind: &str, id: &str) -> Result<Option<Doc>, StoreError>;

    /// Documents of a collection in the order of their ids, after `after`.
    async fn docs(&self, kind: &str, after: Option<&str>, limit: usize) -> Result<Vec<Doc>, StoreError>;

    /// Ids and contents of the same as they were written, JSON in a text; for those who read very many.
    async fn doc_texts(
        &self,
        kind: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, String)>, StoreError> {
        let docs = self.docs(kind, after, limit).await?.into_iter();
        Ok(docs.map(|doc| (doc.id, doc.body.to_string())).collect())
    }

    /// Applies all or none; answers the new versions (0 for a delete).
    ///
    /// # Errors
    /// `StoreError::Conflict` when an expected version does not hold.
    async fn commit(&self, ops: Vec<DocOp>) -> Result<Vec<i64>, StoreError>;

    /// Saves a stage's state at a position of the log.
    async fn put_checkpoint(&self, name: &str, position: u64, body: Vec<u8>) -> Result<(), StoreError>;

    /// The last saved state.
    async fn checkpoint(&self, name: &str) -> Result<Option<(u64, Vec<u8>)>, StoreError>;

    /// Writes rollups and the place in the log that they reach, together.
    ///
    /// # Errors
    /// `StoreError::Conflict` when another place is saved than the writer read from; nothing is written then.
    async fn put_rollups(&self, _write: RollupWrite) -> Result<(), StoreError> {
        Err(no_rollups())
    }

    /// Windows of a metric by series, in the order of the labels.
    ///
    /// # Errors
    /// `StoreError::BadRequest` when there are more than `limit`.
    async fn rollups(&self, _query: RollupQuery) -> Result<Vec<RollupSeries>, StoreError> {
        Err(no_rollups())
    }

    /// Begin of a metric's newest window.
    async fn newest_rollup(&self, _metric: &str, _resolution: i64) -> Result<Option<i64>, StoreError> {
        Err(no_rollups())
    }

    /// Removes windows of this length that begin before a point in time, and series that have none left; answers how many windows went.
    async fn expire_rollups(&self, _resolution: i64, _before: i64) -> Result<u64, StoreError> {
        Err(no_rollups())
    }

    /// Removes all windows of a metric; answers how many went.
    async fn drop_rollups(&self, _metric: &str) -> Result<u64, StoreError> {
        Err(no_rollups())
    }
}

/// The answer of stores that keep a log alone.
fn no_rollups() -> StoreError {
    StoreError::Unsupported("this store keeps no rollups".to_owned())
}
