//! The HTTP client behind the guard: pooled connections, limits on time and size.

use std::{error::Error as _, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{HeaderMap, Request, StatusCode, body::Incoming};
use hyper_rustls::HttpsConnector;
use hyper_util::{client::legacy::Client, rt::TokioExecutor, rt::TokioTimer};

use super::{
    Denied, EgressOptions, Policy, allow,
    connect::{ConnectError, Connector, Lookup, system_lookup},
};

/// Longest wait for an answer, from the first address lookup to the last byte.
pub(crate) const MAX_TIMEOUT: Duration = Duration::from_secs(10);

/// Largest body of an answer, and of a request.
pub(crate) const MAX_BODY: usize = 1 << 20;

/// Sends requests.
#[derive(Debug)]
pub struct Egress {
    client: Client<HttpsConnector<Connector>, Full<Bytes>>,
    policy: Arc<Policy>,
    connector: Connector,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// The target may not be connected to.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// No connection, or it broke.
    #[error("{0}")]
    Connect(String),
    /// Not in time.
    #[error("no answer in time")]
    Timeout,
    /// The answer's body is larger than 1 MiB.
    #[error("the answer is larger than {MAX_BODY} bytes")]
    TooLarge,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum EgressBuildError {
    /// The configuration names nothing.
    #[error(transparent)]
    Allow(#[from] allow::AllowError),
    /// No TLS.
    #[error("tls: {0}")]
    Tls(#[from] rustls::Error),
}

impl Egress {
    /// From configuration.
    ///
    /// # Errors
    /// When the configuration does not hold, or the TLS library cannot be set up.
    pub fn new(options: &EgressOptions) -> Result<Self, EgressBuildError> {
        Self::with_lookup(options, system_lookup())
    }

    pub(crate) fn with_lookup(options: &EgressOptions, lookup: Lookup) -> Result<Self, EgressBuildError> {
        let policy = Arc::new(Policy::new(options)?);
        let connector = Connector::new(Arc::clone(&policy), lookup);
        let https = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls()?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector.clone());
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(4)
            .build(https);
        Ok(Self {
            client,
            policy,
            connector,
        })
    }

    /// The rules that decide about targets.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What finds the addresses that another protocol may connect to, with its port among the usual ones.
    pub(crate) fn connector_for(&self, port: u16) -> Connector {
        self.connector.with_port(port)
    }

    /// Sends one request and reads its answer. Redirects are answers like any other.
    ///
    /// # Errors
    /// When there is no answer, or none that fits the limits.
    pub async fn send(&self, request: Request<Full<Bytes>>, timeout: Duration) -> Result<Answer, EgressError> {
        let exchange = async {
            let response = self.client.request(request).await.map_err(refusal)?;
            let (head, body) = response.into_parts();
            Ok(Answer {
                status: head.status,
                headers: head.headers,
                body: read(body).await?,
            })
        };
        tokio::time::timeout(timeout.min(MAX_TIMEOUT), exchange)
            .await
            .unwrap_or(Err(EgressError::Timeout))
    }
}

async fn read(body: Incoming) -> Result<Bytes, EgressError> {
    match Limited::new(body, MAX_BODY).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(EgressError::TooLarge),
        Err(error) => Err(EgressError::Connect(error.to_string())),
    }
}

impl From<ConnectError> for EgressError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Denied(denied) => Self::Denied(denied),
            other => Self::Connect(other.to_string()),
        }
    }
}

/// The client wraps our own error several times; it is the one that says something.
fn refusal(error: hyper_util::client::legacy::Error) -> EgressError {
    let mut cause = error.source();
    while let Some(error) = cause {
        match error.downcast_ref::<ConnectError>() {
            Some(ConnectError::Denied(denied)) => return EgressError::Denied(denied.clone()),
            Some(own) => return EgressError::Connect(own.to_string()),
            None if error.source().is_none() => return EgressError::Connect(error.to_string()),
            None => cause = error.source(),
        }
    }
    EgressError::Connect(error.to_string())
}

/// The certificates that this machine trusts. A machine without any can still send plain http, and nothing else.
fn tls() -> Result<rustls::ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        || rustls::ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    match rustls_platform_verifier::Verifier::new(Arc::clone(&provider)) {
        Ok(verifier) => Ok(builder()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth()),
        Err(error) => {
            tracing::warn!(%error, "this machine has no trusted certificates, so https targets cannot be reached");
            Ok(builder()?
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth())
        }
    }
}
