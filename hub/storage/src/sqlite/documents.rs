//! Documents inside a transaction, many to a statement: each statement is a round trip to the connection's thread, and a storm of alerts
//! writes tens of thousands.

use std::{borrow::Cow, collections::HashMap};

use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::command::Done;
use crate::{StoreError, store::DocOp};

/// Rows of one statement.
const ROWS: usize = 32;

/// Operations that are one statement.
enum Run<'a> {
    /// Documents to write whatever is there, each once.
    Write(Vec<Row<'a>>),
    /// Documents of one collection to remove.
    Delete(&'a str, Vec<&'a str>),
    /// A document that must have a certain version now.
    Expect(Row<'a>, i64),
}

struct Row<'a> {
    kind: &'a str,
    id: &'a str,
    body: Cow<'a, str>,
}

/// Applies all or none. The outer error ends the transaction, the inner one concerns these documents alone.
pub async fn write(connection: &mut SqliteConnection, ops: &[DocOp]) -> Result<Result<Done, StoreError>, sqlx::Error> {
    sqlx::query("SAVEPOINT docs").execute(&mut *connection).await?;
    let mut versions = Vec::with_capacity(ops.len());
    for run in runs(ops) {
        match run {
            Run::Write(rows) => put(connection, &rows, &mut versions).await?,
            Run::Delete(kind, ids) => {
                delete(connection, kind, &ids).await?;
                versions.extend(ids.iter().map(|_| 0));
            }
            Run::Expect(row, expected) => {
                let found = version(connection, &row).await?;
                if found != expected {
                    sqlx::query("ROLLBACK TO docs").execute(&mut *connection).await?;
                    sqlx::query("RELEASE docs").execute(connection).await?;
                    return Ok(Err(StoreError::Conflict {
                        kind: row.kind.to_owned(),
                        id: row.id.to_owned(),
                        expected,
                        found,
                    }));
                }
                put(connection, &[row], &mut versions).await?;
            }
        }
    }
    sqlx::query("RELEASE docs").execute(connection).await?;
    Ok(Ok(Done::Versions(versions)))
}

/// Neighbours that go into one statement.
fn runs(ops: &[DocOp]) -> Vec<Run<'_>> {
    let mut runs: Vec<Run<'_>> = Vec::new();
    for op in ops {
        let (row, expect) = match op {
            DocOp::Delete { kind, id } => {
                match runs.last_mut() {
                    Some(Run::Delete(same, ids)) if *same == kind.as_str() && ids.len() < ROWS => ids.push(id),
                    _ => runs.push(Run::Delete(kind, vec![id.as_str()])),
                }
                continue;
            }
            DocOp::Put { kind, id, body, expect } => {
                let body = Cow::Owned(body.to_string());
                (Row { kind, id, body }, *expect)
            }
            DocOp::Write { kind, id, text } => {
                let body = Cow::Borrowed(&**text);
                (Row { kind, id, body }, None)
            }
        };
        match (runs.last_mut(), expect) {
            (_, Some(expected)) => runs.push(Run::Expect(row, expected)),
            (Some(Run::Write(rows)), None) if rows.len() < ROWS && !rows.iter().any(|other| other.is(&row)) => {
                rows.push(row);
            }
            _ => runs.push(Run::Write(vec![row])),
        }
    }
    runs
}

impl Row<'_> {
    fn is(&self, other: &Row<'_>) -> bool {
        self.id == other.id && self.kind == other.kind
    }
}

async fn put(connection: &mut SqliteConnection, rows: &[Row<'_>], versions: &mut Vec<i64>) -> Result<(), sqlx::Error> {
    let mut sql = QueryBuilder::<Sqlite>::new("INSERT INTO doc (kind, id, version, body) ");
    sql.push_values(rows, |mut values, row| {
        values
            .push_bind(row.kind)
            .push_bind(row.id)
            .push_bind(1_i64)
            .push_bind(&*row.body);
    });
    sql.push(" ON CONFLICT DO UPDATE SET version = version + 1, body = excluded.body RETURNING kind, id, version");
    let written: Vec<(String, String, i64)> = sql.build_query_as().fetch_all(connection).await?;
    // SQLite does not promise an order.
    let written: HashMap<(&str, &str), i64> = written
        .iter()
        .map(|(kind, id, version)| ((kind.as_str(), id.as_str()), *version))
        .collect();
    versions.extend(
        rows.iter()
            .map(|row| written.get(&(row.kind, row.id)).copied().unwrap_or(1)),
    );
    Ok(())
}

async fn delete(connection: &mut SqliteConnection, kind: &str, ids: &[&str]) -> Result<(), sqlx::Error> {
    let mut sql = QueryBuilder::<Sqlite>::new("DELETE FROM doc WHERE kind = ");
    sql.push_bind(kind).push(" AND id IN (");
    let mut list = sql.separated(", ");
    for id in ids {
        list.push_bind(*id);
    }
    sql.push(")");
    sql.build().execute(connection).await?;
    Ok(())
}

/// The version of a document now; 0 when there is none.
async fn version(connection: &mut SqliteConnection, row: &Row<'_>) -> Result<i64, sqlx::Error> {
    let found: Option<(i64,)> = sqlx::query_as("SELECT version FROM doc WHERE kind = ? AND id = ?")
        .bind(row.kind)
        .bind(row.id)
        .fetch_optional(connection)
        .await?;
    Ok(found.map_or(0, |(version,)| version))
}
