//! Both doors over the real store: what each test needs to start and watch them.

mod agent;
mod enrolment;
mod flaky;
mod http;
mod known;
mod large;
mod quic;
mod socket;

use std::{path::PathBuf, sync::Arc, time::Duration};

use axum::Router;
use prometheus::Registry;
use streamflow_model::Role;
use streamflow_storage::{EventQuery, Store};
use streamflow_web::Identity;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Ingest, IngestHandle};
use crate::{Options, QuicOptions};

/// A hub with both doors open.
struct Hub {
    dir: PathBuf,
    store: Arc<dyn Store>,
    flaky: Arc<flaky::Flaky>,
    registry: Registry,
    quic: std::net::SocketAddr,
    handle: IngestHandle,
    router: Router,
    token: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    /// Removes the folder at the end; absent in a hub that was started again.
    folder: Option<tempfile::TempDir>,
}

impl Hub {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut hub = Self::open(folder.path().to_owned(), Options::default(), QuicOptions::default()).await;
        hub.folder = Some(folder);
        hub
    }

    async fn open(dir: PathBuf, options: Options, mut quic: QuicOptions) -> Self {
        quic.listen = "127.0.0.1:0".parse().unwrap();
        let registry = Registry::new();
        let (store, service) = streamflow_storage::build(&streamflow_storage::Options::default(), &dir, &registry)
            .await
            .unwrap();
        let flaky = Arc::new(flaky::Flaky {
            inner: Arc::clone(&store),
            full: false.into(),
            unlucky: 0.into(),
            held: tokio::sync::watch::Sender::new(false),
            calls: std::sync::Mutex::default(),
        });
        let ingest = Ingest::build(&quic, &options, &dir, flaky.clone(), &registry)
            .await
            .unwrap();
        let (quic, handle) = (ingest.quic_addr(), ingest.handle());
        let router = ingest.routes().split_for_parts().0;
        let token = CancellationToken::new();
        let stop = token.clone();
        let doors = tokio::spawn(async move {
            let after = CancellationToken::new();
            let storage = tokio::spawn(service.run(after.clone()));
            ingest.run(stop).await.unwrap();
            after.cancel();
            storage.await.unwrap().unwrap();
        });
        Self {
            dir,
            store,
            flaky,
            registry,
            quic,
            handle,
            router,
            token,
            tasks: vec![doors],
            folder: None,
        }
    }

    /// Stops it in order and starts it again on the same folder.
    async fn restart(self) -> Self {
        self.restart_with(Options::default()).await
    }

    async fn restart_with(mut self, options: Options) -> Self {
        let folder = self.folder.take();
        let dir = self.dir.clone();
        self.stop().await;
        let mut hub = Self::open(dir, options, QuicOptions::default()).await;
        hub.folder = folder;
        hub
    }

    async fn stop(self) {
        let Self {
            store,
            flaky,
            router,
            token,
            tasks,
            handle,
            ..
        } = self;
        drop((store, flaky, router, handle));
        token.cancel();
        for task in tasks {
            task.await.unwrap();
        }
    }

    /// From now on the disk is full, or is not any more.
    fn fill(&self, full: bool) {
        self.flaky.full.store(full, std::sync::atomic::Ordering::SeqCst);
    }

    /// The routes as this role sees them.
    fn as_role(&self, role: Role) -> Router {
        self.router.clone().layer(axum::Extension(Identity {
            name: "test".to_owned(),
            role,
        }))
    }

    async fn count(&self) -> u64 {
        self.store.stats().await.unwrap().events
    }

    async fn events(&self) -> Vec<streamflow_proto::event::Event> {
        self.store
            .query(EventQuery {
                limit: 1000,
                ..EventQuery::default()
            })
            .await
            .unwrap()
            .events
    }

    /// Sum of a counter over its labels that contain `label`.
    fn counted(&self, name: &str, label: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name);
        let metrics = family.map(|family| family.get_metric()).unwrap_or_default();
        let wanted = metrics
            .iter()
            .filter(|metric| label.is_empty() || metric.get_label().iter().any(|pair| pair.value() == label));
        wanted
            .map(|metric| metric.get_counter().get_value() + metric.get_gauge().get_value())
            .sum()
    }
}

/// Waits until something holds.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}
