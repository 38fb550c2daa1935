//! New batches inside a transaction: duplicates told apart, places in the log given, high-water marks raised. Frames go into the inbox; a batch that is a
//! chunk already goes where chunks are, and is never copied again.

use std::collections::HashMap;

use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use streamflow_bus::Content;
use streamflow_proto::{chunk::EncodedChunk, frame::Frame};

use super::{command::Arrival, script::Script};
use crate::{
    frames::Frames,
    store::{Appended, Origin},
};

/// Rows of one statement, whose text is another for each number of them.
const ROWS: usize = 16;
/// Marks kept in memory; beyond it they are read again when needed.
const MARKS: usize = 65_536;

type MarkMap = HashMap<Origin, u64, foldhash::fast::RandomState>;

/// Where the log and its senders stand. Owned by the process that holds the lock, since nobody else appends.
#[derive(Debug, Default)]
pub struct Log {
    position: u64,
    marks: MarkMap,
    /// Senders that have yet to go back behind a refused frame, and the highest sequence refused since.
    refused: MarkMap,
}

/// What a transaction will have done to the log once it is durable.
#[derive(Debug)]
pub struct Batch {
    /// For each arrival what its sender is told.
    pub answers: Vec<Appended>,
    /// Stored in the inbox.
    pub inbox: Stored,
    /// Stored as chunks.
    pub chunks: Stored,
    position: u64,
    marks: MarkMap,
}

/// How much was stored.
#[derive(Debug, Default, Clone, Copy)]
pub struct Stored {
    /// Batches.
    pub batches: u64,
    /// Events in them.
    pub events: u64,
}

impl Stored {
    fn add(&mut self, content: &Content) {
        self.batches += 1;
        self.events += u64::from(content.count());
    }
}

impl Log {
    /// A log that ends at this place.
    pub fn new(position: u64) -> Self {
        Self {
            position,
            ..Self::default()
        }
    }

    /// Whether a batch may be written. Sequences grow, so one above everything refused was sent before its sender knew; a lower one shows that
    /// the sender has gone back.
    pub fn admits(&mut self, new: &Arrival) -> bool {
        match self.refused.get_mut(&new.origin) {
            Some(refused) if new.seq > *refused => {
                *refused = new.seq;
                false
            }
            Some(_) => {
                self.refused.remove(&new.origin);
                true
            }
            None => true,
        }
    }

    /// Batches that could not be written; their senders have to go back.
    pub fn refuse(&mut self, arrivals: &[Arrival]) {
        for new in arrivals.iter().filter(|new| new.origin.repeats()) {
            let refused = self.refused.entry(new.origin.clone()).or_insert(new.seq);
            *refused = new.seq.max(*refused);
        }
    }

    /// Takes over what has become durable.
    pub fn advance(&mut self, batch: Batch) {
        self.position = batch.position;
        if self.marks.len() + batch.marks.len() > MARKS {
            self.marks.clear();
        }
        self.marks.extend(batch.marks);
    }

    /// Writes batches in their order. The script has begun a transaction, or is about to.
    pub async fn append(
        &mut self,
        script: &mut Script,
        connection: &mut SqliteConnection,
        arrivals: &[Arrival],
        now: i64,
    ) -> Result<Batch, sqlx::Error> {
        let mut batch = Batch {
            answers: Vec::with_capacity(arrivals.len()),
            inbox: Stored::default(),
            chunks: Stored::default(),
            position: self.position,
            marks: MarkMap::default(),
        };
        let (mut frames, mut chunks) = (Vec::with_capacity(arrivals.len()), Vec::new());
        let (mut oldest, mut newest) = (i64::MAX, i64::MIN);
        for new in arrivals {
            let mark = match batch.marks.get(&new.origin) {
                Some(mark) => Some(*mark),
                None => self.mark(connection, &new.origin).await?,
            };
            if mark.is_some_and(|mark| new.seq <= mark) {
                batch.answers.push(Appended::Duplicate);
                continue;
            }
            batch.marks.insert(new.origin.clone(), new.seq);
            batch.position += 1;
            batch.answers.push(Appended::Stored(batch.position));
            let (from, to) = new.content.bounds();
            (oldest, newest) = (oldest.min(from), newest.max(to));
            match &new.content {
                Content::Frame(frame) => {
                    frames.push((batch.position, new, frame));
                    batch.inbox.add(&new.content);
                }
                Content::Chunk(chunk) => {
                    chunks.push((batch.position, new, &**chunk));
                    batch.chunks.add(&new.content);
                }
            }
        }
        if frames.is_empty() && chunks.is_empty() {
            return Ok(batch);
        }
        for rows in frames.chunks(ROWS) {
            insert(script.next(connection).await?, rows, now);
        }
        for (position, new, chunk) in chunks {
            insert_chunk(script.next(connection).await?, position, new, chunk, now)?;
        }
        for (number, (origin, seq)) in batch.marks.iter().enumerate() {
            let sql = if number == 0 {
                script.also()
            } else {
                script.next(connection).await?
            };
            raise(sql, origin, *seq);
        }
        count(script.also(), &batch, oldest, newest);
        Ok(batch)
    }

