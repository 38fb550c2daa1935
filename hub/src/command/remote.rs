//! How a subcommand asks the running hub: over its API, with a token given or one made for a minute.

use std::{fs, ops::ControlFlow, sync::Arc, time::Duration};

use anyhow::Context;
use reqwest::{Method, RequestBuilder, header};
use serde_json::Value;
use streamflow_dashboard::users;
use streamflow_model::{Role, Span};
use streamflow_storage::Store;

use super::UsageError;
use crate::{
    cli::{Common, Target},
    config::{self, HubConfig},
    serve,
};

/// How long the token that a subcommand makes for itself is good for.
const OWN_TOKEN: Span = Span::from_secs(60);

/// How long a change of plugins may take. The hub answers when it has compiled one, for which it has two minutes.
const CHANGE_TIME: Duration = Duration::from_secs(150);

/// A running hub.
pub struct Remote {
    client: reqwest::Client,
    /// For answers that take long, of which parts arrive meanwhile.
    patient: reqwest::Client,
    base: String,
    token: String,
    /// A token of its own, to be taken back.
    own: Option<(Arc<dyn Store>, String)>,
}

impl Remote {
    /// The hub that the arguments name, or the one whose configuration this machine holds.
    ///
    /// # Errors
    /// When no token is given for a hub elsewhere, or the configuration or the store of the one here cannot be read.
    pub async fn connect(common: &Common, target: &Target, role: Role) -> anyhow::Result<Self> {
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = reqwest::Client::builder().timeout(Duration::from_secs(30)).build()?;
        let patient = reqwest::Client::builder()
            .read_timeout(Duration::from_secs(60))
            .build()?;
        let (base, token, own) = match (&target.hub, &target.token) {
            (Some(hub), Some(token)) => (hub.clone(), token.clone(), None),
            (Some(_), None) => return Err(UsageError("--hub needs --token, or STREAMFLOW_TOKEN".to_owned()).into()),
            (None, token) => {
                let config = config::load(&common.config)?;
                let base = address(&config)?;
                let (token, own) = match token {
                    Some(token) => (token.clone(), None),
                    None => {
                        let store = streamflow_storage::open_tool(&config.storage, &config.data_dir).await?;
                        let name = format!("{}{}", users::COMMAND_LINE, uuid::Uuid::now_v7().simple());
                        let token = users::create_token(store.as_ref(), &name, role, OWN_TOKEN).await?;
                        (token, Some((store, name)))
                    }
                };
                (base, token, own)
            }
        };
        let base = base.trim_end_matches('/').to_owned();
        Ok(Self {
            client,
            patient,
            base,
            token,
            own,
        })
    }

    /// Takes back the token that [`Self::connect`] may have made; without this it ends by itself.
    pub async fn close(self) {
        if let Some((store, name)) = self.own
            && let Err(error) = users::remove_token(store.as_ref(), &name).await
        {
            tracing::warn!(%error, "the command's own token was not taken back; it ends within a minute");
        }
    }

    /// Sends a request and answers the body.
    ///
    /// # Errors
    /// When the hub cannot be reached, or refuses, with its own words.
    pub async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.base))
            .bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        self.answer(request).await
    }

    /// Sends a request that may take as long as a plugin compiles, with a file as its body if there is one, and answers the body.
    ///
    /// # Errors
    /// When the hub cannot be reached, or refuses, with its own words.
    pub async fn send(&self, method: Method, path: &str, file: Option<Vec<u8>>) -> anyhow::Result<Value> {
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.base))
            .timeout(CHANGE_TIME)
            .bearer_auth(&self.token);
        if let Some(file) = file {
            request = request.header(header::CONTENT_TYPE, "application/wasm").body(file);
        }
        self.answer(request).await
    }

    async fn answer(&self, request: RequestBuilder) -> anyhow::Result<Value> {
        let unreachable = || format!("the hub at {} does not answer (is it running?)", self.base);
        let response = request.send().await.with_context(unreachable)?;
        let status = response.status();
        let bytes = response.bytes().await.with_context(unreachable)?;
        let answer: Value = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes).with_context(|| format!("{} answered no JSON", self.base))?
        };
        if status.is_success() {
            return Ok(answer);
        }
        let message = answer["message"].as_str().unwrap_or("no reason given");
        anyhow::bail!("{message} ({status})")
    }

    /// Sends a request whose answer is lines of JSON; `on_line` sees all but the last, which is the result.
    ///
    /// # Errors
    /// When the hub cannot be reached, refuses, fails on the way, or the answer ends without a result.
    pub async fn lines(
        &self,
        path: &str,
        body: &Value,
        mut on_line: impl FnMut(&Value) -> ControlFlow<()>,
    ) -> anyhow::Result<Value> {
        let unreachable = || format!("the hub at {} does not answer (is it running?)", self.base);
        let mut response = self
            .patient
            .post(format!("{}{path}", self.base))
            .bearer_auth(&self.token)
            .header(header::ACCEPT, "application/x-ndjson")
            .json(body)
            .send()
            .await
            .with_context(unreachable)?;
        let status = response.status();
        if !status.is_success() {
            let answer: Value = response.json().await.unwrap_or_default();
            anyhow::bail!("{} ({status})", answer["message"].as_str().unwrap_or("no reason given"));
        }
        let mut rest = Vec::new();
        while let Some(part) = response.chunk().await.with_context(unreachable)? {
            rest.extend_from_slice(&part);
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                let line: Value =
                    serde_json::from_slice(&line).with_context(|| format!("{} answered no JSON", self.base))?;
                match line["type"].as_str() {
                    Some("result") => return Ok(line),
                    Some("error") => anyhow::bail!("{}", line["message"].as_str().unwrap_or("no reason given")),
                    _ if on_line(&line).is_break() => anyhow::bail!("stopped"),
                    _ => {}
                }
            }
        }
        anyhow::bail!("the hub's answer ended without a result; did it stop?")
    }
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
