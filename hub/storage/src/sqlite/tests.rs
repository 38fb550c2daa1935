//! The suite on real files, and what only this store promises: one server, a bounded database, damaged frames set aside.

mod commits;

use std::path::PathBuf;

use bytes::{BufMut, BytesMut};
use serde_json::json;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    store::Appended,
    suite::{self, Fixture},
};

/// A store in a folder of its own; a crash is a copy of the files as they lie on the disk.
struct Folder {
    dir: TempDir,
    options: Options,
    open: Option<(Arc<SqliteStore>, Service)>,
    abandoned: Vec<(TempDir, Arc<SqliteStore>, Service)>,
}

impl Folder {
    fn new() -> Self {
        Self::with(Options {
            merge_events: 100,
            ..Options::default()
        })
    }

    fn with(options: Options) -> Self {
        Self {
            dir: TempDir::new().unwrap(),
            options,
            open: None,
            abandoned: Vec::new(),
        }
    }

    async fn serve(&mut self) -> Arc<SqliteStore> {
        let metrics = Metrics::register(&Registry::new()).unwrap();
        let (store, service) = SqliteStore::serve(&self.options, self.dir.path(), metrics)
            .await
            .unwrap();
        self.open = Some((store.clone(), service));
        store
    }

    fn merger(&self) -> &Merger {
        &self.open.as_ref().unwrap().1.merger
    }
}

#[async_trait]
impl Fixture for Folder {
    async fn open(&mut self) -> Arc<dyn Store> {
        self.serve().await
    }

    async fn close(&mut self) {
        let (_, service) = self.open.take().unwrap();
        let stop = CancellationToken::new();
        stop.cancel();
        service.run(stop).await.unwrap();
    }

    async fn crash(&mut self) {
        let (store, service) = self.open.take().unwrap();
        let copy = TempDir::new().unwrap();
        for file in ["streamflow.db", "streamflow.db-wal"] {
            std::fs::copy(self.dir.path().join(file), copy.path().join(file)).unwrap();
        }
        self.abandoned
            .push((std::mem::replace(&mut self.dir, copy), store, service));
    }

    async fn merge(&mut self) {
        while self.merger().merge_due(i64::MAX).await.unwrap() {}
    }
}

crate::store_suite!(Folder::new());

#[tokio::test]
async fn a_second_server_is_told_so_and_a_tool_works_beside() {
    let mut folder = Folder::new();
    let store = folder.open().await;
    let second = build(&folder.options, folder.dir.path(), &Registry::new()).await;
    assert!(matches!(second, Err(StoreError::Locked { path }) if path.contains("hub.lock")));
    let tool = open_tool(&folder.options, folder.dir.path()).await.unwrap();
    let put = |expect| {
        vec![DocOp::Put {
            kind: "user".into(),
            id: "eva".into(),
            body: json!({}),
            expect: Some(expect),
        }]
    };
    assert_eq!(tool.commit(put(0)).await.unwrap(), [1]);
    assert_eq!(store.commit(put(1)).await.unwrap(), [2]);
    assert!(matches!(tool.commit(put(1)).await, Err(StoreError::Conflict { .. })));
    let receipt = tool.append(suite::origin("a"), suite::frame(1, 0..1)).await.unwrap();
    assert!(matches!(receipt.await.unwrap(), Err(StoreError::Unsupported(_))));
    suite::fill(&*store, 50).await;
    assert_eq!(suite::ask(&*tool, suite::everything()).await.len(), 50);
}

