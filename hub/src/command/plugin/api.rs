//! The hub's API as the `plugin` commands use it.

use std::{fs, sync::Arc};

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, header};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use streamflow_dashboard::users;
use streamflow_model::{Role, Span};
use streamflow_storage::Store;
use uuid::Uuid;

use crate::{
    cli::plugin::Target,
    config::{self, HubConfig},
    serve,
};

/// Largest answer.
const MAX_ANSWER: usize = 16 << 20;
/// Life of the token with which a command signs in at the hub of `--config`; it is taken back at the end.
const TOKEN_TTL: Span = Span::from_secs(300);

/// A hub to talk to.
pub(super) struct Api {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
    token: String,
    /// A token of its own, to be taken back.
    own: Option<(Arc<dyn Store>, String)>,
}

impl Api {
    /// The hub that the arguments name. Who can read and write the data folder of `--config` is an administrator there.
    pub(super) async fn open(target: &Target) -> anyhow::Result<Self> {
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(streamflow_plugin_host::egress::tls()?)
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        if let (Some(hub), Some(token)) = (&target.hub, &target.token) {
            return Ok(Self {
                client,
                base: hub.trim_end_matches('/').to_owned(),
                token: token.clone(),
                own: None,
            });
        }
        let config = config::load(&target.common.config)?;
        let base = address(&config)?;
        let store = streamflow_storage::open_tool(&config.storage, &config.data_dir).await?;
        let name = format!("plugin-command-{}", Uuid::now_v7().simple());
        let token = users::create_token(store.as_ref(), &name, Role::Admin, TOKEN_TTL).await?;
        Ok(Self {
            client,
            base,
            token,
            own: Some((store, name)),
        })
    }

    /// Takes back what [`Self::open`] made.
    pub(super) async fn close(self) {
        if let Some((store, name)) = self.own
            && let Err(error) = users::remove_token(store.as_ref(), &name).await
        {
            tracing::warn!(%error, "the command's own token was not taken back; it ends within minutes");
        }
    }

    pub(super) async fn install(&self, file: Vec<u8>, approve: bool) -> anyhow::Result<Value> {
        self.ask(Method::POST, &format!("/api/v1/plugins?approve={approve}"), file)
            .await
    }

    pub(super) async fn list(&self) -> anyhow::Result<Value> {
        self.ask(Method::GET, "/api/v1/plugins", Vec::new()).await
    }

    pub(super) async fn read(&self, name: &str) -> anyhow::Result<Value> {
        self.ask(Method::GET, &path(name, ""), Vec::new()).await
    }

    pub(super) async fn act(&self, name: &str, what: &str) -> anyhow::Result<Value> {
        self.ask(Method::POST, &path(name, &format!("/{what}")), Vec::new())
            .await
    }

    pub(super) async fn remove(&self, name: &str) -> anyhow::Result<()> {
        self.ask(Method::DELETE, &path(name, ""), Vec::new()).await.map(|_| ())
    }

    /// The `data` of the answer.
    async fn ask(&self, method: Method, path: &str, body: Vec<u8>) -> anyhow::Result<Value> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, "application/wasm")
            .body(Full::new(Bytes::from(body)))?;
        let answer = self.client.request(request).await;
        let answer = answer.map_err(|error| {
            let cause = std::error::Error::source(&error).map_or_else(String::new, |cause| format!(": {cause}"));
            anyhow!("the hub at {} does not answer{cause}; is it running?", self.base)
        })?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
        let body = body
            .map_err(|error| anyhow!("the hub's answer broke off: {error}"))?
            .to_bytes();
        let mut value: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        if status.is_success() {
            return Ok(value["data"].take());
        }
        bail!(
            "the hub refuses ({status}): {}",
            value["message"].as_str().unwrap_or("without a reason")
        )
    }
}

/// A name as part of a path. Names of plugins need no escaping; others are escaped so that the hub can say that there is no such plugin.
fn path(name: &str, more: &str) -> String {
    let escaped: String = name
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect();
    format!("/api/v1/plugins/{escaped}{more}")
}

/// Where the hub of this configuration listens.
fn address(config: &HubConfig) -> anyhow::Result<String> {
    let mut listen = config.http.listen;
    if listen.port() == 0 {
        let path = serve::address_file(&config.data_dir);
        let text = fs::read_to_string(&path);
        let text = text.with_context(|| {
            format!(
                "http.listen has port 0, and no hub has left its address in {}",
                path.display()
            )
        })?;
        listen = text.trim().parse().with_context(|| path.display().to_string())?;
    }
    if listen.ip().is_unspecified() {
        let loopback = if listen.is_ipv4() { "127.0.0.1" } else { "::1" };
        listen.set_ip(loopback.parse()?);
    }
    Ok(format!("http://{listen}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_place_in_the_path() {
        assert_eq!(path("too-hot", "/enable"), "/api/v1/plugins/too-hot/enable");
        assert_eq!(path("../x?", ""), "/api/v1/plugins/%2E%2E%2Fx%3F");
    }

    #[test]
    fn a_hub_on_all_addresses_is_asked_on_the_loopback() {
        let mut config = HubConfig::default();
        config.http.listen = "0.0.0.0:8080".parse().unwrap();
        assert_eq!(address(&config).unwrap(), "http://127.0.0.1:8080");
        config.http.listen = "[::]:80".parse().unwrap();
        assert_eq!(address(&config).unwrap(), "http://[::1]:80");
        let dir = tempfile::tempdir().unwrap();
        config.data_dir = dir.path().to_owned();
        config.http.listen = "127.0.0.1:0".parse().unwrap();
        assert!(address(&config).is_err());
        fs::write(serve::address_file(dir.path()), "127.0.0.1:4711\n").unwrap();
        assert_eq!(address(&config).unwrap(), "http://127.0.0.1:4711");
    }
}
