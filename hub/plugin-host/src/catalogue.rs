//! All plugins of a hub at one moment: those that can be called, those that wait for approval, and files that are neither.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use crate::{PluginInfo, PluginState, Quarantined, plugin::Plugin, shadow::Shadow, signature::Trust};

/// A plugin that was loaded.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) plugin: Arc<Plugin>,
    /// Its file.
    pub(crate) path: PathBuf,
    pub(crate) trust: Trust,
    /// Not switched off.
    pub(crate) enabled: bool,
    /// Rights that somebody has approved. One that came with the hub has all that it asks for, as it is trusted as the hub's own binary is.
    pub(crate) granted: Vec<String>,
    /// The version to which it can go back.
    pub(crate) previous: Option<String>,
}

/// A version that is not loaded: it waits for approval, is for agents, or cannot be loaded.
#[derive(Debug, Clone)]
pub(crate) struct Unloaded {
    pub(crate) info: PluginInfo,
    /// Its file.
    pub(crate) path: PathBuf,
}

/// All plugins.
#[derive(Default)]
pub(crate) struct Catalogue {
    pub(crate) loaded: BTreeMap<String, Entry>,
    /// Versions that wait for approval.
    pub(crate) waiting: BTreeMap<String, Unloaded>,
    /// Versions that run beside the loaded one of their name.
    pub(crate) shadows: BTreeMap<String, Shadow>,
    /// Files that could not be loaded, and those that are for agents.
    pub(crate) not_loaded: Vec<Unloaded>,
}

impl Entry {
    /// In words why it is switched off.
    fn disabled(&self) -> Option<String> {
        (!self.enabled).then(|| "it was disabled".to_owned())
    }

    pub(crate) fn info(&self) -> PluginInfo {
        let mut info = self.plugin.info();
        if let Some(reason) = self.disabled() {
            info.state = PluginState::Disabled;
            info.reason = Some(reason);
            info.quarantine_cause = None;
            info.quarantined_since = None;
        }
        info.signature = self.trust.text();
        info.granted.clone_from(&self.granted);
        info.previous_version.clone_from(&self.previous);
        info
    }
}

impl Catalogue {
    /// The plugin of this name that may be called, or in words why there is none.
    pub(crate) fn callable(&self, name: &str) -> Option<Result<Arc<Plugin>, String>> {
        if let Some(entry) = self.loaded.get(name) {
            return Some(match entry.disabled() {
                Some(reason) => Err(reason),
                None => Ok(Arc::clone(&entry.plugin)),
            });
        }
        let file = self.unloaded(name)?;
        Some(Err(file.info.reason.clone().unwrap_or_default()))
    }

    /// What waits under a name, else a file that is not loaded.
    fn unloaded(&self, name: &str) -> Option<&Unloaded> {
        let waiting = self.waiting.get(name);
        waiting.or_else(|| self.not_loaded.iter().find(|file| file.info.name == name))
    }

    fn shown(&self, entry: &Entry) -> PluginInfo {
        let mut info = entry.info();
        let shadow = self.shadows.get(&info.name);
        info.shadow_version = shadow.map(|shadow| shadow.plugin.manifest().version.clone());
        info
    }

    /// Every plugin by name; one that waits for approval after the version that runs.
    pub(crate) fn list(&self) -> Vec<PluginInfo> {
        let loaded = self.loaded.values().map(|entry| self.shown(entry));
        let mut list: Vec<PluginInfo> = loaded
            .chain(
                self.waiting
                    .values()
                    .chain(&self.not_loaded)
                    .map(|file| file.info.clone()),
            )
            .collect();
        list.sort_by(|a, b| a.name.cmp(&b.name));
        list
    }

    /// Plugins that would be called and are in quarantine.
    pub(crate) fn quarantined(&self) -> Vec<Quarantined> {
        let enabled = self.loaded.values().filter(|entry| entry.enabled);
        enabled.filter_map(|entry| entry.plugin.quarantined()).collect()
    }

    /// What runs under a name, else what waits, else what is not loaded.
    pub(crate) fn info(&self, name: &str) -> Option<PluginInfo> {
        let loaded = self.loaded.get(name).map(|entry| self.shown(entry));
        loaded.or_else(|| self.unloaded(name).map(|file| file.info.clone()))
    }
}
