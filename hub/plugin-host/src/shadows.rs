//! Putting versions into the shadow of others, and what becomes of them.

use std::{path::PathBuf, sync::Arc};

use prometheus::Registry;
use streamflow_component::Kind;

use crate::{
    InstallError, PluginHost, PluginInfo, ShadowInfo, ShadowPlugin,
    meters::Meters,
    plugin::Plugin,
    sandbox::{File, LoadError},
    shadow::Shadow,
};

impl PluginHost {
    /// Takes in a new version of a rule plugin and runs it beside the one that runs: it is shown the same events, and what it says is compared and goes nowhere.
    /// A shadow that is there already gives way.
    ///
    /// # Errors
    /// When there is no such rule plugin, the file cannot be run or is not trusted, or it cannot be kept.
    pub async fn install_shadow(&self, bytes: Vec<u8>, approve: bool, by: &str) -> Result<PluginInfo, InstallError> {
        let _one_at_a_time = self.changing.acquire().await;
        let file = File::of(bytes)?;
        let manifest = file.manifest.clone();
        if manifest.kind == Kind::Transform {
            return Err(LoadError::file_for_agents().into());
        }
        let name = manifest.name.as_str();
        if self.entry(name).is_none() {
            let waits = self.read().waiting.contains_key(name);
            return Err(InstallError::NoShadowOf(if waits {
                format!(
                    "plugin `{name}` waits for approval and does not run, so that there is nothing to compare it with; approve it, or install this file without --shadow"
                )
            } else {
                format!(
                    "no plugin is called `{name}`, so that there is nothing to compare it with; install it without --shadow"
                )
            }));
        }
        let active = self.own(name)?;
        if manifest.kind != Kind::Rule || active.plugin.manifest().kind != Kind::Rule {
            return Err(InstallError::NoShadowOf(
                "only rules run in a shadow: what a channel does cannot be done twice".to_owned(),
            ));
        }
        if active.plugin.sha256() == file.sha256() {
            return Err(InstallError::NoShadowOf(format!(
                "this is the file of plugin `{name}` that runs"
            )));
        }
        let trust = self.loader.trust(&file)?;
        let bytes = file.bytes.clone();
        let plugin = self.load_shadow(file).await?;
        let mut record = self.folder.record(name).unwrap_or_else(|| crate::record::Record {
            approved: true,
            ..crate::record::Record::default()
        });
        if approve {
            record.approve(&manifest);
            self.folder.put_record(name, &record)?;
        } else if let Some(reason) = record.waits_for(&manifest) {
            return Err(InstallError::NoShadowOf(format!("{reason}; --approve approves it")));
        }
        self.folder.put_shadow(name, &bytes)?;
        let shadow = Shadow::new(plugin, self.folder.shadow(name), trust);
        self.write().shadows.insert(name.to_owned(), shadow);
        self.has_changed();
        tracing::info!(
            plugin = name,
            version = manifest.version,
            by,
            "plugin runs in the shadow"
        );
        let info = self.read().info(name);
        info.ok_or_else(|| InstallError::Unknown(name.to_owned()))
    }

    /// With figures of its own, which nobody collects.
    async fn load_shadow(&self, file: File) -> Result<Arc<Plugin>, LoadError> {
        let meters = Meters::register(&Registry::new()).map_err(|error| LoadError::Compile(error.to_string()))?;
        self.loader.load_into(file, &meters).await
    }

    /// Shadows that were there when the hub stopped; the comparison begins anew.
    pub(crate) async fn load_shadows(&self, files: Vec<PathBuf>) {
        for path in files {
            let load = async {
                let file = self.loader.read(&path).await?;
                let trust = self.loader.trust(&file)?;
                let name = file.manifest.name.clone();
                let plugin = self.load_shadow(file).await?;
                Ok::<_, LoadError>((name, Shadow::new(plugin, path.clone(), trust)))
            };
            match load.await {
                Ok((name, shadow)) if self.entry(&name).is_some() => {
                    self.write().shadows.insert(name, shadow);
                }
                Ok((name, _)) => {
                    tracing::warn!(plugin = name, "a shadow of a plugin that is not loaded does not run");
                }
                Err(error) => tracing::error!(path = %path.display(), %error, "a shadow does not run"),
            }
        }
    }

    /// The version in the shadow of a plugin that runs.
    #[must_use]
    pub fn shadow(&self, name: &str) -> Option<ShadowPlugin> {
        self.read().shadows.get(name).map(Shadow::handle)
    }

    /// What the shadow of a plugin has shown so far.
    ///
    /// # Errors
    /// When there is no such plugin, or it has no shadow.
    pub fn shadow_info(&self, name: &str) -> Result<ShadowInfo, InstallError> {
        let catalogue = self.read();
        let active = catalogue
            .info(name)
            .ok_or_else(|| InstallError::Unknown(name.to_owned()))?;
        let shadow = catalogue.shadows.get(name);
        let shadow = shadow.ok_or_else(|| InstallError::NoShadow(name.to_owned()))?;
        Ok(shadow.info(&active))
    }

    /// The version in the shadow takes the place of the one that runs, between two batches; state goes over, and the version before stays for `rollback`.
    ///
    /// # Errors
    /// When there is none, or it cannot be run any more.
    pub async fn promote(&self, name: &str, by: &str) -> Result<PluginInfo, InstallError> {
        let _one_at_a_time = self.changing.acquire().await;
        let (before, path) = self.in_shadow(name)?;
        let file = self.loader.read(&path).await?;
        let trust = self.loader.trust(&file)?;
        let (manifest, bytes) = (file.manifest.clone(), file.bytes.clone());
        let plugin = self.loader.load(file).await?;
        let mut record = self.folder.record(name).unwrap_or_default();
        record.approve(&manifest);
        let info = self.activate(plugin, trust, &bytes, record, Some(before), by).await?;
        self.write().shadows.remove(name);
        self.has_changed();
        self.folder.remove_shadow(name)?;
        Ok(info)
    }

    /// Ends the shadow; the version that runs goes on.
    ///
    /// # Errors
    /// When there is none, or its file cannot be removed.
    pub async fn discard(&self, name: &str, by: &str) -> Result<PluginInfo, InstallError> {
        let _one_at_a_time = self.changing.acquire().await;
        self.in_shadow(name)?;
        self.folder.remove_shadow(name)?;
        self.write().shadows.remove(name);
        self.has_changed();
        tracing::info!(plugin = name, by, "shadow of a plugin discarded");
        let info = self.read().info(name);
        info.ok_or_else(|| InstallError::Unknown(name.to_owned()))
    }

    fn in_shadow(&self, name: &str) -> Result<(crate::catalogue::Entry, PathBuf), InstallError> {
        let active = self.entry(name).ok_or_else(|| InstallError::Unknown(name.to_owned()))?;
        let path = self.read().shadows.get(name).map(|shadow| shadow.path.clone());
        let path = path.ok_or_else(|| InstallError::NoShadow(name.to_owned()))?;
        Ok((active, path))
    }
}
