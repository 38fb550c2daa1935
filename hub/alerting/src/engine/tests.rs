//! The task with a channel and a store that fail, and with crashes at any point.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use async_trait::async_trait;
use prometheus::Registry;
use serde_json::{Map, Value, json};
use streamflow_bus::{
    LogTail,
    signals::{SignalSender, channel as signal_channel},
};
use streamflow_model::{AlertState, Delivery, Rule, Signal, Span};
use streamflow_plugin_host::{ChannelError, Notice};
use streamflow_storage::{
    Appended, Doc, EventPage, EventQuery, LogBatch, Origin, Receipt, Replay, Replayed, Scanned, StoreError, StoreStats,
    Visit,
};
use tokio::{sync::watch, task::JoinHandle};

use super::*;
use crate::{
    Alerting, AlertingHandle,
    documents::{CHANNEL, DELIVERY, RULE},
    sample::{channel, rule, signal},
};

const DEADLINE: Duration = Duration::from_secs(20);

/// Documents in memory; can refuse to write for a while.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    docs: Mutex<BTreeMap<(String, String), Doc>>,
    commits: watch::Sender<u64>,
    refuse: AtomicU32,
    /// Writes wait while that is so.
    pub(crate) held: watch::Sender<bool>,
    tail: LogTail,
}

impl Memory {
    /// With these rules and channel `ops`.
    pub(crate) fn with(rules: &[Rule]) -> Arc<Self> {
        let store = Self::default();
        let mut docs = store.docs.lock().unwrap();
        let mut add = |kind: &str, id: &str, body: Value| {
            let doc = Doc {
                kind: kind.to_owned(),
                id: id.to_owned(),
                version: 1,
                body,
            };
            docs.insert((kind.to_owned(), id.to_owned()), doc);
        };
        rules.iter().for_each(|rule| add(RULE, &rule.id, json!(rule)));
        add(CHANNEL, "ops", json!(channel("ops")));
        drop(docs);
        Arc::new(store)
    }

    /// Adds a document.
    pub(crate) fn add(&self, kind: &str, id: &str, body: Value) {
        let doc = Doc {
            kind: kind.to_owned(),
            id: id.to_owned(),
            version: 1,
            body,
        };
        self.docs.lock().unwrap().insert((kind.to_owned(), id.to_owned()), doc);
    }

    pub(crate) fn deliveries(&self) -> Vec<Delivery> {
        let docs = self.docs.lock().unwrap();
        let deliveries = docs.values().filter(|doc| doc.kind == DELIVERY);
        deliveries
            .map(|doc| serde_json::from_value(doc.body.clone()).unwrap())
            .collect()
    }

    pub(crate) async fn until(&self, holds: impl Fn(&[Delivery]) -> bool) {
        let mut commits = self.commits.subscribe();
        let wait = commits.wait_for(|_| holds(&self.deliveries()));
        assert!(
            tokio::time::timeout(DEADLINE, wait)
                .await
                .is_ok_and(|done| done.is_ok()),
            "{:?}",
            self.deliveries()
        );
    }
}