#[tokio::test]
async fn one_database_is_served_by_one_hub_whatever_their_folders_are() {
    let (shared, one, other) = (
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    let options = Options {
        url: format!("sqlite:{}", shared.path().join("a.db").display()),
        ..Options::default()
    };
    let first = super::lock(&options, one.path()).unwrap();
    let second = super::lock(&options, other.path());
    assert!(matches!(second, Err(StoreError::Locked { path }) if path.ends_with("a.db.lock")));
    drop(first);
    super::lock(&options, other.path()).unwrap();
}

#[tokio::test]
async fn other_databases_are_refused() {
    let dir = TempDir::new().unwrap();
    let options = Options {
        url: "postgres://localhost".into(),
        ..Options::default()
    };
    assert!(matches!(
        build(&options, dir.path(), &Registry::new()).await,
        Err(StoreError::Unsupported(_))
    ));
    std::fs::write(
        dir.path().join("streamflow.db"),
        "this is a text, and long enough to be taken for a page",
    )
    .unwrap();
    assert!(build(&Options::default(), dir.path(), &Registry::new()).await.is_err());
}

/// `max_page_count` stands for the disk: SQLite answers both with the same error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_answered_and_recovered_from() {
    let mut folder = Folder::with(Options {
        max_mib: 2,
        cache_mib: 0,
        ..Options::default()
    });
    let store = folder.serve().await;
    let mut seq = 0;
    let noise = |seq: u64| {
        let mut builder = streamflow_proto::build::BatchBuilder::new();
        // Does not compress, so that the disk is full soon.
        let text: String = (0..40_000_u64)
            .map(|at| char::from(33 + (crc32c::crc32c(&(at * 1000 + seq).to_le_bytes()) % 90) as u8))
            .collect();
        let event = json!({"type": "noise", "source": "s", "timestamp": suite::T0, "data": {"text": text}});
        builder.push_json(event.to_string().as_bytes(), suite::T0).unwrap();
        builder.finish(seq)
    };
    let refused = loop {
        seq += 1;
        let receipt = store.append(suite::origin("a"), noise(seq)).await.unwrap();
        match receipt.await.unwrap() {
            Ok(answer) => assert!(matches!(answer, Appended::Stored(_))),
            Err(error) => break error,
        }
        if seq.is_multiple_of(10) {
            folder.merge().await;
        }
        assert!(seq < 1000, "the database never fills");
    };
    assert!(matches!(refused, StoreError::Full), "{refused}");
    assert_eq!(store.health(), StoreHealth::Full);
    let stored = seq - 1;
    assert_eq!(suite::ask(&*store, suite::everything()).await.len() as u64, stored);
    let mut other = open::writer(&folder.dir.path().join("streamflow.db"), &folder.options)
        .await
        .unwrap();
    sqlx::query("DELETE FROM chunk WHERE id = (SELECT min(id) FROM chunk)")
        .execute(&mut other)
        .await
        .unwrap();
    let mut health = store.health.clone();
    tokio::time::timeout(
        std::time::Duration::from_secs(20),
        health.wait_for(|health| *health == StoreHealth::Ready),
    )
    .await
    .unwrap()
    .unwrap();
    let early = store.append(suite::origin("a"), noise(seq + 1)).await.unwrap();
    assert!(
        matches!(early.await.unwrap(), Err(StoreError::OutOfOrder)),
        "it would hide the refused frame"
    );
    let receipt = store.append(suite::origin("a"), noise(seq)).await.unwrap();
    assert_eq!(
        receipt.await.unwrap().unwrap(),
        Appended::Stored(seq),
        "what was refused took no place in the log"
    );
    drop(store);
    folder.close().await;
    let mut connection = open::writer(&folder.dir.path().join("streamflow.db"), &folder.options)
        .await
        .unwrap();
    let (verdict,): (String,) = sqlx::query_as("PRAGMA integrity_check")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(verdict, "ok");
}

/// A frame whose checksum is right, but whose payload is nonsense.
fn nonsense(seq: u64) -> Frame {
    let payload = [0xff; 64];
    let mut rest = BytesMut::new();
    rest.put_u32_le(10);
    rest.put_u32_le(payload.len() as u32);
    rest.put_u64_le(seq);
    rest.put_i64_le(suite::T0);
    rest.put_i64_le(suite::T0 + 5);
    rest.put_slice(&payload);
    let mut bytes = BytesMut::from(&b"SFB1\x01\x00\x00\x00"[..]);
    bytes.put_u32_le(payload.len() as u32);
    bytes.put_u32_le(crc32c::crc32c(&rest));
    bytes.put_slice(&rest);
    Frame::parse(bytes.freeze()).unwrap()
}

