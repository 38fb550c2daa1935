//! The one task that writes. It takes whatever waits, writes it in one transaction, and answers after the sync (group commit without a
//! timer): while one sync runs, the next group gathers.
//!
//! A full disk is answered and tried again. Any other failure of a write ends the writer for good: after a failed sync nobody knows what
//! the disk holds, so the process has to stop and recover from the log.

use std::{collections::HashSet, sync::Arc, time::Duration};

use sqlx::{Connection, SqliteConnection};
use streamflow_bus::{Committed, Content, LogTail};
use streamflow_model::Instant;
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    time::Instant as Clock,
};

use super::{
    FolderLock,
    append::{Batch, Log},
    checkpoint::Moves,
    command::{Arrival, Command, Done, Task},
    fault::Fault,
    part::PartCache,
    script::Script,
    task,
};
use crate::{
    StoreError,
    metrics::Metrics,
    store::{Appended, Origin, StoreHealth},
};

/// Commands of one transaction.
const GROUP: usize = 256;
/// A full disk is tried this often, so that the store is ready soon after there is room.
const PROBE: Duration = Duration::from_secs(1);
/// When nothing was to be written for so long, the pages of what was written last need not stay in memory: they are 24 MiB after a burst.
const QUIET: Duration = Duration::from_secs(1);

/// All that the writer needs.
pub struct Writer {
    pub connection: SqliteConnection,
    pub queue: mpsc::Receiver<Command>,
    pub log: Log,
    /// Frames may be appended by the process with the lock alone.
    pub lock: Option<FolderLock>,
    pub tail: LogTail,
    pub recent: Arc<PartCache>,
    pub health: watch::Sender<StoreHealth>,
    /// Absent beside a running hub.
    pub moves: Option<Moves>,
    /// Woken after every commit of frames into the inbox.
    pub committed: Arc<Notify>,
    pub metrics: Metrics,
}

type FrameReply = oneshot::Sender<Result<Appended, StoreError>>;
type TaskReply = oneshot::Sender<Result<Done, StoreError>>;

#[derive(Default)]
struct Group {
    frames: Vec<Arrival>,
    frame_replies: Vec<FrameReply>,
    tasks: Vec<Task>,
    task_replies: Vec<TaskReply>,
}

impl Group {
    /// Takes the frames that can do without the chunks. Whoever sends again what was refused has to go back to it, so what is behind a chunk of such a sender stays.
    fn take_small(&mut self) -> Self {
        let mut small = Self::default();
        let mut large = Self::default();
        let mut behind: HashSet<Origin> = HashSet::new();
        for (new, reply) in self.frames.drain(..).zip(self.frame_replies.drain(..)) {
            let is_chunk = matches!(new.content, Content::Chunk(_));
            if is_chunk && new.origin.repeats() {
                behind.insert(new.origin.clone());
            }
            let part = if is_chunk || behind.contains(&new.origin) {
                &mut large
            } else {
                &mut small
            };
            part.frames.push(new);
            part.frame_replies.push(reply);
        }
        (self.frames, self.frame_replies) = (large.frames, large.frame_replies);
        small
    }
}

impl Writer {
    /// Works until it is told to stop, nobody can send any more, or a write failed.
    pub async fn run(mut self) -> Result<(), StoreError> {
        let mut waiting = Vec::with_capacity(GROUP);
        let mut keeps_pages = false;
        loop {
            let full = *self.health.borrow() == StoreHealth::Full;
            tokio::select! {
                biased;
                error = Moves::failed(self.moves.as_mut()) => return self.end(Group::default(), error).await,
                count = self.queue.recv_many(&mut waiting, GROUP) => if count == 0 {
                    return self.finish().await;
                },
                () = tokio::time::sleep(PROBE), if full => {
                    self.probe().await?;
                    continue;
                }
                () = tokio::time::sleep(QUIET), if keeps_pages => {
                    self.forget_pages().await;
                    keeps_pages = false;
                    continue;
                }
            }
            self.metrics.queue_depth.set(self.queue.len() as i64);
            let mut room = Vec::with_capacity(waiting.len());
            let mut group = Group::default();
            for command in waiting.drain(..) {
                match command {
                    Command::Append { new, reply, _room } => {
                        room.push(_room);
                        group.frames.push(new);
                        group.frame_replies.push(reply);
                    }
                    Command::Task { task, reply } => {
                        group.tasks.push(task);
                        group.task_replies.push(reply);
                    }
                    Command::Stop => self.queue.close(),
                }
            }
            self.commit(group).await?;
            keeps_pages = true;
        }
    }

