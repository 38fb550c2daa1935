//! What the operator says about plugins.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};
use streamflow_plugin_host::{Limits, Options};

/// `[[processors]]` with `kind = "plugin"`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluginOptions {
    /// Path of a file, or the plain name of a transform that came with the agent.
    pub plugin: String,
    /// Name in messages and counters; that of the plugin unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Configuration of the plugin. Shown without its texts, as a secret may be among them.
    #[serde(default, serialize_with = "masked")]
    pub config: Map<String, Value>,
    /// What happens to events when it fails.
    #[serde(default)]
    pub on_error: OnError,
}

impl PluginOptions {
    /// Name in messages and counters.
    #[must_use]
    pub fn name(&self) -> String {
        let stem = || {
            Path::new(&self.plugin)
                .file_stem()
                .map(|stem| stem.to_string_lossy().into_owned())
        };
        self.name.clone().or_else(stem).unwrap_or_default()
    }

    /// What is wrong with the value of `plugin`, before anything is opened.
    pub(crate) fn mistake(&self) -> Option<&'static str> {
        let path = Path::new(&self.plugin);
        let plain = path.components().count() == 1 && path.extension().is_none();
        let fits = path.is_absolute() || (plain && !self.plugin.contains('/'));
        (!fits).then_some(
            "must be the absolute path of a file, such as \"/etc/streamflow/redact-pii.wasm\", or the plain name of a transform that came with the agent, such as \"redact-pii\"",
        )
    }
}

/// Stands for a text that may be a secret.
const MASK: &str = "***";

/// A value without its texts. Which of them are secrets only the plugin's schema says; where a secret is kept (`env:NAME`, `file:/path`) is none.
fn mask(value: &Value) -> Value {
    match value {
        Value::String(text) if text.starts_with("env:") || text.starts_with("file:") => value.clone(),
        Value::String(_) => Value::from(MASK),
        Value::Array(items) => items.iter().map(mask).collect(),
        Value::Object(entries) => Value::Object(mask_all(entries)),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn mask_all(config: &Map<String, Value>) -> Map<String, Value> {
    config.iter().map(|(key, value)| (key.clone(), mask(value))).collect()
}

fn masked<S: Serializer>(config: &Map<String, Value>, serializer: S) -> Result<S::Ok, S::Error> {
    mask_all(config).serialize(serializer)
}

impl std::fmt::Debug for PluginOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PluginOptions")
            .field("plugin", &self.plugin)
            .field("name", &self.name)
            .field("config", &mask_all(&self.config))
            .field("on_error", &self.on_error)
            .finish()
    }
}

/// What happens to a batch on which a transform fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// It goes on as it was.
    Pass,
    /// Its events are given up and counted.
    // Whoever configures a transform relies on it: what it is to take out must not leave the host for a failure, and one batch that it cannot stand must not
    // silence the host for good.
    #[default]
    Drop,
    /// Its source waits until the transform takes it.
    Block,
}

impl OnError {
    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Drop => "drop",
            Self::Block => "block",
        }
    }
}

/// `[plugins]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PluginsOptions {
    /// Folder of the transforms that came with the agent, trusted as the agent itself. Found beside the program when not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shipped_dir: Option<PathBuf>,
    /// Public keys of minisign whose signatures are trusted.
    pub trusted_keys: Vec<String>,
    /// Runs transforms although nobody has signed them.
    pub allow_unsigned: bool,
    /// Limits of every transform; a manifest can only ask for less.
    pub limits: PluginLimits,
}

/// Longest `transform_deadline_ms`: well below the host's limit for a call with all its waiting, which would end the call first.
pub(crate) const MAX_DEADLINE_MS: u32 = 20_000;

/// `[plugins.limits]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PluginLimits {
    /// Memory of one instance; each source has one of each transform.
    pub memory_mib: u32,
    /// Computing time of one call.
    pub transform_deadline_ms: u32,
    /// Time to compile a plugin.
    pub compile_ms: u32,
}

impl Default for PluginLimits {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            memory_mib: limits.memory_mib,
            transform_deadline_ms: limits.transform_deadline_ms,
            compile_ms: limits.compile_ms,
        }
    }
}

impl PluginsOptions {
    pub(super) fn for_host(&self) -> Options {
        Options {
            shipped_dir: self.shipped_dir.clone(),
            trusted_keys: self.trusted_keys.clone(),
            allow_unsigned: self.allow_unsigned,
            limits: Limits {
                memory_mib: self.limits.memory_mib,
                transform_deadline_ms: self.limits.transform_deadline_ms,
                compile_ms: self.limits.compile_ms,
                ..Limits::default()
            },
            ..Options::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_longest_deadline_is_met_before_the_limit_of_a_call() {
        let options = PluginsOptions {
            limits: PluginLimits {
                transform_deadline_ms: MAX_DEADLINE_MS,
                ..PluginLimits::default()
            },
            ..PluginsOptions::default()
        };
        let limits = options.for_host().limits;
        assert!(limits.transform_deadline_ms + 5_000 < limits.call_ms);
    }

    #[test]
    fn what_shows_a_configuration_shows_no_secret() {
        let options: PluginOptions = serde_json::from_value(json!({
            "plugin": "redact-pii",
            "config": {
                "key": "0123456789abcdef", "other": "env:KEY", "third": "file:/etc/key", "limit": 7,
                "patterns": [{"name": "x", "regex": "s3cret"}],
            },
        }))
        .unwrap();
        let shown = serde_json::to_value(&options).unwrap();
        assert_eq!(
            shown["config"],
            json!({
                "key": "***", "other": "env:KEY", "third": "file:/etc/key", "limit": 7,
                "patterns": [{"name": "***", "regex": "***"}],
            })
        );
        for shown in [shown.to_string(), format!("{options:?}")] {
            assert!(
                !shown.contains("0123456789abcdef") && !shown.contains("s3cret"),
                "{shown}"
            );
        }
        assert_eq!(options.config["key"], "0123456789abcdef", "the plugin has it");
    }

    #[test]
    fn a_plugin_is_an_absolute_path_or_a_plain_name() {
        let of = |plugin: &str| PluginOptions {
            plugin: plugin.to_owned(),
            name: None,
            config: Map::new(),
            on_error: OnError::default(),
        };
        for (plugin, name) in [("/etc/streamflow/mine.wasm", "mine"), ("redact-pii", "redact-pii")] {
            assert_eq!((of(plugin).mistake(), of(plugin).name().as_str()), (None, name));
        }
        for plugin in ["", "mine.wasm", "./mine", "../mine", "plugins/mine.wasm", "mine/"] {
            assert!(of(plugin).mistake().is_some(), "{plugin}");
        }
    }
}
