//! The room over the real embedded store.

use axum::{Extension, body::Body, http::Request};
use serde_json::{Value, json};
use streamflow_bus::signals::{self, SignalMessage, SignalReceiver};
use streamflow_model::Role;
use streamflow_proto::build::BatchBuilder;
use streamflow_storage::store::{Appended, Origin};
use streamflow_web::Identity;
use tokio::{sync::mpsc, task::JoinHandle};
use tower::ServiceExt;

use super::*;
use crate::realtime::Snapshot;

mod ill;

/// A window boundary.
const T0: i64 = 1_699_999_200_000;
const PATIENCE: Duration = Duration::from_secs(30);

struct House {
    store: Arc<dyn Store>,
    stop: CancellationToken,
    _service: JoinHandle<()>,
    _dir: tempfile::TempDir,
    seq: u64,
}

impl House {
    async fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (store, service) = streamflow_storage::build(&Default::default(), dir.path(), &Registry::new())
            .await
            .unwrap();
        let stop = CancellationToken::new();
        let token = stop.clone();
        let service = tokio::spawn(async move { drop(service.run(token).await) });
        Self {
            store,
            stop,
            _service: service,
            _dir: dir,
            seq: 0,
        }
    }

    /// Stores one frame and answers its position.
    async fn store(&mut self, events: &[Value]) -> u64 {
        self.seq += 1;
        let mut builder = BatchBuilder::new();
        for event in events {
            builder
                .push_json(event.to_string().as_bytes(), Instant::now().0)
                .unwrap();
        }
        let origin = Origin {
            agent: "host-1".into(),
            epoch: 1,
        };
        let receipt = self.store.append(origin, builder.finish(self.seq)).await.unwrap();
        let Appended::Stored(position) = receipt.await.unwrap().unwrap() else {
            panic!("stored before")
        };
        position
    }

    async fn start(&self, rules: Vec<Rule>) -> Room {
        self.start_on(Arc::clone(&self.store), rules).await
    }

    async fn start_on(&self, store: Arc<dyn Store>, rules: Vec<Rule>) -> Room {
        let options = Options {
            checkpoint_interval: streamflow_model::Span::ZERO,
            ..Options::default()
        };
        let (sender, receiver) = signals::channel();
        let (rules_sender, rules) = watch::channel(Arc::new(rules));
        let analytics = Analytics::build(&options, store, rules, sender, &Registry::new())
            .await
            .unwrap();
        let (handle, routes) = (analytics.handle(), analytics.routes());
        let task = tokio::spawn(analytics.run(self.stop.child_token()));
        Room {
            handle,
            routes,
            signals: listen(receiver),
            _rules: rules_sender,
            task,
        }
    }

    async fn wait_for_checkpoint(&self, position: u64) {
        let reached = async {
            while self
                .store
                .checkpoint(CHECKPOINT)
                .await
                .unwrap()
                .is_none_or(|(at, _)| at < position)
            {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.unwrap();
    }
}

struct Room {
    handle: AnalyticsHandle,
    routes: OpenApiRouter,
    signals: mpsc::Receiver<Signal>,
    _rules: watch::Sender<Arc<Vec<Rule>>>,
    task: JoinHandle<Result<(), AnalyticsError>>,
}

impl Room {
    async fn signal(&mut self) -> Signal {
        tokio::time::timeout(PATIENCE, self.signals.recv())
            .await
            .unwrap()
            .unwrap()
    }

    async fn get(&self, uri: &str) -> (u16, Value) {
        let identity = Identity {
            name: "test".to_owned(),
            role: Role::Viewer,
        };
        let router: axum::Router = self.routes.clone().split_for_parts().0;
        let request = Request::get(uri).body(Body::empty()).unwrap();
        let response = router.layer(Extension(identity)).oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }
}

fn listen(mut receiver: SignalReceiver) -> mpsc::Receiver<Signal> {
    let (sender, signals) = mpsc::channel(100);
    tokio::spawn(async move {
        while let Some(message) = receiver.recv().await {
            match message {
                SignalMessage::Signals(signals) => {
                    for signal in signals {
                        drop(sender.send(signal).await);
                    }
                }
                SignalMessage::Flush(done) => drop(done.send(())),
            }
        }
    });
    signals
}

fn rule() -> Rule {
    serde_json::from_value(json!({
        "id": "r", "name": "r", "match": "type == 'a'", "window": "1h", "group_by": ["source"], "threshold": 2, "version": 1, "created_at": 0, "updated_at": 0,
    }))
    .unwrap()
}

fn event(at: i64) -> Value {
    json!({"type": "a", "source": "s", "timestamp": T0 + at, "data": {"x": at}})
}

#[tokio::test]
async fn goes_on_after_a_kill_where_the_checkpoint_was() {
    let mut house = House::open().await;
    let room = house.start(vec![rule()]).await;
    house.store(&[event(0)]).await;
    let position = house.store(&[event(1)]).await;
    house.wait_for_checkpoint(position).await;
    room.task.abort();
    drop(room);

    house.store(&[event(2), event(3)]).await;
    let mut room = house.start(vec![rule()]).await;
    let signal = room.signal().await;
    assert_eq!((signal.value, signal.met, signal.running), (Some(4.0), true, true));
    let position = house.store(&[event(4)]).await;
    house.wait_for_checkpoint(position).await;
    assert!(room.signals.try_recv().is_err());
    room.task.abort();

    // A checkpoint that cannot be read is not used, and the windows are built from the log again.
    house
        .store
        .put_checkpoint(CHECKPOINT, position, b"from another time".to_vec())
        .await
        .unwrap();
    let mut room = house.start(vec![rule()]).await;
    let signal = room.signal().await;
    assert_eq!((signal.met, signal.window_start), (true, T0));
    house.stop.cancel();
    tokio::time::timeout(PATIENCE, room.task)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn the_live_view_is_filled_again_after_a_restart() {
    let mut house = House::open().await;
    let room = house.start(Vec::new()).await;
    let metric = |value: f64| {
        json!({"type": "metric", "source": "web-1",
            "data": {"name": "host.load.1", "value": value, "unit": "", "labels": {}}})
    };
    house.store(&[event(0), metric(1.0)]).await;
    let position = house.store(&[event(1)]).await;
    house.wait_for_checkpoint(position).await;
    room.task.abort();
    drop(room);

    let room = house.start(Vec::new()).await;
    house.store(&[event(2)]).await;
    let counted = |snapshot: &Snapshot| -> u64 {
        let of_a = snapshot.types.iter().filter(|series| series.kind == "a");
        of_a.flat_map(|series| &series.points).map(|(_, count)| count).sum()
    };
    let full = async {
        while counted(&room.handle.snapshot()) < 3 || room.handle.snapshot().hosts.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, full).await.unwrap();
    assert_eq!(counted(&room.handle.snapshot()), 3, "each event once");
}

#[tokio::test]
async fn answers_aggregations_and_the_live_view() {
    let mut house = House::open().await;
    let room = house.start(Vec::new()).await;
    let now = Instant::now().0;
    let metric = json!({"type": "metric", "source": "web-1", "timestamp": now,
        "data": {"name": "host.disk.used_percent", "value": 41.5, "unit": "percent", "labels": {"mount": "/"}}});
    let other = json!({"type": "a", "source": "t", "timestamp": T0 + 61_000, "data": {"x": 7}});
    let position = house.store(&[event(0), event(1000), event(2000), other, metric]).await;
    house.wait_for_checkpoint(position).await;

    let uri = format!(
        "/api/v1/aggregations?aggregate=sum(data.x)&match=type%20==%20%27a%27&group_by=source&from={T0}&to={}&step=1m",
        T0 + 120_000
    );
    let (status, body) = room.get(&uri).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(
        body["data"],
        json!([
            {"group": {"source": "s"}, "points": [[T0, 3000.0, true]]},
            {"group": {"source": "t"}, "points": [[T0 + 60_000, 7.0, true]]},
        ])
    );
    // A group none of whose events has the attribute has no point to show, and is not there.
    let uri = uri.replace("sum(data.x)", "sum(data.nothing)");
    assert_eq!(room.get(&uri).await.1["data"], json!([]));
    let uri = format!(
        "/api/v1/aggregations?aggregate=count()&from={T0}&to={}&step=1ms",
        T0 + 1000
    );
    let (status, body) = room.get(&uri).await;
    assert_eq!(
        (status, &body["details"]["field"], &body["message"]),
        (400, &json!("step"), &json!("`step`: must be at least 1s"))
    );
    let (_, body) = room
        .get(&format!(
            "/api/v1/aggregations?aggregate=count()&from={T0}&to={}&step=1m",
            T0 + 180_000
        ))
        .await;
    assert_eq!(
        body["data"],
        json!([{"group": {}, "points": [[T0, 3.0, true], [T0 + 60_000, 1.0, true], [T0 + 120_000, 0.0, true]]}])
    );
    for (query, status) in [
        ("aggregate=count()&from=0&step=1s", 422),
        ("aggregate=mean(data.x)", 400),
        ("aggregate=count()&match=nonsense", 400),
        ("aggregate=count()&step=soon", 400),
        ("aggregate=count()&colour=red", 400),
        (
            "aggregate=count()&from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z",
            400,
        ),
        ("", 400),
    ] {
        assert_eq!(
            room.get(&format!("/api/v1/aggregations?{query}")).await.0,
            status,
            "{query}"
        );
    }

    let (status, body) = room.get("/api/v1/metrics/realtime").await;
    assert_eq!(status, 200);
    assert_eq!(body["data"]["hosts"][0]["source"], "web-1");
    let metric = &body["data"]["hosts"][0]["metrics"][0];
    assert_eq!(
        (&metric["unit"], &metric["labels"], &metric["points"][0][1]),
        (&json!("percent"), &json!({"mount": "/"}), &json!(41.5))
    );
    assert_eq!(room.handle.tick(0).hosts.len(), 1);
}

#[tokio::test]
async fn catches_up_through_slow_reads_and_starts_beside_damage() {
    let mut house = House::open().await;
    for at in 0..3 {
        house.store(&[event(at)]).await;
    }
    let ill = ill::Ill {
        inner: Arc::clone(&house.store),
        slow: TICK + TICK / 5,
        damaged: 2,
    };
    assert_eq!(follow::position_before(&ill, i64::MIN).await.unwrap(), 0);
    assert!(
        follow::position_before(&ill, i64::MAX).await.unwrap() < 2,
        "reading begins before the damage"
    );
    let mut room = house.start_on(Arc::new(ill), vec![rule()]).await;
    house.store(&[event(3), event(4)]).await;
    assert!(room.signal().await.met);
}