    async fn forget_pages(&mut self) {
        if let Err(error) = sqlx::query("PRAGMA shrink_memory").execute(&mut self.connection).await {
            tracing::debug!(%error, "pages stay in memory");
        }
    }

    async fn commit(&mut self, mut group: Group) -> Result<(), StoreError> {
        self.sort_out(&mut group);
        if group.frames.is_empty() && group.tasks.is_empty() {
            return Ok(());
        }
        match self.write(&group.frames, &group.tasks).await {
            Ok((batch, done, now)) => {
                // A sync that came after one that failed proves nothing.
                if let Some(error) = self.moves.as_ref().and_then(Moves::fault) {
                    return self.end(group, error).await;
                }
                self.set_health(StoreHealth::Ready);
                let bytes = group.frames.iter().map(|new| new.content.len()).sum();
                self.publish(group.frames, group.frame_replies, batch, now);
                for (reply, done) in group.task_replies.into_iter().zip(done) {
                    drop(reply.send(done));
                }
                let Some(moves) = &mut self.moves else { return Ok(()) };
                match moves.committed(bytes, &mut self.connection).await {
                    Ok(()) => Ok(()),
                    Err(error) => self.failed(Group::default(), error).await,
                }
            }
            Err(error) => self.failed(group, error).await,
        }
    }

    /// Answers the frames that must not be written, and gives the others their order in the log.
    fn sort_out(&mut self, group: &mut Group) {
        let frames = std::mem::take(&mut group.frames);
        let replies = std::mem::take(&mut group.frame_replies);
        let mut admitted = Vec::with_capacity(frames.len());
        for (new, reply) in frames.into_iter().zip(replies) {
            if self.lock.is_none() {
                let refusal = StoreError::Unsupported("only the running hub may append".to_owned());
                drop(reply.send(Err(refusal)));
            } else if self.log.admits(&new) {
                admitted.push((new, reply));
            } else {
                drop(reply.send(Err(StoreError::OutOfOrder)));
            }
        }
        // Agents first, then the hub's own doors, whose large requests are chunks: frames are merged and small chunks joined between two of those only, so
        // those of a commit shall stand side by side. Each sender's order stays, or a later batch would hide an earlier one.
        if admitted.iter().any(|(new, _)| matches!(new.content, Content::Chunk(_))) {
            admitted.sort_by_key(|(new, _)| !new.origin.repeats());
        }
        (group.frames, group.frame_replies) = admitted.into_iter().unzip();
    }

    async fn failed(&mut self, mut group: Group, error: sqlx::Error) -> Result<(), StoreError> {
        let fault = Fault::of(&error);
        let error = match fault {
            Fault::Fatal => return self.end(group, error.into()).await,
            Fault::Full => {
                self.set_health(StoreHealth::Full);
                StoreError::Full
            }
            Fault::Busy => {
                tracing::warn!(%error, "another process keeps the database locked");
                error.into()
            }
        };
        if fault == Fault::Full && !group.tasks.is_empty() && group.tasks.len() + group.frames.len() > 1 {
            // Removal of old chunks needs no room and makes some; a merged chunk must not take small frames down with it.
            for (task, reply) in group.tasks.drain(..).zip(group.task_replies.drain(..)) {
                let alone = Group {
                    tasks: vec![task],
                    task_replies: vec![reply],
                    ..Group::default()
                };
                Box::pin(self.commit(alone)).await?;
            }
            return Box::pin(self.commit(group)).await;
        }
        if fault == Fault::Full {
            let small = group.take_small();
            if !small.frames.is_empty() && !group.frames.is_empty() {
                Box::pin(self.commit(small)).await?;
            } else {
                self.refuse(small, &error);
            }
        }
        self.refuse(group, &error);
        Ok(())
    }

    /// Tells those who wait that nothing of theirs is stored.
    fn refuse(&mut self, group: Group, error: &StoreError) {
        self.log.refuse(&group.frames);
        answer_all(group.frame_replies.into_iter(), error);
        answer_all(group.task_replies.into_iter(), error);
    }

