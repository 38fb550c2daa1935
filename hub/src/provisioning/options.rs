//! Configuration section `[provisioning]`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use streamflow_model::Span;

/// Section `[provisioning]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Folder of files with rules; beside `hub.toml` unless absolute, and none when empty.
    pub rules: PathBuf,
    /// How often it is looked for changes.
    pub interval: Span,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            rules: PathBuf::new(),
            interval: Span::from_secs(2),
        }
    }
}

impl Options {
    /// The folder, if there is to be one.
    pub fn folder(&self) -> Option<&Path> {
        (!self.rules.as_os_str().is_empty()).then_some(self.rules.as_path())
    }

    /// Takes a relative folder to be beside the configuration file.
    pub fn beside(&mut self, config: &Path) {
        if self.folder().is_some()
            && let Some(folder) = config.parent()
        {
            self.rules = folder.join(&self.rules);
        }
    }

    /// Values that cannot work: key and reason.
    pub fn mistakes(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        if self.interval < Span::from_ms(100) {
            wrong.push(("provisioning.interval", "must be 100ms at least".to_owned()));
        }
        wrong
    }
}
