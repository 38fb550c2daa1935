//! Events as JSON text into batches: validated one by one, the good ones kept, ids that are known left out.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::{Arc, LazyLock},
};

use bytes::Bytes;
use memchr::memmem;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use streamflow_bus::Content;
use streamflow_proto::{bitmap::Bitmap, event::Rejection};
use uuid::Uuid;

use crate::{
    builders::Loan,
    dedup::{Claims, Known, Waiting},
    door::{Door, OwnBatch, Unavailable, Verdict, Work},
    metrics::DoorKind,
};

/// Events per frame: the unit that the whole system is tuned for.
pub(crate) const FRAME_EVENTS: usize = 1000;
/// Smaller requests share frames with others.
pub(crate) const SHARED_BYTES: usize = 32 * 1024;

/// Bodies beyond this become chunks at once, without a stay in the inbox: they would fill a good part of one anyway.
const LARGE_BYTES: usize = 1 << 20;
/// A large body is cut into even parts of at most this many bytes.
const PART_BYTES: usize = 3 << 20;
/// A part with fewer events, and not more than a frame holds, stays a frame, to be merged with others.
const CHUNK_EVENTS: usize = 4096;
/// Zstd level of such a chunk, which is that of a young one from the merge.
const CHUNK_LEVEL: i32 = 1;

/// Where a body is cut into batches.
struct Cut {
    events: usize,
    bytes: usize,
    chunks: bool,
}

impl Cut {
    fn of(bytes: usize) -> Self {
        if bytes <= LARGE_BYTES {
            return Self {
                events: FRAME_EVENTS,
                bytes: usize::MAX,
                chunks: false,
            };
        }
        Self {
            events: usize::MAX,
            bytes: bytes.div_ceil(bytes.div_ceil(PART_BYTES)),
            chunks: true,
        }
    }
}

/// One event of a batch that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct RejectedEvent {
    /// Its place among the events sent, from 0.
    pub index: usize,
    /// The field that is wrong.
    pub field: String,
    /// What is wrong with it and what is allowed.
    pub reason: String,
}

/// The good events of a batch in the making. Their ids are the last ones of the outcome.
#[derive(Default)]
struct Part {
    /// Where those ids begin.
    start: usize,
    /// Rows without an id of the client, which therefore cannot send them again.
    minted: Vec<usize>,
}

/// What became of a request's events.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Ids of the good ones in order, those known before included.
    pub(crate) ids: Vec<Uuid>,
    pub(crate) rejected: Vec<RejectedEvent>,
}

impl Outcome {
    fn reject(&mut self, index: usize, rejection: Rejection) {
        self.rejected.push(RejectedEvent {
            index,
            field: rejection.field,
            reason: rejection.reason,
        });
    }
}

/// Events made into batches and ids claimed, all without waiting; then [`Prepared::store`].
#[derive(Debug)]
pub(crate) struct Prepared {
    work: Option<Work>,
    claims: Claims,
    pending: Vec<Waiting>,
    outcome: Outcome,
    /// For shared frames: the place of each raw event among those sent.
    places: Vec<usize>,
    /// For shared frames: ids known before, with their places.
    known: Vec<(usize, Uuid)>,
    duplicates: usize,
    /// Some events could not be encoded, so the request must not be answered as if they were stored.
    failed: bool,
}

impl Prepared {
    /// Few events: their text goes to the writer, which puts them into a shared frame.
    pub(crate) fn shared(door: &Door, raws: Vec<Bytes>, now_ms: i64) -> Self {
        let given: Vec<Option<Uuid>> = raws.iter().map(|raw| given_id(raw)).collect();
        let ids: Vec<Uuid> = given.iter().flatten().copied().collect();
        if ids.iter().collect::<HashSet<_>>().len() < ids.len() {
            // Here an event claims its id before it is checked: one that is then refused would take another of the same request with it.
            let bytes = raws.iter().map(Bytes::len).sum();
            return Self::own(door, raws.iter().map(AsRef::as_ref), bytes, now_ms);
        }
        let mut prepared = Self::empty(door);
        let mut known = prepared.claims.claim(&ids, now_ms).into_iter().peekable();
        let mut place = 0;
        let mut fresh = Vec::with_capacity(raws.len());
        for (index, (raw, id)) in raws.into_iter().zip(given).enumerate() {
            let Some(id) = id else {
                fresh.push(raw);
                prepared.places.push(index);
                continue;
            };
            match known.next_if(|(known, _)| *known == place) {
                Some((_, known)) => {
                    prepared.known.push((index, id));
                    prepared.note(known);
                }
                None => {
                    fresh.push(raw);
                    prepared.places.push(index);
                }
            }
            place += 1;
        }
        prepared.work = (!fresh.is_empty()).then_some(Work::Events { raws: fresh, now_ms });
        prepared
    }

