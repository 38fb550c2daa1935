//! Configuration section `[heartbeat]`.

use serde::{Deserialize, Serialize};
use streamflow_model::Span;
use streamflow_plugin_host::egress::Egress;

/// Shortest and longest time between two calls.
const INTERVAL: (Span, Span) = (Span::from_secs(1), Span::from_secs(86_400));

/// How the URL is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Without a body.
    Get,
    /// With a few words of JSON.
    #[default]
    Post,
}

/// Section `[heartbeat]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Where to; `env:NAME` and `file:/path` keep it out of the file. Empty = nowhere.
    pub url: String,
    /// Time between two calls.
    pub interval: Span,
    /// How it is called.
    pub method: Method,
    /// Longest wait for an answer.
    pub timeout: Span,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            url: String::new(),
            interval: Span::from_secs(60),
            method: Method::default(),
            timeout: Span::from_secs(10),
        }
    }
}

impl Options {
    /// The URL itself.
    ///
    /// # Errors
    /// When the variable or file that it is kept in cannot be read, or holds no URL that can be called.
    pub fn target(&self) -> Result<String, String> {
        let text = if let Some(name) = self.url.strip_prefix("env:") {
            std::env::var(name).map_err(|_| format!("the environment variable {name} is not set"))?
        } else if let Some(path) = self.url.strip_prefix("file:") {
            std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?
        } else {
            self.url.clone()
        };
        let text = text.trim().to_owned();
        Egress::check_url(&text)?;
        Ok(text)
    }

    /// Values that cannot work: key and reason.
    pub fn mistakes(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        if self.interval < INTERVAL.0 || self.interval > INTERVAL.1 {
            let reason = format!("must be between {} and {}", INTERVAL.0, INTERVAL.1);
            wrong.push(("heartbeat.interval", reason));
        }
        if self.timeout == Span::ZERO {
            wrong.push(("heartbeat.timeout", "must be longer than nothing".to_owned()));
        }
        if !self.url.is_empty()
            && let Err(reason) = self.target()
        {
            wrong.push(("heartbeat.url", reason));
        }
        wrong
    }
}
