//! Moves the write-ahead log into the database while the writer goes on.
//!
//! SQLite would do it within a commit, which then takes as long as writing and syncing megabytes of the database: nobody is answered meanwhile. Here a connection
//! of its own moves what there is, and the writer is left with what was committed in the meantime, which is little; then the log begins anew.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use sqlx::SqliteConnection;
use tokio::sync::{Notify, watch};

use super::fault::Fault;
use crate::StoreError;

/// Bytes of batches after which the log is moved: well before SQLite does so by itself (`wal_autocheckpoint`), and seldom enough that pages that are written
/// again and again are moved once.
const DUE: usize = 20 << 20;

/// Moves without waiting for anybody.
const MOVE: &str = "PRAGMA wal_checkpoint(PASSIVE)";

/// The writer's end.
#[derive(Debug)]
pub struct Moves {
    shared: Arc<Shared>,
    fault: watch::Receiver<Option<StoreError>>,
    bytes: usize,
    asked: bool,
}

#[derive(Debug, Default)]
struct Shared {
    due: Notify,
    /// All but the newest has been moved.
    moved: AtomicBool,
}

/// The task's end.
#[derive(Debug)]
pub struct Checkpointer {
    shared: Arc<Shared>,
    fault: watch::Sender<Option<StoreError>>,
    connection: SqliteConnection,
}

/// Both ends.
pub fn pair(connection: SqliteConnection) -> (Moves, Checkpointer) {
    let shared = Arc::<Shared>::default();
    let (fault, seen) = watch::channel(None);
    let moves = Moves {
        shared: shared.clone(),
        fault: seen,
        bytes: 0,
        asked: false,
    };
    let checkpointer = Checkpointer {
        shared,
        fault,
        connection,
    };
    (moves, checkpointer)
}

impl Moves {
    /// Why moving has ended for good, if it has.
    pub fn fault(&self) -> Option<StoreError> {
        self.fault.borrow().clone()
    }

    /// Waits until moving has ended for good, which is for ever if all goes well. Cancel safe.
    pub async fn failed(moves: Option<&mut Self>) -> StoreError {
        if let Some(moves) = moves {
            let found = moves.fault.wait_for(Option::is_some).await;
            if let Some(error) = found.ok().and_then(|found| found.clone()) {
                return error;
            }
        }
        std::future::pending().await
    }

    /// So much has been committed; asks for the move when it is due, and does what is left of one.
    pub async fn committed(&mut self, bytes: usize, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        self.bytes += bytes;
        if self.shared.moved.swap(false, Ordering::AcqRel) {
            (self.bytes, self.asked) = (0, false);
            sqlx::query(MOVE).execute(connection).await?;
        } else if self.bytes >= DUE && !self.asked {
            self.asked = true;
            self.shared.due.notify_one();
        }
        Ok(())
    }
}

impl Checkpointer {
    /// Moves whenever it is asked to. Ends when a write or a sync fails for another reason than a full disk, and the writer is told.
    pub async fn run(&mut self) {
        loop {
            self.shared.due.notified().await;
            if let Err(error) = sqlx::query(MOVE).execute(&mut self.connection).await {
                tracing::warn!(%error, "the write-ahead log could not be moved into the database");
                if Fault::of(&error) == Fault::Fatal {
                    return self.fail(error.into());
                }
            }
            // Also after a failure: the writer then finds the disk full by itself, or has more to do than usual.
            self.shared.moved.store(true, Ordering::Release);
        }
    }

    /// Tells the writer that nobody knows any more what the disk holds: pages that could not be synced may count as clean from now on, so that its own next sync
    /// proves nothing.
    pub fn fail(&self, error: StoreError) {
        self.fault.send_replace(Some(error));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{options::Options, sqlite::open};

    #[tokio::test]
    async fn what_is_committed_ends_in_the_database_and_the_log_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let mut writer = open::writer(&path, &Options::default()).await.unwrap();
        let (mut moves, mut checkpointer) = pair(open::checkpointer(&path).await.unwrap());
        let task = tokio::spawn(async move { checkpointer.run().await });
        let size = || std::fs::metadata(&path).unwrap().len();
        let before = size();
        sqlx::query("INSERT INTO probe VALUES (zeroblob(1000000))")
            .execute(&mut writer)
            .await
            .unwrap();
        moves.committed(DUE - 1, &mut writer).await.unwrap();
        assert_eq!((size(), moves.asked), (before, false));
        moves.committed(1, &mut writer).await.unwrap();
        let moved = async {
            while !moves.shared.moved.load(Ordering::Acquire) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), moved).await.unwrap();
        assert!(size() > before + 900_000);
        moves.committed(1, &mut writer).await.unwrap();
        assert_eq!((moves.bytes, moves.asked), (0, false));
        sqlx::query("DELETE FROM probe").execute(&mut writer).await.unwrap();
        let (busy, pages, _): (i64, i64, i64) = sqlx::query_as("PRAGMA wal_checkpoint(PASSIVE)")
            .fetch_one(&mut writer)
            .await
            .unwrap();
        assert!(busy == 0 && pages < 50, "{pages} pages in the log");
        assert!(!task.is_finished());
        task.abort();
    }

    /// A connection that must not write stands for a disk that cannot.
    #[tokio::test]
    async fn a_move_that_fails_is_told_to_the_writer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let mut writer = open::writer(&path, &Options::default()).await.unwrap();
        let reader = open::readers(&path).acquire().await.unwrap().detach();
        let (mut moves, mut checkpointer) = pair(reader);
        sqlx::query("INSERT INTO probe VALUES (zeroblob(1000000))")
            .execute(&mut writer)
            .await
            .unwrap();
        assert!(moves.fault().is_none());
        moves.committed(DUE, &mut writer).await.unwrap();
        tokio::time::timeout(Duration::from_secs(20), checkpointer.run())
            .await
            .unwrap();
        assert!(matches!(moves.fault(), Some(StoreError::Sql(_))));
        drop(checkpointer);
        assert!(matches!(Moves::failed(Some(&mut moves)).await, StoreError::Sql(_)));
    }
}
