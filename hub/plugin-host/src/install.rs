//! Changes of plugins while the hub runs. A new version is checked and compiled before anything is touched.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use streamflow_component::Kind;

use crate::{
    PluginHost, PluginInfo, PluginUsers,
    catalogue::{Entry, Unloaded},
    folder::gone,
    plugin::Plugin,
    record::Record,
    sandbox::{File, LoadError},
    signature::Trust,
};

/// Why a plugin was not changed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The file cannot be run as a plugin.
    #[error("{0}")]
    Unfit(String),
    /// Nobody whom the hub trusts has signed it.
    #[error("{0}")]
    Untrusted(String),
    /// No such plugin.
    #[error("no plugin is called `{0}`")]
    Unknown(String),
    /// It came with the hub.
    #[error("plugin `{0}` came with the hub; it can be disabled, but not replaced or removed")]
    Shipped(String),
    /// Rules or channels use it.
    #[error("plugin `{name}` is used by {users}; change or delete them first, or remove it all the same by force")]
    Used {
        /// The plugin.
        name: String,
        /// Who they are.
        users: PluginUsers,
    },
    /// Nothing waits for approval.
    #[error("no version of plugin `{0}` waits for approval")]
    NothingWaits(String),
    /// There is no version before.
    #[error("there is no version of plugin `{0}` before this one")]
    NoPrevious(String),
    /// Only a rule that is installed can have a shadow.
    #[error("{0}")]
    NoShadowOf(String),
    /// No version runs in the shadow.
    #[error("no version of plugin `{0}` runs in the shadow; `plugin install --shadow` starts one")]
    NoShadow(String),
    /// The folder of plugins cannot be changed.
    #[error("the folder of plugins cannot be changed: {0}")]
    Folder(#[from] io::Error),
}

impl From<LoadError> for InstallError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Unsigned | LoadError::Signature(_) => Self::Untrusted(error.to_string()),
            other => Self::Unfit(other.to_string()),
        }
    }
}

impl PluginHost {
    /// Takes a plugin file in. It runs at once when `approve` is given or when an operator has approved all its rights before; otherwise it waits,
    /// and the version that runs goes on.
    ///
    /// # Errors
    /// When the file cannot be run, is not trusted, or cannot be kept.
    pub async fn install(&self, bytes: Vec<u8>, approve: bool, by: &str) -> Result<PluginInfo, InstallError> {
        let _one_at_a_time = self.changing.acquire().await;
        let file = File::of(bytes)?;
        let manifest = file.manifest.clone();
        if manifest.kind == Kind::Transform {
            return Err(LoadError::file_for_agents().into());
        }
        let name = manifest.name.as_str();
        let before = self.entry(name);
        if before.as_ref().is_some_and(|entry| entry.trust == Trust::Shipped) {
            return Err(InstallError::Shipped(name.to_owned()));
        }
        let trust = self.loader.trust(&file)?;
        let bytes = file.bytes.clone();
        let plugin = self.loader.load(file).await?;
        let mut record = self.folder.record(name).unwrap_or_else(|| Record {
            approved: before.is_some(),
            ..Record::default()
        });
        if approve {
            record.approve(&manifest);
        }
        if let Some(reason) = record.waits_for(&manifest) {
            self.folder.put_pending(name, &bytes)?;
            tracing::warn!(
                plugin = name,
                version = manifest.version,
                by,
                reason,
                "plugin waits for approval"
            );
            return Ok(self.put_waiting(&manifest, reason, self.folder.pending(name)));
        }
        self.activate(plugin, trust, &bytes, record, before, by).await
    }

    /// Gives the operator's word for the version that waits.
    ///
    /// # Errors
    /// When none waits, or it cannot be run any more.
    pub async fn approve(&self, name: &str, by: &str) -> Result<PluginInfo, InstallError> {
        let _one_at_a_time = self.changing.acquire().await;
        let waiting = self.read().waiting.get(name).cloned();
        let Some(Unloaded { path, .. }) = waiting else {
            let known = self.read().info(name).is_some();
            let error = if known {
                InstallError::NothingWaits
            } else {
                InstallError::Unknown
            };
            return Err(error(name.to_owned()));
        };
        let before = self.entry(name);
        let file = self.loader.read(&path).await?;
        let trust = self.loader.trust(&file)?;
        let (manifest, bytes) = (file.manifest.clone(), file.bytes.clone());
        let plugin = self.loader.load(file).await?;
        let mut record = self.folder.record(name).unwrap_or_default();
        record.approve(&manifest);
        let info = self.activate(plugin, trust, &bytes, record, before, by).await?;
        // A file that somebody had put into the folder under a name of its own.
        if path != self.folder.current(name) {
            gone(std::fs::remove_file(path))?;
        }
        Ok(info)
    }

