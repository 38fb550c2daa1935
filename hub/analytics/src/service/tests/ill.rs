//! The real store on a disk that is slow and damaged in one place.

use async_trait::async_trait;
use streamflow_bus::LogTail;
use streamflow_proto::{batch::DecodeError, event::Event, filter::Filter, frame::Frame};
use streamflow_storage::{
    Doc, DocOp, EventPage, EventQuery, Origin, Receipt, Replay, Replayed, Scanned, StoreStats, Visit, store::LogBatch,
};
use uuid::Uuid;

use super::*;

#[derive(Debug)]
pub(super) struct Ill {
    pub(super) inner: Arc<dyn Store>,
    /// What a read of many events takes.
    pub(super) slow: Duration,
    /// The batch at this position does not decode.
    pub(super) damaged: u64,
}

#[async_trait]
impl Store for Ill {
    async fn read_log(&self, position: u64, max_events: usize) -> Result<Vec<LogBatch>, StoreError> {
        if position + 1 == self.damaged {
            return Err(StoreError::Corrupt {
                position: self.damaged,
                source: DecodeError::Malformed("test"),
            });
        }
        if max_events > 1 {
            tokio::time::sleep(self.slow).await;
        }
        let mut batches = self.inner.read_log(position, max_events).await?;
        if position < self.damaged {
            batches.truncate(1);
        }
        Ok(batches)
    }
    async fn append(&self, origin: Origin, frame: Frame) -> Result<Receipt, StoreError> {
        self.inner.append(origin, frame).await
    }
    async fn high_water(&self, origin: &Origin) -> Result<Option<u64>, StoreError> {
        self.inner.high_water(origin).await
    }
    fn tail(&self) -> &LogTail {
        self.inner.tail()
    }
    async fn query(&self, query: EventQuery) -> Result<EventPage, StoreError> {
        self.inner.query(query).await
    }
    async fn scan(
        &self,
        from: Option<i64>,
        to: Option<i64>,
        filter: Option<Arc<Filter>>,
        visit: Visit,
    ) -> Result<Scanned, StoreError> {
        self.inner.scan(from, to, filter, visit).await
    }
    async fn replay(
        &self,
        from: i64,
        to: i64,
        filter: Option<Arc<Filter>>,
        visit: Replay,
    ) -> Result<Replayed, StoreError> {
        self.inner.replay(from, to, filter, visit).await
    }
    async fn event(&self, id: Uuid) -> Result<Option<Event>, StoreError> {
        self.inner.event(id).await
    }
    async fn recent_ids(&self, agent: &str, since: i64) -> Result<Vec<(Uuid, i64)>, StoreError> {
        self.inner.recent_ids(agent, since).await
    }
    async fn expire(&self, before: i64) -> Result<u64, StoreError> {
        self.inner.expire(before).await
    }
    async fn stats(&self) -> Result<StoreStats, StoreError> {
        self.inner.stats().await
    }
    async fn doc(&self, kind: &str, id: &str) -> Result<Option<Doc>, StoreError> {
        self.inner.doc(kind, id).await
    }
    async fn docs(&self, kind: &str, after: Option<&str>, limit: usize) -> Result<Vec<Doc>, StoreError> {
        self.inner.docs(kind, after, limit).await
    }
    async fn commit(&self, ops: Vec<DocOp>) -> Result<Vec<i64>, StoreError> {
        self.inner.commit(ops).await
    }
    async fn put_checkpoint(&self, name: &str, position: u64, body: Vec<u8>) -> Result<(), StoreError> {
        self.inner.put_checkpoint(name, position, body).await
    }
    async fn checkpoint(&self, name: &str) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        self.inner.checkpoint(name).await
    }
}
