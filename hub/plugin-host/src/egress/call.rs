//! Requests of the hub's own, by the same way out as those of plugins.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, Uri, header, http::HeaderValue};
use url::Position;

use super::{Egress, EgressError};
use crate::sandbox::target;

/// Why a request was not answered as wished.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The URL cannot be used.
    #[error("{0}")]
    Url(&'static str),
    /// There is no answer.
    #[error(transparent)]
    Egress(#[from] EgressError),
    /// The answer is no success.
    #[error("it answered {0}")]
    Status(u16),
}

impl Egress {
    /// Checks a URL that is to be called later.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_url(url: &str) -> Result<(), &'static str> {
        target(url).map(drop)
    }

    /// Sends JSON with POST, or nothing with GET, and expects a success. The URL may hold a secret: no error shows more than its host.
    ///
    /// # Errors
    /// When the target may not be connected to, or does not answer in time with a success.
    pub async fn call(&self, url: &str, json: Option<Vec<u8>>, timeout: Duration) -> Result<(), CallError> {
        let url = target(url).map_err(CallError::Url)?;
        let uri: Uri = url[..Position::AfterQuery]
            .parse()
            .map_err(|_| CallError::Url("the URL cannot be read"))?;
        let method = if json.is_some() { Method::POST } else { Method::GET };
        let is_json = json.is_some();
        let mut request = Request::new(Full::new(Bytes::from(json.unwrap_or_default())));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        let agent = HeaderValue::from_static(concat!("streamflow/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().insert(header::USER_AGENT, agent);
        if is_json {
            let kind = HeaderValue::from_static("application/json");
            request.headers_mut().insert(header::CONTENT_TYPE, kind);
        }
        let answer = self.send(request, timeout).await?;
        if answer.status.is_success() {
            Ok(())
        } else {
            Err(CallError::Status(answer.status.as_u16()))
        }
    }
}