#[async_trait]
impl Store for Memory {
    async fn append(&self, _: Origin, _: streamflow_proto::frame::Frame) -> Result<Receipt, StoreError> {
        let (_, receipt) = oneshot::channel::<Result<Appended, StoreError>>();
        Ok(receipt)
    }
    async fn high_water(&self, _: &Origin) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }
    fn tail(&self) -> &LogTail {
        &self.tail
    }
    async fn read_log(&self, _: u64, _: usize) -> Result<Vec<LogBatch>, StoreError> {
        Ok(Vec::new())
    }
    async fn query(&self, _: EventQuery) -> Result<EventPage, StoreError> {
        Err(StoreError::Closed)
    }
    async fn scan(
        &self,
        _: Option<i64>,
        _: Option<i64>,
        _: Option<Arc<streamflow_proto::filter::Filter>>,
        _: Visit,
    ) -> Result<Scanned, StoreError> {
        Err(StoreError::Closed)
    }
    async fn replay(
        &self,
        _: i64,
        _: i64,
        _: Option<Arc<streamflow_proto::filter::Filter>>,
        _: Replay,
    ) -> Result<Replayed, StoreError> {
        Err(StoreError::Closed)
    }
    async fn event(&self, _: uuid::Uuid) -> Result<Option<streamflow_proto::event::Event>, StoreError> {
        Ok(None)
    }
    async fn recent_ids(&self, _: &str, _: i64) -> Result<Vec<(uuid::Uuid, i64)>, StoreError> {
        Ok(Vec::new())
    }
    async fn expire(&self, _: i64) -> Result<u64, StoreError> {
        Ok(0)
    }
    async fn stats(&self) -> Result<StoreStats, StoreError> {
        Ok(StoreStats::default())
    }
    async fn doc(&self, kind: &str, id: &str) -> Result<Option<Doc>, StoreError> {
        Ok(self
            .docs
            .lock()
            .unwrap()
            .get(&(kind.to_owned(), id.to_owned()))
            .cloned())
    }
    async fn docs(&self, kind: &str, after: Option<&str>, limit: usize) -> Result<Vec<Doc>, StoreError> {
        let docs = self.docs.lock().unwrap();
        let of_kind = docs
            .values()
            .filter(|doc| doc.kind == kind && after.is_none_or(|after| doc.id.as_str() > after));
        Ok(of_kind.take(limit).cloned().collect())
    }
    async fn commit(&self, ops: Vec<DocOp>) -> Result<Vec<i64>, StoreError> {
        tokio::task::yield_now().await;
        drop(self.held.subscribe().wait_for(|held| !held).await);
        if self
            .refuse
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
            .is_ok()
        {
            return Err(StoreError::Full);
        }
        let versions = {
            let mut docs = self.docs.lock().unwrap();
            let put = |docs: &mut BTreeMap<(String, String), Doc>, kind: String, id: String, body: Value| {
                let version = docs.get(&(kind.clone(), id.clone())).map_or(1, |doc| doc.version + 1);
                docs.insert(
                    (kind.clone(), id.clone()),
                    Doc {
                        kind,
                        id,
                        version,
                        body,
                    },
                );
                version
            };
            let mut versions = Vec::new();
            for op in ops {
                match op {
                    DocOp::Put { kind, id, body, .. } => versions.push(put(&mut docs, kind, id, body)),
                    DocOp::Write { kind, id, text } => {
                        let body = serde_json::from_str(&text).unwrap();
                        versions.push(put(&mut docs, kind.to_owned(), id, body));
                    }
                    DocOp::Delete { kind, id } => {
                        docs.remove(&(kind, id));
                        versions.push(0);
                    }
                }
            }
            versions
        };
        self.commits.send_modify(|n| *n += 1);
        // A crash between the write and its answer.
        tokio::task::yield_now().await;
        Ok(versions)
    }
    async fn put_checkpoint(&self, _: &str, _: u64, _: Vec<u8>) -> Result<(), StoreError> {
        Ok(())
    }
    async fn checkpoint(&self, _: &str) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        Ok(None)
    }
}

/// Remembers what it was asked to send; fails as often as it was told to.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) sent: watch::Sender<Vec<(Notice, u32)>>,
    pub(crate) fail: AtomicU32,
    pub(crate) refuse: AtomicU32,
    /// Of the last send.
    pub(crate) config: Mutex<Map<String, Value>>,
}

impl Ledger {
    pub(crate) async fn until(&self, count: usize) -> Vec<(Notice, u32)> {
        let mut sent = self.sent.subscribe();
        let wait = sent.wait_for(|sent| sent.len() >= count);
        tokio::time::timeout(DEADLINE, wait)
            .await
            .expect("sent in time")
            .unwrap()
            .clone()
    }
}

fn use_up(counter: &AtomicU32) -> bool {
    counter
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
        .is_ok()
}

#[async_trait]
impl ChannelSender for Ledger {
    async fn check(&self, plugin: &str, config: &Map<String, Value>) -> Result<(), ChannelError> {
        match (plugin, config.contains_key("url")) {
            ("webhook", true) => Ok(()),
            ("webhook", false) => Err(ChannelError::Config {
                plugin: plugin.to_owned(),
                problems: vec!["`url` is missing".to_owned()],
            }),
            _ => Err(ChannelError::UnknownPlugin {
                kind: "channel",
                plugin: plugin.to_owned(),
                known: "webhook".to_owned(),
            }),
        }
    }
    async fn deliver(
        &self,
        _: &str,
        _: &str,
        config: &Map<String, Value>,
        notice: &Notice,
        attempt: u32,
    ) -> Result<String, DeliverError> {
        self.config.lock().unwrap().clone_from(config);
        self.sent.send_modify(|sent| sent.push((notice.clone(), attempt)));
        tokio::task::yield_now().await;
        if use_up(&self.refuse) {
            return Err(DeliverError::Permanent("404".to_owned()));
        }
        if use_up(&self.fail) {
            return Err(DeliverError::Transient {
                reason: "503".to_owned(),
                retry_after_ms: Some(1),
            });
        }
        Ok("ref".to_owned())
    }
    fn secret_keys(&self, plugin: &str) -> Vec<String> {
        Vec::from_iter((plugin == "webhook").then(|| "token".to_owned()))
    }
}

