//! What the operator says about plugins.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use streamflow_plugin_host::{Limits, Options};

/// `[[processors]]` with `kind = "plugin"`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluginOptions {
    /// Path of a file, or the plain name of a transform that came with the agent.
    pub plugin: String,
    /// Name in messages and counters; that of the plugin unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Configuration of the plugin.
    #[serde(default)]
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
    use super::*;

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
