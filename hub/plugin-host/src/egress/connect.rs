//! Connects to a URL's host: resolves it once, and tries only addresses that the policy lets through.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower::Service;

use super::{Denied, Policy};

/// Long enough for a lost SYN and its first repetitions.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Finds the addresses of a name.
pub(crate) type Lookup = Arc<dyn Fn(String) -> BoxFuture<io::Result<Vec<IpAddr>>> + Send + Sync>;

/// Makes connections for the HTTP client. Literal addresses take the same way as names, so that nothing goes round the policy.
#[derive(Clone)]
pub(crate) struct Connector {
    policy: Arc<Policy>,
    lookup: Lookup,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error("the URL has no host")]
    NoHost,
    #[error("{0} cannot be resolved")]
    Unresolved(String, #[source] io::Error),
    #[error("{0} has no address")]
    NoAddress(String),
    #[error("{0}: {1}")]
    Failed(SocketAddr, #[source] io::Error),
    #[error("{0}: no connection in time")]
    Slow(SocketAddr),
}

impl Connector {
    pub(crate) fn new(policy: Arc<Policy>, lookup: Lookup) -> Self {
        Self { policy, lookup }
    }

    async fn connect(self, uri: Uri) -> Result<TokioIo<TcpStream>, ConnectError> {
        let host = uri
            .host()
            .ok_or(ConnectError::NoHost)?
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let port = uri
            .port_u16()
            .unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let mut last = ConnectError::NoAddress(host.clone());
        for address in self.allowed(&host, port).await? {
            last = match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    // A notification is one small write each way; failing to say so costs only latency.
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "nodelay not set");
                    }
                    return Ok(TokioIo::new(stream));
                }
                Ok(Err(error)) => ConnectError::Failed(address, error),
                Err(_) => ConnectError::Slow(address),
            };
        }
        Err(last)
    }

    /// The addresses of a host that the policy lets through, at least one.
    pub(crate) async fn allowed(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
        let (mut allowed, mut last) = (Vec::new(), ConnectError::NoAddress(host.to_owned()));
        for ip in self.addresses(host).await? {
            match self.policy.check(host, ip, port) {
                Ok(()) => allowed.push(SocketAddr::new(ip, port)),
                Err(denied) => last = denied.into(),
            }
        }
        if allowed.is_empty() { Err(last) } else { Ok(allowed) }
    }

    /// The same with one more usual port.
    pub(crate) fn with_port(&self, port: u16) -> Self {
        Self {
            policy: Arc::new(self.policy.with_port(port)),
            lookup: Arc::clone(&self.lookup),
        }
    }

    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, ConnectError> {
        match host.parse() {
            Ok(ip) => Ok(vec![ip]),
            Err(_) => (self.lookup)(host.to_owned())
                .await
                .map_err(|error| ConnectError::Unresolved(host.to_owned(), error)),
        }
    }
}

/// The resolver of this machine.
pub(crate) fn system_lookup() -> Lookup {
    Arc::new(|host: String| {
        Box::pin(async move {
            Ok(tokio::net::lookup_host((host, 0))
                .await?
                .map(|address| address.ip())
                .collect())
        })
    })
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = ConnectError;
    type Future = BoxFuture<Result<Self::Response, ConnectError>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