pub(crate) struct Running {
    pub(crate) signals: SignalSender,
    pub(crate) handle: AlertingHandle,
    pub(crate) routes: utoipa_axum::router::OpenApiRouter,
    registry: Registry,
    token: CancellationToken,
    task: JoinHandle<Result<(), AlertingError>>,
}

impl Running {
    /// In a data folder that is gone as soon as its key is read.
    pub(crate) async fn start(store: Arc<dyn Store>, ledger: &Arc<Ledger>) -> Self {
        Self::start_in(tempfile::tempdir().unwrap().path(), store, ledger).await
    }

    pub(crate) async fn start_in(dir: &std::path::Path, store: Arc<dyn Store>, ledger: &Arc<Ledger>) -> Self {
        let options = Options {
            retry_first: Span::from_ms(1),
            retry_longest: Span::from_ms(2),
            breaker_pause: Span::from_ms(1),
            breaker_longest: Span::from_ms(2),
            ..Options::default()
        };
        let (registry, token) = (Registry::new(), CancellationToken::new());
        let (signals, receiver) = signal_channel();
        let sender: Arc<dyn ChannelSender> = ledger.clone();
        let alerting = Alerting::build(&options, dir, "", store, sender, receiver, Vec::new(), &registry)
            .await
            .unwrap();
        let (handle, routes) = (alerting.handle(), alerting.routes());
        let task = tokio::spawn(alerting.run(token.clone()));
        Self {
            signals,
            handle,
            routes,
            registry,
            token,
            task,
        }
    }

    pub(crate) async fn stop(self) {
        self.token.cancel();
        tokio::time::timeout(DEADLINE, self.task)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
    }
}

pub(crate) fn delivered(deliveries: &[Delivery], count: usize) -> bool {
    deliveries
        .iter()
        .filter(|delivery| delivery.state == DeliveryState::Delivered)
        .count()
        >= count
}