#[tokio::test]
async fn a_frame_that_does_not_decode_is_set_aside() {
    let mut folder = Folder::new();
    let store = folder.open().await;
    suite::put(&*store, "a", suite::frame(1, 0..10)).await;
    suite::put(&*store, "a", nonsense(2)).await;
    suite::put(&*store, "a", suite::frame(3, 10..20)).await;
    for _ in 0..2 {
        assert_eq!(suite::ask(&*store, suite::everything()).await.len(), 20);
        let log = store.read_log(0, 1000).await.unwrap();
        let places: Vec<u64> = log
            .iter()
            .flat_map(|batch| &batch.spans)
            .map(|span| span.position)
            .collect();
        assert_eq!(places, [1, 3]);
        folder.merge().await;
    }
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.events, stats.inbox_frames, stats.position), (20, 0, 3));
    assert_eq!(folder.merger().metrics.set_aside.get(), 10);
    let mut connection = open::writer(&folder.dir.path().join("streamflow.db"), &folder.options)
        .await
        .unwrap();
    let (id, seq): (i64, i64) = sqlx::query_as("SELECT id, seq FROM set_aside")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!((id, seq), (2, 2));
}

#[tokio::test]
async fn a_damaged_frame_on_the_disk_does_not_stop_the_merge() {
    let mut folder = Folder::with(Options {
        cache_mib: 0,
        ..Options::default()
    });
    let store = folder.open().await;
    for seq in 1..=3 {
        suite::put(&*store, "a", suite::frame(seq, seq * 10..seq * 10 + 10)).await;
    }
    let mut connection = open::writer(&folder.dir.path().join("streamflow.db"), &folder.options)
        .await
        .unwrap();
    sqlx::query("UPDATE inbox SET body = zeroblob(100) WHERE id = 2")
        .execute(&mut connection)
        .await
        .unwrap();
    folder.merge().await;
    assert_eq!(suite::ask(&*store, suite::everything()).await.len(), 20);
}

