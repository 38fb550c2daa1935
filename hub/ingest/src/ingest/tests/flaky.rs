//! The real store, which says on demand that its disk is full or that it has no room for a frame yet, and keeps the order of calls.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use async_trait::async_trait;
use streamflow_bus::LogTail;
use streamflow_proto::{chunk::EncodedChunk, event::Event, filter::Filter, frame::Frame};
use streamflow_storage::{
    Doc, DocOp, EventPage, EventQuery, LogBatch, Origin, Receipt, Replay, Replayed, Scanned, Store, StoreError,
    StoreStats, Visit,
};
use uuid::Uuid;

#[derive(Debug)]
pub struct Flaky {
    pub inner: Arc<dyn Store>,
    pub full: AtomicBool,
    /// This sequence finds the disk full; 0 for none.
    pub unlucky: AtomicU64,
    /// Frames wait while it is true.
    pub held: tokio::sync::watch::Sender<bool>,
    pub calls: Mutex<Vec<String>>,
}

impl Flaky {
    /// The answer to a batch for which there is no room.
    fn no_room(&self, seq: u64) -> Option<Receipt> {
        let full = self.full.load(Ordering::SeqCst) || self.unlucky.load(Ordering::SeqCst) == seq;
        full.then(|| {
            let (answer, receipt) = tokio::sync::oneshot::channel();
            answer.send(Err(StoreError::Full)).unwrap();
            receipt
        })
    }

    fn called(&self, what: String) {
        self.calls.lock().unwrap().push(what);
    }
}

#[async_trait]
impl Store for Flaky {
    async fn append(&self, origin: Origin, frame: Frame) -> Result<Receipt, StoreError> {
        let seq = frame.header().seq;
        if let Some(receipt) = self.no_room(seq) {
            return Ok(receipt);
        }
        if *self.held.borrow() {
            self.called(format!("waits {seq}"));
            self.held.subscribe().wait_for(|held| !held).await.unwrap();
        }
        self.called(format!("append {seq}"));
        self.inner.append(origin, frame).await
    }
    async fn append_chunk(&self, origin: Origin, seq: u64, chunk: Arc<EncodedChunk>) -> Result<Receipt, StoreError> {
        if let Some(receipt) = self.no_room(seq) {
            return Ok(receipt);
        }
        self.called(format!("chunk {seq}"));
        self.inner.append_chunk(origin, seq, chunk).await
    }
    async fn place_before(&self, frames: u64) -> Result<u64, StoreError> {
        self.inner.place_before(frames).await
    }
    async fn high_water(&self, origin: &Origin) -> Result<Option<u64>, StoreError> {
        self.called("high water".to_owned());
        self.inner.high_water(origin).await
    }
    fn tail(&self) -> &LogTail {
        self.inner.tail()
    }
    async fn read_log(&self, position: u64, max_events: usize) -> Result<Vec<LogBatch>, StoreError> {
        self.inner.read_log(position, max_events).await
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
