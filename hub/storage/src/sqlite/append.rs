//! New frames inside a transaction: duplicates told apart, places in the log given, high-water marks raised.

use std::collections::HashMap;

use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::command::NewFrame;
use crate::store::{Appended, Origin};

/// Rows of one statement: each statement is a round trip to the connection's thread.
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
    /// For each frame what its sender is told.
    pub answers: Vec<Appended>,
    /// Frames stored.
    pub frames: u64,
    /// Events in them.
    pub events: u64,
    position: u64,
    marks: MarkMap,
}

impl Log {
    /// A log that ends at this place.
    pub fn new(position: u64) -> Self {
        Self {
            position,
            ..Self::default()
        }
    }

    /// Whether a frame may be written. Sequences grow, so one above everything refused was sent before its sender knew; a lower one shows that
    /// the sender has gone back.
    pub fn admits(&mut self, new: &NewFrame) -> bool {
        let seq = new.frame.header().seq;
        match self.refused.get_mut(&new.origin) {
            Some(refused) if seq > *refused => {
                *refused = seq;
                false
            }
            Some(_) => {
                self.refused.remove(&new.origin);
                true
            }
            None => true,
        }
    }

    /// Frames that could not be written; their senders have to go back.
    pub fn refuse(&mut self, frames: &[NewFrame]) {
        for new in frames.iter().filter(|new| new.origin.repeats()) {
            let seq = new.frame.header().seq;
            let refused = self.refused.entry(new.origin.clone()).or_insert(seq);
            *refused = seq.max(*refused);
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

    /// Writes frames in their order; the caller has begun a transaction.
    pub async fn append(
        &mut self,
        connection: &mut SqliteConnection,
        frames: &[NewFrame],
        now: i64,
    ) -> Result<Batch, sqlx::Error> {
        let mut batch = Batch {
            answers: Vec::with_capacity(frames.len()),
            frames: 0,
            events: 0,
            position: self.position,
            marks: MarkMap::default(),
        };
        let mut rows: Vec<(u64, &NewFrame)> = Vec::with_capacity(frames.len());
        let (mut oldest, mut newest) = (i64::MAX, i64::MIN);
        for new in frames {
            let header = new.frame.header();
            let mark = match batch.marks.get(&new.origin) {
                Some(mark) => Some(*mark),
                None => self.mark(connection, &new.origin).await?,
            };
            if mark.is_some_and(|mark| header.seq <= mark) {
                batch.answers.push(Appended::Duplicate);
                continue;
            }
            batch.marks.insert(new.origin.clone(), header.seq);
            batch.position += 1;
            batch.frames += 1;
            batch.events += u64::from(header.count);
            (oldest, newest) = (oldest.min(header.min_ts), newest.max(header.max_ts));
            batch.answers.push(Appended::Stored(batch.position));
            rows.push((batch.position, new));
        }
        if rows.is_empty() {
            return Ok(batch);
        }
        for rows in rows.chunks(ROWS) {
            insert(connection, rows, now).await?;
        }
        for (origin, seq) in &batch.marks {
            sqlx::query("INSERT INTO agent_pos VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET seq = excluded.seq")
                .bind(&*origin.agent)
                .bind(origin.epoch.cast_signed())
                .bind(seq.cast_signed())
                .execute(&mut *connection)
                .await?;
        }
        sqlx::query(
            "UPDATE totals SET position = ?, inbox_frames = inbox_frames + ?, inbox_events = inbox_events + ?,
             oldest = min(ifnull(oldest, ?4), ?4), newest = max(ifnull(newest, ?5), ?5)",
        )
        .bind(batch.position.cast_signed())
        .bind(batch.frames.cast_signed())
        .bind(batch.events.cast_signed())
        .bind(oldest)
        .bind(newest)
        .execute(connection)
        .await?;
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

async fn insert(connection: &mut SqliteConnection, rows: &[(u64, &NewFrame)], now: i64) -> Result<(), sqlx::Error> {
    let mut sql = QueryBuilder::<Sqlite>::new(
        "INSERT INTO inbox (id, agent, epoch, seq, stored_at, n, raw, min_ts, max_ts, body) ",
    );
    sql.push_values(rows, |mut row, (position, new)| {
        let header = new.frame.header();
        row.push_bind(position.cast_signed())
            .push_bind(&*new.origin.agent)
            .push_bind(new.origin.epoch.cast_signed())
            .push_bind(header.seq.cast_signed())
            .push_bind(now)
            .push_bind(header.count)
            .push_bind(header.raw_len)
            .push_bind(header.min_ts)
            .push_bind(header.max_ts)
            .push_bind(&**new.frame.bytes());
    });
    sql.build().execute(connection).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite;

    fn new(agent: &str, seq: u64) -> NewFrame {
        NewFrame {
            origin: suite::origin(agent),
            frame: suite::frame(seq, 0..1),
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
