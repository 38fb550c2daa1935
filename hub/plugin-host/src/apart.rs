//! A version of a rule plugin apart from the one that runs: for trials over the past, which must neither count nor put the live plugin into quarantine.

use std::path::PathBuf;

use prometheus::Registry;
use streamflow_component::Kind;

use crate::{ChannelError, PluginHost, RulePlugin, catalogue::Entry, meters::Meters, signature::Trust};

impl PluginHost {
    /// A rule plugin of its own instances, faults and figures, in an installed version: the present one, switched off or not, or with `version` one of those
    /// that are kept. It runs under the same limits as the live one.
    ///
    /// # Errors
    /// When there is no such plugin or version, or its file does not load.
    pub async fn rule_apart(&self, name: &str, version: Option<&str>) -> Result<RulePlugin, ChannelError> {
        let unavailable = |reason: String| ChannelError::Unavailable {
            plugin: name.to_owned(),
            reason,
        };
        let entry = self.read().loaded.get(name).cloned();
        let Some(entry) = entry.filter(|entry| entry.plugin.manifest().kind == Kind::Rule) else {
            // Says what there is instead, or why it is not loaded.
            return self.rule(name);
        };
        let (path, wanted) = self.file_of(&entry, name, version).map_err(unavailable)?;
        let file = self
            .loader
            .read(&path)
            .await
            .map_err(|error| unavailable(error.to_string()))?;
        if file.manifest.version != wanted {
            return Err(unavailable("it was replaced just now; try again".to_owned()));
        }
        if entry.trust != Trust::Shipped || path != entry.path {
            self.loader
                .trust(&file)
                .map_err(|error| unavailable(error.to_string()))?;
        }
        // Series that nobody collects.
        let meters = Meters::register(&Registry::new()).map_err(|error| unavailable(error.to_string()))?;
        let loaded = self.loader.load_into(file, &meters).await;
        loaded.map(RulePlugin).map_err(|error| unavailable(error.to_string()))
    }

    /// Where a version lies, and which one it is; in words why there is none.
    fn file_of(&self, entry: &Entry, name: &str, version: Option<&str>) -> Result<(PathBuf, String), String> {
        let running = &entry.plugin.manifest().version;
        match version {
            Some(asked) if asked != running => match &entry.previous {
                Some(previous) if asked == previous => Ok((self.folder.previous(name), previous.clone())),
                Some(previous) => Err(format!(
                    "version {asked} is not installed; there are {running} and {previous}"
                )),
                None => Err(format!("version {asked} is not installed; there is {running}")),
            },
            _ => Ok((entry.path.clone(), running.clone())),
        }
    }
}
