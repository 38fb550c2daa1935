//! Rollups: windows of metrics, written with the place in the log that they reach.

use sqlx::{AssertSqlSafe, SqliteConnection, SqlitePool};

use super::command::Done;
use crate::{
    StoreError,
    store::{RollupQuery, RollupRow, RollupSeries, RollupWrite},
};

/// Rows of one statement.
const ROWS: usize = 64;
/// Windows removed in one transaction, so that no sender waits long behind it.
const REMOVE: i64 = 4096;

/// Writes rows and place, or nothing when another place is saved than the writer goes on from.
pub async fn write(
    connection: &mut SqliteConnection,
    write: &RollupWrite,
) -> Result<Result<Done, StoreError>, sqlx::Error> {
    let saved: Option<(i64,)> = sqlx::query_as("SELECT position FROM checkpoint WHERE name = ?")
        .bind(&write.checkpoint)
        .fetch_optional(&mut *connection)
        .await?;
    let found = saved.map(|(position,)| position);
    let expected = write.after.map(u64::cast_signed);
    if found != expected {
        return Ok(Err(StoreError::Conflict {
            kind: "checkpoint".to_owned(),
            id: write.checkpoint.clone(),
            expected: expected.unwrap_or(-1),
            found: found.unwrap_or(-1),
        }));
    }
    for rows in write.rows.chunks(ROWS) {
        put(connection, rows).await?;
    }
    sqlx::query(
        "INSERT INTO checkpoint VALUES (?, ?, x'') ON CONFLICT DO UPDATE SET position = excluded.position, body = x''",
    )
    .bind(&write.checkpoint)
    .bind(write.position.cast_signed())
    .execute(connection)
    .await?;
    Ok(Ok(Done::Written))
}

async fn put(connection: &mut SqliteConnection, rows: &[RollupRow]) -> Result<(), sqlx::Error> {
    let whole = rows.len() == ROWS;
    let labels: Vec<String> = rows.iter().map(|row| label_text(&row.labels)).collect();
    let sql = format!(
        "INSERT INTO rollup_series (metric, labels) VALUES {} ON CONFLICT DO NOTHING",
        tuples("(?, ?)", rows.len())
    );
    let mut series = sqlx::query(AssertSqlSafe(sql)).persistent(whole);
    for (row, labels) in rows.iter().zip(&labels) {
        series = series.bind(&*row.metric).bind(labels);
    }
    series.execute(&mut *connection).await?;
    let sql = format!(
        "WITH new (metric, labels, resolution, start, body) AS (VALUES {})
         INSERT INTO rollup SELECT s.id, new.resolution, new.start, new.body
         FROM new CROSS JOIN rollup_series s ON s.metric = new.metric AND s.labels = new.labels WHERE true
         ON CONFLICT DO UPDATE SET body = excluded.body",
        tuples("(?, ?, ?, ?, ?)", rows.len())
    );
    let mut windows = sqlx::query(AssertSqlSafe(sql)).persistent(whole);
    for (row, labels) in rows.iter().zip(&labels) {
        windows = windows
            .bind(&*row.metric)
            .bind(labels)
            .bind(row.resolution)
            .bind(row.start)
            .bind(&*row.body);
    }
    windows.execute(connection).await?;
    Ok(())
}

fn tuples(one: &str, count: usize) -> String {
    vec![one; count].join(", ")
}

fn label_text(labels: &[String]) -> String {
    serde_json::Value::from(labels).to_string()
}

/// Windows of a metric by series.
pub async fn read(pool: &SqlitePool, query: &RollupQuery) -> Result<Vec<RollupSeries>, StoreError> {
    let limit = i64::try_from(query.limit).unwrap_or(i64::MAX - 1);
    let rows: Vec<(String, i64, Vec<u8>)> = sqlx::query_as(
        "SELECT s.labels, r.start, r.body FROM rollup_series s CROSS JOIN rollup r
         ON r.series = s.id AND r.resolution = ? AND r.start >= ? AND r.start < ?
         WHERE s.metric = ? ORDER BY s.labels, r.start LIMIT ?",
    )
    .bind(query.resolution)
    .bind(query.from)
    .bind(query.to)
    .bind(&*query.metric)
    .bind(limit + 1)
    .fetch_all(pool)
    .await?;
    if rows.len() > query.limit {
        return Err(StoreError::BadRequest(format!(
            "more than {} windows of the metric are in this range; take a shorter range or a longer step",
            query.limit
        )));
    }
    let mut series: Vec<RollupSeries> = Vec::new();
    let mut last = String::new();
    for (text, start, body) in rows {
        if series.is_empty() || text != last {
            let labels = serde_json::from_str(&text)
                .map_err(|error| StoreError::BadRequest(format!("labels `{text}` of a series are damaged: {error}")))?;
            series.push(RollupSeries {
                labels,
                windows: Vec::new(),
            });
            last = text;
        }
        if let Some(series) = series.last_mut() {
            series.windows.push((start, body));
        }
    }
    Ok(series)
}

/// Begin of a metric's newest window.
pub async fn newest(pool: &SqlitePool, metric: &str, resolution: i64) -> Result<Option<i64>, StoreError> {
    let (newest,): (Option<i64>,) = sqlx::query_as(
        "SELECT max((SELECT max(start) FROM rollup WHERE series = s.id AND resolution = ?)) FROM rollup_series s WHERE s.metric = ?",
    )
    .bind(resolution)
    .bind(metric)
    .fetch_one(pool)
    .await?;
    Ok(newest)
}

/// Removes some windows that begin before a point in time; when none is left, the series without windows.
pub async fn expire(connection: &mut SqliteConnection, resolution: i64, before: i64) -> Result<Done, sqlx::Error> {
    let gone = sqlx::query(
        "DELETE FROM rollup WHERE (series, resolution, start) IN (
             SELECT r.series, r.resolution, r.start FROM rollup_series s CROSS JOIN rollup r
             ON r.series = s.id AND r.resolution = ? AND r.start < ? LIMIT ?)",
    )
    .bind(resolution)
    .bind(before)
    .bind(REMOVE)
    .execute(&mut *connection)
    .await?
    .rows_affected();
    if gone == 0 {
        sqlx::query(
            "DELETE FROM rollup_series WHERE NOT EXISTS (SELECT 1 FROM rollup WHERE series = rollup_series.id)",
        )
        .execute(connection)
        .await?;
    }
    Ok(Done::Removed { windows: gone })
}

/// Removes some windows of a metric; when none is left, its series.
pub async fn drop(connection: &mut SqliteConnection, metric: &str) -> Result<Done, sqlx::Error> {
    let gone = sqlx::query(
        "DELETE FROM rollup WHERE (series, resolution, start) IN (
             SELECT r.series, r.resolution, r.start FROM rollup_series s CROSS JOIN rollup r ON r.series = s.id
             WHERE s.metric = ? LIMIT ?)",
    )
    .bind(metric)
    .bind(REMOVE)
    .execute(&mut *connection)
    .await?
    .rows_affected();
    if gone == 0 {
        sqlx::query("DELETE FROM rollup_series WHERE metric = ?")
            .bind(metric)
            .execute(connection)
            .await?;
    }
    Ok(Done::Removed { windows: gone })
}
