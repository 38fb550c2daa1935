//! Everything but new frames inside a transaction: checkpoints, chunks installed and removed; documents and rollups have files of their own.

use sqlx::{QueryBuilder, SqliteConnection};

use super::{
    append::put_chunk,
    command::{Done, Install, Task},
    documents, rollup,
};
use crate::StoreError;

/// Chunks removed in one transaction, so that no sender waits long behind it.
const EXPIRE: i64 = 128;

/// Applies one task. The outer error ends the transaction, the inner one concerns this task alone, which then has changed nothing.
pub async fn apply(connection: &mut SqliteConnection, task: &Task) -> Result<Result<Done, StoreError>, sqlx::Error> {
    match task {
        Task::Docs(ops) => documents::write(connection, ops).await,
        Task::Checkpoint { name, position, body } => {
            sqlx::query(
                "INSERT INTO checkpoint VALUES (?, ?, ?)
                 ON CONFLICT DO UPDATE SET position = excluded.position, body = excluded.body",
            )
            .bind(name)
            .bind(position.cast_signed())
            .bind(&**body)
            .execute(connection)
            .await?;
            Ok(Ok(Done::Written))
        }
        Task::Install(install) => self::install(connection, install).await,
        Task::Expire { before } => expire(connection, *before).await.map(Ok),
        Task::Rollups(write) => rollup::write(connection, write).await,
        Task::ExpireRollups { resolution, before } => rollup::expire(connection, *resolution, *before).await.map(Ok),
        Task::DropRollups { metric } => rollup::drop(connection, metric).await.map(Ok),
    }
}

async fn install(
    connection: &mut SqliteConnection,
    install: &Install,
) -> Result<Result<Done, StoreError>, sqlx::Error> {
    let (first, last) = (install.first.cast_signed(), install.last.cast_signed());
    let (frames, events) = count(
        connection,
        "SELECT count(*), ifnull(sum(n), 0) FROM inbox WHERE id BETWEEN ? AND ?",
        first,
        last,
    )
    .await?;
    let (chunks, chunk_events) = count(
        connection,
        "SELECT count(*), ifnull(sum(n), 0) FROM chunk WHERE id BETWEEN ? AND ?",
        first,
        last,
    )
    .await?;
    let added = install.chunk.as_ref().map_or(0, |new| i64::from(new.encoded.count));
    let aside: u64 = install.set_aside.iter().map(|frame| frame.events).sum();
    // The last guard of what was acknowledged: nothing is deleted that is not in the new chunk or set aside.
    if events + chunk_events > added + aside.cast_signed() {
        let reason = format!(
            "{} events at {first} to {last} would become {added}",
            events + chunk_events
        );
        return Ok(Err(StoreError::Merge(reason)));
    }
    for frame in &install.set_aside {
        sqlx::query(
            "INSERT INTO set_aside SELECT id, agent, epoch, seq, stored_at, n, ?, body FROM inbox WHERE id = ?",
        )
        .bind(&frame.reason)
        .bind(frame.position.cast_signed())
        .execute(&mut *connection)
        .await?;
    }
    for sql in [
        "DELETE FROM inbox WHERE id BETWEEN ? AND ?",
        "DELETE FROM chunk WHERE id BETWEEN ? AND ?",
    ] {
        sqlx::query(sql)
            .bind(first)
            .bind(last)
            .execute(&mut *connection)
            .await?;
    }
    if let Some(new) = &install.chunk {
        let places = [install.first, install.last];
        let mut sql = QueryBuilder::new("");
        put_chunk(&mut sql, places, &new.encoded, &new.frames, new.stored_at);
        sql.build().execute(&mut *connection).await?;
    }
    sqlx::query(
        "UPDATE totals SET inbox_frames = inbox_frames - ?, inbox_events = inbox_events - ?,
         chunks = chunks + ?, chunk_events = chunk_events + ?",
    )
    .bind(frames)
    .bind(events)
    .bind(i64::from(install.chunk.is_some()) - chunks)
    .bind(added - chunk_events)
    .execute(connection)
    .await?;
    Ok(Ok(Done::Written))
}

async fn count(
    connection: &mut SqliteConnection,
    sql: &'static str,
    first: i64,
    last: i64,
) -> Result<(i64, i64), sqlx::Error> {
    sqlx::query_as(sql).bind(first).bind(last).fetch_one(connection).await
}

async fn expire(connection: &mut SqliteConnection, before: i64) -> Result<Done, sqlx::Error> {
    // What was stored that long ago goes too: a sender with a clock in the future must not keep its chunk forever.
    let gone: Vec<(i64,)> = sqlx::query_as(
        "DELETE FROM chunk WHERE id IN (SELECT id FROM chunk WHERE max_ts < ?1 OR stored_at < ?1 LIMIT ?2) RETURNING n",
    )
    .bind(before)
    .bind(EXPIRE)
    .fetch_all(&mut *connection)
    .await?;
    let (chunks, events) = (gone.len() as u64, gone.iter().map(|(n,)| *n).sum::<i64>());
    if chunks > 0 {
        sqlx::query(
            "UPDATE totals SET chunks = chunks - ?, chunk_events = chunk_events - ?,
             oldest = (SELECT min(ts) FROM (SELECT min(min_ts) ts FROM chunk UNION ALL SELECT min(min_ts) FROM inbox)),
             newest = (SELECT max(ts) FROM (SELECT max(max_ts) ts FROM chunk UNION ALL SELECT max(max_ts) FROM inbox))",
        )
        .bind(chunks.cast_signed())
        .bind(events)
        .execute(connection)
        .await?;
    }
    Ok(Done::Expired {
        chunks,
        events: events.cast_unsigned(),
    })
}
