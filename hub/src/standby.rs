//! Active and standby on one data folder: who holds its lock leads, the other waits.
//!
//! The lock is the kernel's. It is free in the moment in which the leader's process is gone, killed or not, and never while it still runs, so two hubs cannot write at the
//! same time, whatever clocks and networks do. A standby has nothing open and knows nothing: what it takes over is in the folder, and is read as after a restart.

use std::{net::SocketAddr, path::Path, time::Duration};

use anyhow::Context;
use axum::{Router, extract::State, http::StatusCode, routing::get};
use serde::{Deserialize, Serialize};
use serde_json::json;
use streamflow_storage::{FolderLock, StoreError};
use tokio::{net::TcpListener, sync::watch};

/// Between two looks at the lock: a fraction of the second in which a standby takes over.
const LOOK: Duration = Duration::from_millis(100);
/// The kernel frees the lock and the leader's ports at the same end of a process, one after the other.
const PORT_PATIENCE: Duration = Duration::from_secs(5);

/// `[ha]`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Wait for the data folder while another hub serves it, instead of giving up.
    pub standby: bool,
    /// Where `/health` and `/ready` say whether this process leads or waits; empty: nowhere.
    pub listen: String,
}

impl Options {
    /// Values that cannot work: key and reason.
    pub fn contradictions(&self) -> Option<(&'static str, String)> {
        let listen = self.listen.as_str();
        let wrong = !listen.is_empty() && listen.parse::<SocketAddr>().is_err();
        wrong.then(|| {
            (
                "ha.listen",
                format!("`{listen}` is not an address with a port, such as 127.0.0.1:8081"),
            )
        })
    }
}

/// What this process is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Another hub serves the folder.
    Standby,
    /// It holds the lock and is starting.
    Starting,
    /// It serves.
    Leader,
}

impl Role {
    const fn name(self) -> &'static str {
        match self {
            Self::Standby => "standby",
            Self::Starting => "starting",
            Self::Leader => "leader",
        }
    }
}

/// Tells what this process is, also to people and balancers that ask at `[ha] listen`.
pub struct Sign {
    role: watch::Sender<Role>,
    /// The address, when there is one.
    pub address: Option<SocketAddr>,
}

impl Sign {
    /// Puts it up.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn put_up(options: &Options) -> anyhow::Result<Self> {
        let role = watch::Sender::new(Role::Starting);
        if options.listen.is_empty() {
            return Ok(Self { role, address: None });
        }
        let listener = TcpListener::bind(&options.listen).await.with_context(|| {
            format!(
                "ha.listen: {} cannot be bound; set another address there",
                options.listen
            )
        })?;
        let address = listener.local_addr()?;
        let router = Router::new()
            .route("/health", get(health))
            .route("/ready", get(ready))
            .with_state(role.subscribe());
        // It stays up as long as the process does: what it says while the hub stops is what the process is.
        tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "ha.listen answers no more");
            }
        });
        Ok(Self {
            role,
            address: Some(address),
        })
    }

    /// Says what the process is now.
    pub fn show(&self, role: Role) {
        self.role.send_replace(role);
    }
}

fn told(role: Role) -> axum::Json<serde_json::Value> {
    axum::Json(json!({"status": "ok", "role": role.name()}))
}

async fn health(State(role): State<watch::Receiver<Role>>) -> axum::Json<serde_json::Value> {
    told(*role.borrow())
}

async fn ready(State(role): State<watch::Receiver<Role>>) -> (StatusCode, axum::Json<serde_json::Value>) {
    let role = *role.borrow();
    let status = if role == Role::Leader {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, told(role))
}