    async fn mark(&mut self, connection: &mut SqliteConnection, origin: &Origin) -> Result<Option<u64>, sqlx::Error> {
        if let Some(mark) = self.marks.get(origin) {
            return Ok(Some(*mark));
        }
        let found: Option<(i64,)> = sqlx::query_as("SELECT seq FROM agent_pos WHERE agent = ? AND epoch = ?")
            .bind(&*origin.agent)
            .bind(origin.epoch.cast_signed())
            .fetch_optional(connection)
            .await?;
        Ok(found.map(|(seq,)| seq.cast_unsigned()))
    }
}

fn insert(sql: &mut QueryBuilder<Sqlite>, rows: &[(u64, &Arrival, &Frame)], now: i64) {
    sql.push("INSERT INTO inbox (id, agent, epoch, seq, stored_at, n, raw, min_ts, max_ts, body) ");
    sql.push_values(rows, |mut row, (position, new, frame)| {
        let header = frame.header();
        row.push_bind(position.cast_signed())
            .push_bind(&*new.origin.agent)
            .push_bind(new.origin.epoch.cast_signed())
            .push_bind(new.seq.cast_signed())
            .push_bind(now)
            .push_bind(header.count)
            .push_bind(header.raw_len)
            .push_bind(header.min_ts)
            .push_bind(header.max_ts)
            .push_bind(&**frame.bytes());
    });
}

/// A batch that is a chunk of its own, at one place of the log.
fn insert_chunk(
    sql: &mut QueryBuilder<Sqlite>,
    position: u64,
    new: &Arrival,
    chunk: &EncodedChunk,
    now: i64,
) -> Result<(), sqlx::Error> {
    let frames = Frames::one(position, new.origin.agent.clone(), now, chunk.count);
    let frames = frames.encode().map_err(|error| sqlx::Error::Encode(error.into()))?;
    put_chunk(sql, [position; 2], chunk, &frames, now);
    Ok(())
}

/// Writes the row of a chunk that holds the places `first..=last`.
pub fn put_chunk(
    sql: &mut QueryBuilder<Sqlite>,
    [first, last]: [u64; 2],
    chunk: &EncodedChunk,
    frames: &[u8],
    stored_at: i64,
) {
    sql.push("INSERT INTO chunk VALUES (");
    sql.separated(", ")
        .push_bind(last.cast_signed())
        .push_bind(first.cast_signed())
        .push_bind(chunk.count)
        .push_bind(chunk.min_ts)
        .push_bind(chunk.max_ts)
        .push_bind(stored_at)
        .push_bind(&chunk.min_id.as_bytes()[..])
        .push_bind(&chunk.max_id.as_bytes()[..])
        .push_bind(frames)
        .push_bind(&*chunk.id_bloom)
        .push_bind(&*chunk.bloom)
        .push_bind(&*chunk.body);
    sql.push(")");
}

/// Raises the mark of a sender.
fn raise(sql: &mut QueryBuilder<Sqlite>, origin: &Origin, seq: u64) {
    sql.push("INSERT INTO agent_pos VALUES (");
    sql.separated(", ")
        .push_bind(&*origin.agent)
        .push_bind(origin.epoch.cast_signed())
        .push_bind(seq.cast_signed());
    sql.push(") ON CONFLICT DO UPDATE SET seq = excluded.seq");
}

/// Counts what a commit stores.
fn count(sql: &mut QueryBuilder<Sqlite>, batch: &Batch, oldest: i64, newest: i64) {
    sql.push("UPDATE totals SET position = ")
        .push_bind(batch.position.cast_signed())
        .push(", inbox_frames = inbox_frames + ")
        .push_bind(batch.inbox.batches.cast_signed())
        .push(", inbox_events = inbox_events + ")
        .push_bind(batch.inbox.events.cast_signed())
        .push(", chunks = chunks + ")
        .push_bind(batch.chunks.batches.cast_signed())
        .push(", chunk_events = chunk_events + ")
        .push_bind(batch.chunks.events.cast_signed())
        .push(", oldest = min(ifnull(oldest, ")
        .push_bind(oldest)
        .push("), ")
        .push_bind(oldest)
        .push("), newest = max(ifnull(newest, ")
        .push_bind(newest)
        .push("), ")
        .push_bind(newest)
        .push(")");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite;

    fn new(agent: &str, seq: u64) -> Arrival {
        Arrival {
            origin: suite::origin(agent),
            seq,
            content: suite::frame(seq, 0..1).into(),
        }
    }

    #[test]
    fn after_a_refusal_a_sender_has_to_go_back() {
        let mut log = Log::new(0);
        log.refuse(&[new("a", 5), new("a", 6), new("@http", 5)]);
        assert!(log.admits(&new("b", 6)), "others are not concerned");
        assert!(log.admits(&new("@http", 6)), "the hub's own doors do not repeat");
        assert!(!log.admits(&new("a", 7)), "sent before it knew");
        assert!(log.admits(&new("a", 5)));
        assert!(log.admits(&new("a", 6)));
        log.refuse(&[new("a", 6)]);
        assert!(
            !log.admits(&new("a", 9)),
            "its spool may have dropped the frames between"
        );
        assert!(
            log.admits(&new("a", 9)),
            "it was told, and comes again with the first that is left"
        );
    }
}