    /// Many events, in a body of so many bytes: batches of their own. Heavy; not for the threads that serve connections.
    pub(crate) fn own<'a>(door: &Door, raws: impl Iterator<Item = &'a [u8]>, bytes: usize, now_ms: i64) -> Self {
        let mut prepared = Self::empty(door);
        let cut = Cut::of(bytes);
        let mut builder = if cut.chunks {
            door.large.lend()
        } else {
            door.builders.lend()
        };
        // Events are seldom shorter; what is not needed of it is never touched.
        prepared.outcome.ids.reserve(bytes / 256);
        let mut batches = Vec::new();
        let mut part = Part::default();
        let mut read = 0;
        for (index, raw) in raws.enumerate() {
            match builder.push_json(raw, now_ms) {
                Ok(id) => {
                    prepared.outcome.ids.push(id);
                    if !builder.last_gave_id() {
                        part.minted.push(builder.len() - 1);
                    }
                }
                Err(rejection) => prepared.outcome.reject(index, rejection),
            }
            read += raw.len();
            if builder.len() >= cut.events || read >= cut.bytes || builder.is_full() {
                batches.extend(prepared.close(&mut builder, &mut part, cut.chunks, now_ms));
                read = 0;
            }
        }
        batches.extend(prepared.close(&mut builder, &mut part, cut.chunks, now_ms));
        builder.give_back();
        prepared.work = (!batches.is_empty()).then_some(Work::Batches(batches));
        prepared
    }

    fn empty(door: &Door) -> Self {
        Self {
            work: None,
            claims: door.dedup.claims(),
            pending: Vec::new(),
            outcome: Outcome::default(),
            places: Vec::new(),
            known: Vec::new(),
            duplicates: 0,
            failed: false,
        }
    }

    fn note(&mut self, known: Known) {
        self.duplicates += 1;
        if let Known::Pending(waiting) = known {
            self.pending.push(waiting);
        }
    }

    /// A batch of what is in the builder, without the events whose ids are known.
    fn close(&mut self, builder: &mut Loan, part: &mut Part, chunks: bool, now_ms: i64) -> Option<OwnBatch> {
        let Part { start, minted } = std::mem::take(part);
        part.start = self.outcome.ids.len();
        let ids = &self.outcome.ids[start..];
        let all = ids.len() - minted.len();
        let known = if minted.is_empty() {
            self.claims.claim(ids, now_ms)
        } else {
            let mut minted = minted.into_iter().peekable();
            let is_given = |row: &usize| minted.next_if_eq(row).is_none();
            let rows: Vec<usize> = (0..ids.len()).filter(is_given).collect();
            let given: Vec<Uuid> = rows.iter().map(|row| ids[*row]).collect();
            let known = self.claims.claim(&given, now_ms);
            known.into_iter().map(|(place, known)| (rows[place], known)).collect()
        };
        let claimed = all - known.len();
        if !known.is_empty() {
            let mut kept = Bitmap::new(builder.len(), true);
            for (row, known) in known {
                kept.set(row, false);
                self.note(known);
            }
            // The rows stay where they are: written again into another builder, not all of them might find room.
            if kept.is_empty() {
                builder.restart();
            } else {
                builder.retain(&kept);
            }
        }
        if builder.is_empty() {
            return None;
        }
        let is_small = builder.len() < CHUNK_EVENTS && builder.fits_frame();
        let content = if !chunks || is_small {
            builder.finish(0).into()
        } else {
            match builder.finish_chunk(CHUNK_LEVEL) {
                Ok(chunk) => Content::Chunk(Arc::new(chunk)),
                Err(error) => {
                    tracing::error!(%error, "a request could not be made into a chunk");
                    self.failed = true;
                    return None;
                }
            }
        };
        Some(OwnBatch {
            content,
            claims: claimed,
        })
    }

    /// Stores what is new and waits for what others are storing; answers when all good events are durable.
    pub(crate) async fn store(self, door: &Door, kind: DoorKind) -> Result<Outcome, Unavailable> {
        let Self {
            work,
            claims,
            pending,
            mut outcome,
            places,
            known,
            duplicates,
            failed,
        } = self;
        if failed {
            return Err(Unavailable);
        }
        let verdicts = match work {
            Some(work) => door.store(work, claims, kind).await?,
            None => Vec::new(),
        };
        for waiting in pending {
            if !waiting.stored().await {
                return Err(Unavailable);
            }
        }
        if !places.is_empty() || !known.is_empty() {
            outcome = merged(places, verdicts, known);
        }
        door.metrics
            .duplicates
            .with_label_values(&[kind.name()])
            .inc_by(duplicates as u64);
        for rejected in &outcome.rejected {
            door.metrics
                .rejected
                .with_label_values(&[kind.name(), top_field(&rejected.field)])
                .inc();
        }
        Ok(outcome)
    }
}