/// Takes the lock of the data folder; a standby waits for it. `waits` is called once when it has to.
///
/// # Errors
/// When another hub serves the folder and this is no standby, or the folder cannot be used.
pub async fn lead(
    storage: &streamflow_storage::Options,
    data_dir: &Path,
    standby: bool,
    waits: impl FnOnce(),
) -> anyhow::Result<FolderLock> {
    let mut waits = Some(waits);
    loop {
        match streamflow_storage::lock(storage, data_dir) {
            Ok(lock) => return Ok(lock),
            Err(StoreError::Locked { .. }) if standby => {
                if let Some(waits) = waits.take() {
                    waits();
                }
                tokio::time::sleep(LOOK).await;
            }
            Err(error @ StoreError::Locked { .. }) => {
                let hint = "another hub serves this data_dir; stop it, give this one a folder of its own, or start it with --standby to take over when the other ends";
                return Err(anyhow::Error::new(error).context(hint));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits until the address for agents can be bound; after a takeover it may be a moment before the kernel has freed it. When it stays taken, whoever binds it says so.
pub async fn udp_free(listen: SocketAddr, taken_over: bool) {
    let patience = if taken_over { PORT_PATIENCE } else { Duration::ZERO };
    let until = tokio::time::Instant::now() + patience;
    let taken = || std::net::UdpSocket::bind(listen).is_err_and(|error| error.kind() == std::io::ErrorKind::AddrInUse);
    while tokio::time::Instant::now() < until && taken() {
        tokio::time::sleep(LOOK).await;
    }
}

/// Binds the address of the API; after a takeover it may be a moment before the kernel has freed it.
///
/// # Errors
/// When it stays taken.
pub async fn bind(listen: SocketAddr, taken_over: bool) -> std::io::Result<TcpListener> {
    let patience = if taken_over { PORT_PATIENCE } else { Duration::ZERO };
    let until = tokio::time::Instant::now() + patience;
    loop {
        match TcpListener::bind(listen).await {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && tokio::time::Instant::now() < until => {
                tokio::time::sleep(LOOK).await;
            }
            bound => return bound,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_second_hub_is_refused_and_a_standby_waits_until_the_first_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let storage = streamflow_storage::Options::default();
        let first = lead(&storage, dir.path(), false, || panic!("nobody else is there"))
            .await
            .unwrap();
        let refused = lead(&storage, dir.path(), false, || {}).await.unwrap_err();
        let text = format!("{refused:#}");
        assert!(text.contains("--standby") && text.contains("hub.lock"), "{text}");
        let mut waited = false;
        let standby = async {
            let waits = || waited = true;
            lead(&storage, dir.path(), true, waits).await
        };
        let gone = async {
            tokio::task::yield_now().await;
            drop(first);
        };
        let (lock, ()) = tokio::join!(standby, gone);
        lock.unwrap();
        assert!(waited);
    }

    #[tokio::test]
    async fn a_port_for_agents_is_waited_for_after_a_takeover_alone() {
        let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let listen = taken.local_addr().unwrap();
        udp_free(listen, false).await;
        let waits = async {
            udp_free(listen, true).await;
            std::net::UdpSocket::bind(listen).unwrap()
        };
        let gone = async {
            tokio::task::yield_now().await;
            drop(taken);
        };
        tokio::join!(waits, gone);
    }

    #[tokio::test]
    async fn the_end_of_the_store_does_not_free_the_folder_while_the_process_holds_its_lock() {
        let dir = tempfile::tempdir().unwrap();
        let storage = streamflow_storage::Options::default();
        let lock = lead(&storage, dir.path(), false, || {}).await.unwrap();
        let registry = prometheus::Registry::new();
        let (store, service) = streamflow_storage::build_locked(&storage, dir.path(), lock.clone(), &registry)
            .await
            .unwrap();
        drop(store);
        let stop = tokio_util::sync::CancellationToken::new();
        stop.cancel();
        service.run(stop).await.unwrap();
        let refused = lead(&storage, dir.path(), false, || {}).await.unwrap_err();
        assert!(format!("{refused:#}").contains("--standby"));
        drop(lock);
        lead(&storage, dir.path(), false, || {}).await.unwrap();
    }

    #[test]
    fn an_address_that_is_none_is_named() {
        let options = |listen: &str| Options {
            listen: listen.to_owned(),
            ..Options::default()
        };
        assert!(options("").contradictions().is_none());
        assert!(options("127.0.0.1:0").contradictions().is_none());
        assert!(options("8081").contradictions().is_some());
    }
}