#[tokio::test]
async fn a_verdict_reaches_the_channel_and_the_log() {
    let (store, ledger) = (Memory::with(&[rule(json!({}))]), Arc::new(Ledger::default()));
    let running = Running::start(store.clone(), &ledger).await;
    let mut events = running.handle.subscribe();
    running.signals.send(vec![signal(0, 57.0)]).await.unwrap();
    assert_eq!(ledger.until(1).await[0].0.title, "errors: 57 > 50 for source=web-1");
    store.until(|deliveries| delivered(deliveries, 1)).await;
    assert_eq!(events.recv().await.unwrap().state, AlertState::Firing);
    let noted = tokio::time::timeout(DEADLINE, events.recv()).await.unwrap().unwrap();
    assert_eq!(noted.timeline.last().unwrap().detail, "ops: firing");
    running.signals.send(vec![signal(1, 0.0)]).await.unwrap();
    assert_eq!(ledger.until(2).await[1].0.state, AlertState::Resolved);
    store.until(|deliveries| delivered(deliveries, 2)).await;
    running.signals.flush().await.unwrap();
    assert!(running.handle.open_alerts().is_empty());
    let text = prometheus::TextEncoder::new()
        .encode_to_string(&running.registry.gather())
        .unwrap();
    for line in [
        "streamflow_alerts_fired_total{level=\"warning\"} 1",
        "streamflow_alerts_active{state=\"firing\"} 0",
        "streamflow_deliveries_total{channel=\"ops\",outcome=\"delivered\"} 2",
        "streamflow_queue_depth{queue=\"deliveries\"} 0",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    running.stop().await;
}

#[tokio::test]
async fn a_channel_that_is_down_gets_the_same_notification_until_it_takes_it() {
    let (store, ledger) = (Memory::with(&[rule(json!({}))]), Arc::new(Ledger::default()));
    ledger.fail.store(5, Ordering::SeqCst);
    let running = Running::start(store.clone(), &ledger).await;
    running
        .signals
        .send(vec![signal(0, 57.0), signal(1, 0.0)])
        .await
        .unwrap();
    store.until(|deliveries| delivered(deliveries, 2)).await;
    let sent = ledger.until(7).await;
    let seen: Vec<(AlertState, u32)> = sent.iter().map(|(notice, attempt)| (notice.state, *attempt)).collect();
    let mut wanted: Vec<_> = (1..=6).map(|attempt| (AlertState::Firing, attempt)).collect();
    wanted.push((AlertState::Resolved, 1));
    assert_eq!(seen, wanted, "in order, although the first one had to wait");
    assert!(
        sent[..6]
            .iter()
            .all(|(notice, _)| notice.idempotency_key == sent[0].0.idempotency_key)
    );
    running.stop().await;
}

#[tokio::test]
async fn nobody_is_told_before_it_is_written_and_a_full_disk_loses_nothing() {
    let (store, ledger) = (Memory::with(&[rule(json!({}))]), Arc::new(Ledger::default()));
    let running = Running::start(store.clone(), &ledger).await;
    running.signals.flush().await.unwrap();
    store.refuse.store(2, Ordering::SeqCst);
    let mut events = running.handle.subscribe();
    running.signals.send(vec![signal(0, 57.0)]).await.unwrap();
    let flushed = tokio::spawn({
        let signals = running.signals.clone();
        async move { signals.flush().await }
    });
    events.recv().await.unwrap();
    assert_eq!(
        store.refuse.load(Ordering::SeqCst),
        0,
        "shown only after the write that worked"
    );
    ledger.until(1).await;
    flushed.await.unwrap().unwrap();
    running.handle.check().unwrap();
    running.stop().await;
}

#[tokio::test]
async fn the_end_takes_in_what_analytics_still_sent() {
    let (store, ledger) = (Memory::with(&[rule(json!({}))]), Arc::new(Ledger::default()));
    let running = Running::start(store.clone(), &ledger).await;
    running.signals.send(vec![signal(0, 57.0)]).await.unwrap();
    running.stop().await;
    assert_eq!(store.deliveries().len(), 1);
}

/// Kills the task after a number of its steps, again and again; analytics replays everything each time.
#[tokio::test]
async fn crashes_lose_no_notification_and_repeat_at_most_one_each() {
    let (store, ledger) = (Memory::with(&[rule(json!({}))]), Arc::new(Ledger::default()));
    let incidents = 20_usize;
    let all: Vec<Signal> = (0..2 * incidents as i64)
        .map(|n| signal(n, if n % 2 == 0 { 57.0 } else { 0.0 }))
        .collect();
    let mut crashes = 0;
    for (round, known) in all
        .chunks(2)
        .enumerate()
        .map(|(round, _)| (round, &all[..2 * round + 2]))
    {
        let running = Running::start(store.clone(), &ledger).await;
        for signal in known {
            running.signals.send(vec![signal.clone()]).await.unwrap();
        }
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        running.task.abort();
        assert!(running.task.await.unwrap_err().is_cancelled());
        crashes += 1;
    }
    let running = Running::start(store.clone(), &ledger).await;
    running.signals.send(all).await.unwrap();
    running.signals.flush().await.unwrap();
    store
        .until(|deliveries| {
            deliveries
                .iter()
                .all(|delivery| delivery.state == DeliveryState::Delivered)
        })
        .await;
    running.stop().await;
    let deliveries = store.deliveries();
    assert_eq!(
        deliveries.len(),
        2 * incidents,
        "one firing and one resolved for each incident"
    );
    let mut sent: BTreeMap<String, u32> = BTreeMap::new();
    for (notice, _) in ledger.sent.borrow().iter() {
        *sent.entry(notice.idempotency_key.clone()).or_default() += 1;
    }
    assert!(
        deliveries
            .iter()
            .all(|delivery| sent.contains_key(&delivery.idempotency_key)),
        "nothing was lost"
    );
    let repeated: u32 = sent.values().map(|count| count - 1).sum();
    assert!(
        sent.len() == deliveries.len() && repeated <= crashes,
        "{repeated} repeated in {crashes} crashes"
    );
}
