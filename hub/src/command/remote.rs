//! How a subcommand asks the running hub: over its API, with a token given or one made for a minute.

use anyhow::Context;
use reqwest::Method;
use serde_json::Value;
use streamflow_dashboard::users;
use streamflow_model::{Role, Span};

use super::UsageError;
use crate::{
    cli::{Common, Target},
    config,
};

/// How long the token that a subcommand makes for itself is good for.
const OWN_TOKEN: Span = Span::from_secs(60);

/// A running hub.
pub struct Remote {
    client: reqwest::Client,
    base: String,
    token: String,
}

impl Remote {
    /// The hub that the arguments name, or the one whose configuration this machine holds.
    ///
    /// # Errors
    /// When no token is given for a hub elsewhere, or the configuration or the store of the one here cannot be read.
    pub async fn connect(common: &Common, target: &Target, role: Role) -> anyhow::Result<Self> {
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = reqwest::Client::builder()
            .timeout(std::time::Duration::from_secs(30))
            .build()?;
        let (base, token) = match (&target.hub, &target.token) {
            (Some(hub), Some(token)) => (hub.clone(), token.clone()),
            (Some(_), None) => return Err(UsageError("--hub needs --token, or STREAMFLOW_TOKEN".to_owned()).into()),
            (None, token) => {
                let config = config::load(&common.config)?;
                let mut listen = config.http.listen;
                if listen.ip().is_unspecified() {
                    listen.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
                }
                let token = match token {
                    Some(token) => token.clone(),
                    None => {
                        let store = streamflow_storage::open_tool(&config.storage, &config.data_dir).await?;
                        let name = format!("{}{}", users::COMMAND_LINE, uuid::Uuid::now_v7().simple());
                        users::create_token(store.as_ref(), &name, role, OWN_TOKEN).await?
                    }
                };
                (format!("http://{listen}"), token)
            }
        };
        let base = base.trim_end_matches('/').to_owned();
        Ok(Self { client, base, token })
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
        let unreachable = || format!("the hub at {} does not answer; is it running?", self.base);
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
}
