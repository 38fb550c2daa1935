//! The hub's API as the `plugin` commands use it.

use reqwest::Method;
use serde_json::Value;
use streamflow_model::Role;

use crate::{cli::plugin::OnHub, command::remote::Remote};

/// A hub to talk to.
pub(super) struct Api(Remote);

impl Api {
    /// The hub that the arguments name. Who can read and write the data folder of `--config` is an administrator there.
    pub(super) async fn open(on: &OnHub) -> anyhow::Result<Self> {
        Ok(Self(Remote::connect(&on.common, &on.target, Role::Admin).await?))
    }

    /// Takes back what [`Self::open`] made.
    pub(super) async fn close(self) {
        self.0.close().await;
    }

    pub(super) async fn install(&self, file: Vec<u8>, approve: bool, shadow: bool) -> anyhow::Result<Value> {
        let path = format!("/api/v1/plugins?approve={approve}&shadow={shadow}");
        self.ask(Method::POST, &path, Some(file)).await
    }

    pub(super) async fn shadow(&self, name: &str) -> anyhow::Result<Value> {
        self.ask(Method::GET, &path(name, "/shadow"), None).await
    }

    pub(super) async fn logs(&self, name: &str, after: u64, level: &str, limit: u32) -> anyhow::Result<Value> {
        let query = format!("/logs?after={after}&level={level}&limit={limit}");
        self.ask(Method::GET, &path(name, &query), None).await
    }

    pub(super) async fn list(&self) -> anyhow::Result<Value> {
        self.ask(Method::GET, "/api/v1/plugins", None).await
    }

    pub(super) async fn read(&self, name: &str) -> anyhow::Result<Value> {
        self.ask(Method::GET, &path(name, ""), None).await
    }

    pub(super) async fn act(&self, name: &str, what: &str) -> anyhow::Result<Value> {
        self.ask(Method::POST, &path(name, &format!("/{what}")), None).await
    }

    pub(super) async fn remove(&self, name: &str, force: bool) -> anyhow::Result<()> {
        let path = path(name, &format!("?force={force}"));
        self.ask(Method::DELETE, &path, None).await.map(|_| ())
    }

    /// The `data` of the answer.
    async fn ask(&self, method: Method, path: &str, file: Option<Vec<u8>>) -> anyhow::Result<Value> {
        let mut answer = self.0.send(method, path, file).await?;
        Ok(answer.get_mut("data").map_or(Value::Null, Value::take))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_place_in_the_path() {
        assert_eq!(path("too-hot", "/enable"), "/api/v1/plugins/too-hot/enable");
        assert_eq!(path("../x?", ""), "/api/v1/plugins/%2E%2E%2Fx%3F");
    }
}