#[tokio::test]
async fn a_damaged_chunk_costs_its_own_ids_and_no_others() {
    let mut folder = Folder::with(Options {
        cache_mib: 0,
        ..Options::default()
    });
    let store = folder.open().await;
    for seq in 1..=2 {
        suite::put(&*store, "a", suite::frame(seq, seq * 10..seq * 10 + 10)).await;
        folder.merge().await;
    }
    assert_eq!(store.recent_ids("a", 0).await.unwrap().len(), 20);
    let mut connection = open::writer(&folder.dir.path().join("streamflow.db"), &folder.options)
        .await
        .unwrap();
    sqlx::query("UPDATE chunk SET body = zeroblob(100) WHERE id = 1")
        .execute(&mut connection)
        .await
        .unwrap();
    assert_eq!(store.recent_ids("a", 0).await.unwrap().len(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trickles_are_compacted() {
    let mut folder = Folder::with(Options {
        merge_events: 1024,
        ..Options::default()
    });
    let store = folder.open().await;
    for seq in 0..120 {
        suite::put(&*store, "a", suite::frame(seq + 1, seq * 9..seq * 9 + 9)).await;
        folder.merge().await;
    }
    let chunks = store.stats().await.unwrap().chunks;
    assert!(chunks <= 16, "{chunks} chunks");
    let events = suite::ask(&*store, suite::everything()).await;
    let mut numbers = suite::numbers(&events);
    numbers.sort_unstable();
    assert_eq!(numbers, (0..120 * 9).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_stopped_store_refuses_instead_of_hanging() {
    let mut folder = Folder::new();
    let store = folder.open().await;
    let waiting = store.append(suite::origin("a"), suite::frame(1, 0..5)).await.unwrap();
    folder.close().await;
    assert_eq!(
        waiting.await.unwrap().unwrap(),
        Appended::Stored(1),
        "what had been taken is written"
    );
    assert!(matches!(
        store.append(suite::origin("a"), suite::frame(2, 0..5)).await,
        Err(StoreError::Closed)
    ));
    assert!(matches!(store.commit(Vec::new()).await, Err(StoreError::Closed)));
}

#[tokio::test]
async fn newest_events_cost_the_same_however_many_are_stored() {
    let mut folder = Folder::new();
    let store = folder.open().await;
    for seq in 0..40 {
        suite::put(&*store, "a", suite::frame(seq + 1, seq * 1000..seq * 1000 + 100)).await;
        folder.merge().await;
    }
    let query = EventQuery {
        limit: 50,
        types: vec!["type.1".into()],
        ..EventQuery::default()
    };
    let page = store.query(query).await.unwrap();
    assert_eq!(page.events.len(), 50);
    assert!(page.scanned.chunks <= 4, "{:?}", page.scanned);
    let none = EventQuery {
        limit: 50,
        sources: vec!["host-9".into()],
        ..EventQuery::default()
    };
    assert_eq!(
        store.query(none).await.unwrap().scanned.chunks,
        0,
        "the filters beside the chunks rule all of them out"
    );
}

#[test]
fn addresses_of_the_database() {
    let data = Path::new("/data");
    for (url, path) in [
        ("sqlite:", "/data/streamflow.db"),
        ("sqlite:/x/y.db", "/x/y.db"),
        ("sqlite:///x/y.db", "/x/y.db"),
        ("sqlite:y.db", "/data/y.db"),
    ] {
        let options = Options {
            url: url.into(),
            ..Options::default()
        };
        assert_eq!(open::database_path(&options, data).unwrap(), PathBuf::from(path));
    }
}

/// Bytes are counted, so that a burst of large frames waits outside.
#[tokio::test]
async fn the_queue_is_bounded_in_bytes() {
    let (queue, mut commands) = Queue::new(8 << 10);
    let frame = suite::frame(1, 0..20);
    assert!(frame.bytes().len() > 512);
    let mut taken = 0;
    let new = || Arrival {
        origin: suite::origin("a"),
        seq: 1,
        content: frame.clone().into(),
    };
    while tokio::time::timeout(std::time::Duration::from_millis(20), queue.append(new()))
        .await
        .is_ok_and(|taken| taken.is_ok())
    {
        taken += 1;
    }
    assert!(taken * frame.bytes().len() <= 8 << 10);
    drop(commands.recv().await);
    assert!(queue.append(new()).await.is_ok());
}

/// A missing table stands for a failed sync: nobody knows what the disk holds.
#[tokio::test]
async fn after_a_failed_write_nothing_is_acknowledged_any_more() {
    let mut folder = Folder::new();
    let store = folder.serve().await;
    suite::put(&*store, "a", suite::frame(1, 0..5)).await;
    let mut other = open::writer(&folder.dir.path().join("streamflow.db"), &folder.options)
        .await
        .unwrap();
    sqlx::query("ALTER TABLE agent_pos RENAME TO gone")
        .execute(&mut other)
        .await
        .unwrap();
    let receipts = [
        store.append(suite::origin("a"), suite::frame(2, 5..10)).await.unwrap(),
        store.append(suite::origin("a"), suite::frame(3, 10..15)).await.unwrap(),
    ];
    for receipt in receipts {
        assert!(matches!(receipt.await.unwrap(), Err(StoreError::Sql(_))));
    }
    sqlx::query("ALTER TABLE gone RENAME TO agent_pos")
        .execute(&mut other)
        .await
        .unwrap();
    assert!(matches!(store.health(), StoreHealth::Failed(_)));
    assert!(matches!(
        store.append(suite::origin("a"), suite::frame(4, 15..20)).await,
        Err(StoreError::Closed)
    ));
    let (_, service) = folder.open.take().unwrap();
    assert!(
        matches!(service.run(CancellationToken::new()).await, Err(StoreError::Sql(_))),
        "so the process stops"
    );
    drop(store);
    let store = folder.serve().await;
    assert_eq!(suite::ask(&*store, suite::everything()).await.len(), 5);
    assert!(matches!(
        suite::put(&*store, "a", suite::frame(2, 5..10)).await,
        Appended::Stored(2)
    ));
}

/// A bug in merging must not cost events.
#[tokio::test]
async fn a_chunk_with_fewer_events_than_it_replaces_is_refused() {
    let mut folder = Folder::new();
    let store = folder.serve().await;
    for seq in 1..=2 {
        suite::put(&*store, "a", suite::frame(seq, seq * 10..seq * 10 + 10)).await;
    }
    let batch = suite::frame(1, 10..20).decode().unwrap();
    let encoded = streamflow_proto::chunk::encode(&[&batch], 1).unwrap();
    let frames = crate::frames::Frames::one(1, "a".into(), 0, 10).encode().unwrap();
    let chunk = Some(command::NewChunk {
        encoded,
        frames,
        stored_at: 0,
    });
    let install = command::Install {
        first: 1,
        last: 2,
        chunk,
        set_aside: Vec::new(),
    };
    let refused = store.queue.run(Task::Install(Box::new(install))).await;
    assert!(matches!(refused, Err(StoreError::Merge(_))));
    assert_eq!(suite::ask(&*store, suite::everything()).await.len(), 20);
}