    pub(crate) async fn activate(
        &self,
        plugin: Arc<Plugin>,
        trust: Trust,
        bytes: &[u8],
        record: Record,
        before: Option<Entry>,
        by: &str,
    ) -> Result<PluginInfo, InstallError> {
        let name = plugin.manifest().name.clone();
        let same = before
            .as_ref()
            .is_some_and(|entry| entry.plugin.sha256() == plugin.sha256());
        self.folder.put_record(&name, &record)?;
        if !same {
            let from = before.as_ref().map(|entry| entry.path.as_path());
            self.folder.put_current(&name, bytes, from)?;
        }
        self.folder.remove_pending(&name)?;
        self.write().waiting.remove(&name);
        let version = plugin.manifest().version.clone();
        let entry = Entry {
            plugin,
            path: self.folder.current(&name),
            trust,
            enabled: record.enabled,
            granted: record.capabilities,
            previous: self.previous_version(&name).await,
        };
        let info = entry.info();
        self.put(entry);
        tracing::info!(plugin = name, version, by, "plugin installed");
        Ok(info)
    }

    /// Goes back to the version before; once more comes back to this one.
    ///
    /// # Errors
    /// When there is none, or it cannot be run any more.
    pub async fn rollback(&self, name: &str, by: &str) -> Result<PluginInfo, InstallError> {
        let _one_at_a_time = self.changing.acquire().await;
        let before = self.own(name)?;
        if !self.folder.previous(name).exists() {
            return Err(InstallError::NoPrevious(name.to_owned()));
        }
        let file = self.loader.read(&self.folder.previous(name)).await?;
        let trust = self.loader.trust(&file)?;
        let plugin = self.loader.load(file).await?;
        self.folder.swap(name, &before.path)?;
        let version = plugin.manifest().version.clone();
        let entry = Entry {
            plugin,
            path: self.folder.current(name),
            trust,
            enabled: before.enabled,
            granted: before.granted,
            previous: Some(before.plugin.manifest().version.clone()),
        };
        let info = entry.info();
        self.put(entry);
        tracing::info!(plugin = name, version, by, "plugin rolled back");
        Ok(info)
    }

    /// Switches a plugin on or off. Switching on also lets it out of quarantine.
    ///
    /// # Errors
    /// When no plugin of this name was loaded, or the decision cannot be kept.
    pub async fn set_enabled(&self, name: &str, enabled: bool, by: &str) -> Result<PluginInfo, InstallError> {
        let _one_at_a_time = self.changing.acquire().await;
        let mut entry = self.entry(name).ok_or_else(|| InstallError::Unknown(name.to_owned()))?;
        let mut record = self.folder.record(name).unwrap_or_else(|| Record {
            approved: true,
            ..Record::default()
        });
        if record.enabled != enabled {
            record.enabled = enabled;
            self.folder.put_record(name, &record)?;
        }
        entry.enabled = enabled;
        if enabled {
            entry.plugin.release();
        }
        let info = entry.info();
        self.put(entry);
        tracing::info!(plugin = name, enabled, by, "plugin switched by hand");
        Ok(info)
    }

    /// Removes a plugin with all its versions, and files of its name that are not loaded. Rules that use it stop, and channels can deliver nothing: only
    /// `force` removes one that has such users.
    ///
    /// # Errors
    /// When there is none, it is used or came with the hub, or its files cannot be removed.
    pub async fn remove(&self, name: &str, force: bool, by: &str) -> Result<(), InstallError> {
        let _one_at_a_time = self.changing.acquire().await;
        let entry = self.entry(name);
        let (waits, others) = {
            let catalogue = self.read();
            let others = catalogue.not_loaded.iter().filter(|file| file.info.name == name);
            let others: Vec<PathBuf> = others.map(|file| file.path.clone()).collect();
            (catalogue.waiting.contains_key(name), others)
        };
        let lies_here = |path: &Path| path.parent() == Some(self.folder.path());
        let own: Vec<&PathBuf> = others.iter().filter(|path| lies_here(path)).collect();
        if entry.is_none() && !waits && own.is_empty() {
            let error = if others.is_empty() {
                InstallError::Unknown
            } else {
                InstallError::Shipped
            };
            return Err(error(name.to_owned()));
        }
        if entry.as_ref().is_some_and(|entry| entry.trust == Trust::Shipped) {
            return Err(InstallError::Shipped(name.to_owned()));
        }
        let users = self.users.of(name);
        if !force && !users.is_empty() {
            let name = name.to_owned();
            return Err(InstallError::Used { name, users });
        }
        for path in own {
            gone(std::fs::remove_file(path))?;
        }
        self.folder
            .remove(name, entry.as_ref().map(|entry| entry.path.as_path()))?;
        {
            let mut catalogue = self.write();
            catalogue.loaded.remove(name);
            catalogue.waiting.remove(name);
            catalogue.shadows.remove(name);
            catalogue
                .not_loaded
                .retain(|file| file.info.name != name || !lies_here(&file.path));
        }
        self.loader.meters.removed(name);
        self.loader.journals.forget(name);
        self.has_changed();
        tracing::info!(plugin = name, %users, by, "plugin removed");
        Ok(())
    }

    pub(crate) fn entry(&self, name: &str) -> Option<Entry> {
        self.read().loaded.get(name).cloned()
    }

    /// A loaded plugin that did not come with the hub.
    pub(crate) fn own(&self, name: &str) -> Result<Entry, InstallError> {
        let entry = self.entry(name).ok_or_else(|| InstallError::Unknown(name.to_owned()))?;
        if entry.trust == Trust::Shipped {
            return Err(InstallError::Shipped(name.to_owned()));
        }
        Ok(entry)
    }
}