/// Verdicts of new events and ids known before, in the order sent.
fn merged(places: Vec<usize>, verdicts: Vec<Verdict>, known: Vec<(usize, Uuid)>) -> Outcome {
    let mut all: Vec<(usize, Verdict)> = places.into_iter().zip(verdicts).collect();
    all.extend(known.into_iter().map(|(place, id)| (place, Ok(id))));
    all.sort_unstable_by_key(|(place, _)| *place);
    let mut outcome = Outcome::default();
    for (index, verdict) in all {
        match verdict {
            Ok(id) => outcome.ids.push(id),
            Err(rejection) => outcome.reject(index, rejection),
        }
    }
    outcome
}

/// The label of a refused field: only the contract's own names, so that clients cannot make label values.
fn top_field(field: &str) -> &'static str {
    const FIELDS: [&str; 12] = [
        "id",
        "type",
        "source",
        "timestamp",
        "severity",
        "data",
        "metadata",
        "correlation_id",
        "session_id",
        "user_id",
        "tags",
        "event",
    ];
    let top = field.split(['.', '[']).next().unwrap_or_default();
    FIELDS.into_iter().find(|name| *name == top).unwrap_or("other")
}

/// Whether the text may hold an `id` of its own. May say yes for a text that does not, which costs a place in the
/// window; never no for one that does, escapes included.
fn may_give_id(raw: &[u8]) -> bool {
    static NAMES: LazyLock<[memmem::Finder<'static>; 2]> =
        LazyLock::new(|| [memmem::Finder::new(b"\"id\""), memmem::Finder::new(b"\\u")]);
    NAMES.iter().any(|name| name.find(raw).is_some())
}

fn given_id(raw: &[u8]) -> Option<Uuid> {
    #[derive(Deserialize)]
    struct IdOnly<'a> {
        #[serde(borrow)]
        id: Option<Cow<'a, str>>,
    }
    if !may_give_id(raw) {
        return None;
    }
    match serde_json::from_slice::<IdOnly<'_>>(raw) {
        Ok(read) => read.id?.parse().ok(),
        // Of a key that stands there twice the last one counts.
        Err(_) => {
            let id = serde_json::from_slice::<Members<'_>>(raw).ok()?.0.remove("id")?;
            serde_json::from_str::<Cow<'_, str>>(id.get()).ok()?.parse().ok()
        }
    }
}

/// The members of an object, unread; of those with one name the last.
#[derive(Deserialize)]
struct Members<'a>(#[serde(borrow)] HashMap<Cow<'a, str>, &'a RawValue>);

#[cfg(test)]
mod tests;