    /// Takes nothing more and acknowledges nothing more.
    async fn end(&mut self, group: Group, error: StoreError) -> Result<(), StoreError> {
        tracing::error!(%error, "a write failed, the store takes no more");
        self.set_health(StoreHealth::Failed(error.to_string()));
        self.refuse(group, &error);
        self.queue.close();
        while let Some(command) = self.queue.recv().await {
            match command {
                Command::Append { reply, .. } => drop(reply.send(Err(error.clone()))),
                Command::Task { reply, .. } => drop(reply.send(Err(error.clone()))),
                Command::Stop => {}
            }
        }
        Err(error)
    }

    /// One transaction. When it fails nothing of it has happened.
    async fn write(
        &mut self,
        frames: &[Arrival],
        tasks: &[Task],
    ) -> Result<(Batch, Vec<Result<Done, StoreError>>, i64), sqlx::Error> {
        let begun = Clock::now();
        let now = Instant::now().0;
        let mut script = Script::begin();
        let result = async {
            let batch = self.log.append(&mut script, &mut self.connection, frames, now).await?;
            let mut done = Vec::with_capacity(tasks.len());
            for task in tasks {
                script.run(&mut self.connection).await?;
                done.push(task::apply(&mut self.connection, task).await?);
            }
            script.commit(&mut self.connection).await?;
            Ok((batch, done, now))
        };
        match result.await {
            Ok(written) => {
                self.metrics.commit_seconds.observe(begun.elapsed().as_secs_f64());
                Ok(written)
            }
            Err(error) => {
                // SQLite may have rolled back by itself, then this has nothing to do.
                if let Err(rollback) = sqlx::query("ROLLBACK").execute(&mut self.connection).await {
                    tracing::debug!(%rollback, "nothing to roll back");
                }
                Err(error)
            }
        }
    }

    /// Shows the frames to those who follow the log, then answers: who has the answer finds the frame everywhere.
    fn publish(&mut self, frames: Vec<Arrival>, replies: Vec<FrameReply>, batch: Batch, now: i64) {
        if frames.is_empty() {
            return;
        }
        self.metrics.commit_frames.observe(frames.len() as f64);
        self.metrics.stored.inc_by(batch.inbox.events + batch.chunks.events);
        let stored = batch.inbox.batches + batch.chunks.batches;
        self.metrics.duplicates.inc_by(frames.len() as u64 - stored);
        for (new, answer) in frames.into_iter().zip(&batch.answers) {
            if let Appended::Stored(position) = answer {
                let committed = Arc::new(Committed::new(*position, new.origin.agent, now, new.content));
                self.recent.put(committed.clone());
                self.tail.publish(committed);
            }
        }
        for (reply, answer) in replies.into_iter().zip(&batch.answers) {
            drop(reply.send(Ok(*answer)));
        }
        if batch.inbox.batches > 0 {
            self.committed.notify_one();
        }
        self.log.advance(batch);
    }

    /// Writes a few pages and gives them back.
    async fn probe(&mut self) -> Result<(), StoreError> {
        for sql in ["INSERT INTO probe VALUES (zeroblob(262144))", "DELETE FROM probe"] {
            if let Err(error) = sqlx::query(sql).execute(&mut self.connection).await {
                return self.failed(Group::default(), error).await;
            }
        }
        tracing::info!("the disk has room again");
        self.set_health(StoreHealth::Ready);
        Ok(())
    }

    fn set_health(&self, new: StoreHealth) {
        self.health.send_if_modified(|health| {
            let changed = *health != new;
            if changed && new == StoreHealth::Full {
                tracing::error!("the disk of the store is full, nothing is accepted until there is room");
            }
            *health = new;
            changed
        });
    }

    /// Puts the write-ahead log into the database, so that the next start has nothing to recover.
    async fn finish(mut self) -> Result<(), StoreError> {
        if self.lock.is_some() {
            sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
                .execute(&mut self.connection)
                .await?;
        }
        self.connection.close().await?;
        Ok(())
    }
}

fn answer_all<T>(replies: impl Iterator<Item = oneshot::Sender<Result<T, StoreError>>>, error: &StoreError) {
    for reply in replies {
        drop(reply.send(Err(error.clone())));
    }
}
