//! The statements of a transaction in few commands: each command is a round trip to the connection's thread, and with it two threads that have to be woken.

use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

/// Statements that wait to be run, beginning with the one that begins the transaction.
///
/// The texts that come out of it must be few, since the connection keeps what it has prepared for each: a transaction that inserts once is one command, and one
/// that inserts more often has a command for each insertion.
pub struct Script {
    waiting: QueryBuilder<Sqlite>,
    /// Statements that wait.
    count: usize,
    /// The first of them begins the transaction.
    begins: bool,
}

impl Script {
    /// Begins a transaction.
    pub fn begin() -> Self {
        Self {
            waiting: QueryBuilder::new("BEGIN IMMEDIATE"),
            count: 1,
            begins: true,
        }
    }

    /// Where the next statement goes. What waits besides the beginning of the transaction is run before.
    pub async fn next(&mut self, connection: &mut SqliteConnection) -> Result<&mut QueryBuilder<Sqlite>, sqlx::Error> {
        if self.count > usize::from(self.begins) {
            self.run(connection).await?;
        }
        Ok(self.also())
    }

    /// Where a statement goes that is run together with the one before.
    pub fn also(&mut self) -> &mut QueryBuilder<Sqlite> {
        if self.count > 0 {
            self.waiting.push("; ");
        }
        self.count += 1;
        &mut self.waiting
    }

    /// Runs what waits.
    pub async fn run(&mut self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        if self.count == 0 {
            return Ok(());
        }
        (self.count, self.begins) = (0, false);
        let mut waiting = std::mem::replace(&mut self.waiting, QueryBuilder::new(""));
        waiting.build().execute(connection).await.map(drop)
    }

    /// Ends the transaction with what waits.
    pub async fn commit(mut self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        self.also().push("COMMIT");
        self.run(connection).await
    }
}
