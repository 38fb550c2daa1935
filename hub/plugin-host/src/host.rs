//! All plugins of this hub: finds them, loads them, and passes calls on by name.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use prometheus::Registry;
use serde_json::{Map, Value};
use streamflow_component::{Kind, Manifest};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    ChannelError, ChannelSender, DeliverError, LineLevel, Notice, Options, PluginInfo, PluginLogs, PluginState,
    Quarantined, RulePlugin, RuleProblem,
    catalogue::{Catalogue, Entry, Unloaded},
    egress::{Egress, EgressBuildError, EgressOptions},
    folder::{self, Folder},
    journal::Journals,
    loader::Loader,
    mail::{MailBuildError, MailOptions, Mailer},
    meters::Meters,
    plugin::Plugin,
    record::Record,
    sandbox::{Cache, CacheError, LoadError, Sandbox, SandboxError},
    secrets::{SecretError, Secrets},
    signature::{SignatureError, Trust, TrustedKeys},
    users::{PluginUsers, Users},
};

/// How often idle instances are looked for.
const SWEEP: Duration = Duration::from_secs(60);

/// The plugins of a hub.
pub struct PluginHost {
    // Locked for a look or an exchange, never while something is waited for.
    catalogue: RwLock<Catalogue>,
    pub(crate) loader: Loader,
    pub(crate) folder: Folder,
    egress: Arc<Egress>,
    /// One change of plugins at a time: whoever has the one permit. It guards no data, and is never closed.
    pub(crate) changing: Semaphore,
    changed: watch::Sender<u64>,
    pub(crate) users: Users,
}

/// Why no plugin can run.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// `[egress]` does not hold.
    #[error(transparent)]
    Egress(#[from] EgressBuildError),
    /// `[mail]` does not hold.
    #[error(transparent)]
    Mail(#[from] MailBuildError),
    /// A secret cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A trusted key is none.
    #[error("[plugins] trusted_keys: {0}")]
    Key(#[from] SignatureError),
    /// The engine does not start.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The cache folder cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A metric is registered twice.
    #[error("plugin metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// A folder cannot be read.
    #[error("plugins in {}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl PluginHost {
    /// Loads the shipped plugins and the installed ones. One that cannot be loaded is listed with its reason; the others run.
    ///
    /// # Errors
    /// When no plugin could run: the configuration does not hold, or a folder cannot be used.
    pub async fn build(
        options: &Options,
        egress: &EgressOptions,
        mail: &MailOptions,
        data_dir: &Path,
        registry: &Registry,
    ) -> Result<Arc<Self>, HostError> {
        let egress = Arc::new(Egress::new(egress)?);
        let loader = Loader {
            mailer: Arc::new(Mailer::build(mail, &egress)?),
            sandbox: Arc::new(Sandbox::new()?),
            cache: Some(Arc::new(Cache::open(data_dir.join("plugin-cache"))?)),
            egress: Some(Arc::clone(&egress)),
            secrets: Arc::new(Secrets::read(&options.secrets)?),
            meters: Meters::register(registry)?,
            keys: TrustedKeys::parse(&options.trusted_keys)?,
            journals: Journals::default(),
            options: options.clone(),
        };
        let host = Self {
            catalogue: RwLock::default(),
            loader,
            folder: Folder::new(options.installed(data_dir)),
            egress,
            changing: Semaphore::new(1),
            changed: watch::Sender::default(),
            users: Users::default(),
        };
        match options.shipped() {
            Some(folder) => {
                let files =
                    folder::list(&folder, "wasm").map_err(|source| HostError::Folder { path: folder, source })?;
                host.load_files(files, true).await;
            }
            None => tracing::warn!("the shipped plugins are not beside the binary; set [plugins] shipped_dir"),
        }
        let unreadable = |source| HostError::Folder {
            path: host.folder.path().to_owned(),
            source,
        };
        host.load_files(host.folder.files().map_err(unreadable)?, false).await;
        host.load_waiting(host.folder.waiting().map_err(unreadable)?).await;
        host.load_shadows(host.folder.shadows().map_err(unreadable)?).await;
        host.loader.sweep();
        Ok(Arc::new(host))
    }

    async fn load_files(&self, files: Vec<PathBuf>, shipped: bool) {
        for path in files {
            match self.load_file(&path, shipped).await {
                Ok(entry) => {
                    let manifest = entry.plugin.manifest();
                    tracing::info!(
                        plugin = manifest.name,
                        version = manifest.version,
                        kind = manifest.kind.name(),
                        signature = entry.trust.text(),
                        "plugin loaded"
                    );
                    self.put(entry);
                }
                // Listed where its trust was known.
                Err((_, LoadError::ForAgents(_))) => {}
                Err((manifest, LoadError::NotApproved(reason))) => {
                    tracing::warn!(path = %path.display(), reason, "plugin waits for approval");
                    if let Some(manifest) = manifest {
                        self.put_waiting(&manifest, reason, path);
                    }
                }
                Err((manifest, error)) => self.list_failed(&path, manifest.as_ref(), &error),
            }
        }
    }

    async fn load_file(&self, path: &Path, shipped: bool) -> Result<Entry, (Option<Manifest>, LoadError)> {
        let file = self.loader.read(path).await.map_err(|error| (None, error))?;
        let manifest = file.manifest.clone();
        let record = self.folder.record(&manifest.name);
        let load = async {
            if self.read().loaded.contains_key(&manifest.name) {
                return Err(LoadError::NameTaken);
            }
            let trust = if shipped {
                Trust::Shipped
            } else {
                self.loader.trust(&file)?
            };
            if manifest.kind == Kind::Transform {
                return Err(self.list_for_agents(&manifest, path, &trust));
            }
            // Who can put files into this folder has the operator's rights; rights beyond computing are still asked for.
            let fresh = Record {
                approved: true,
                ..Record::default()
            };
            if let Some(reason) = record
                .as_ref()
                .unwrap_or(&fresh)
                .waits_for(&manifest)
                .filter(|_| !shipped)
            {
                return Err(LoadError::NotApproved(reason));
            }
            Ok(Entry {
                plugin: self.loader.load(file).await?,
                path: path.to_owned(),
                trust,
                enabled: record.as_ref().is_none_or(|record| record.enabled),
                granted: if shipped {
                    manifest.capabilities()
                } else {
                    record
                        .as_ref()
                        .map(|record| record.capabilities.clone())
                        .unwrap_or_default()
                },
                previous: self.previous_version(&manifest.name).await,
            })
        };
        load.await.map_err(|error| (Some(manifest.clone()), error))
    }

    /// Versions that were uploaded and wait for somebody's word.
    async fn load_waiting(&self, files: Vec<PathBuf>) {
        for path in files {
            match self.loader.read(&path).await {
                Ok(file) => {
                    let record = self.folder.record(&file.manifest.name).unwrap_or_default();
                    let reason = record.waits_for(&file.manifest);
                    let reason = reason.unwrap_or_else(|| "nobody has approved it yet".to_owned());
                    self.put_waiting(&file.manifest, reason, path);
                }
                Err(error) => self.list_failed(&path, None, &error),
            }
        }
    }

    pub(crate) async fn previous_version(&self, name: &str) -> Option<String> {
        let file = self.loader.read(&self.folder.previous(name)).await.ok()?;
        Some(file.manifest.version)
    }

    /// Transforms are shown, so that somebody who looks for one learns where it runs.
    fn list_for_agents(&self, manifest: &Manifest, path: &Path, trust: &Trust) -> LoadError {
        tracing::debug!(plugin = manifest.name, "a transform, which agents run");
        let error = if *trust == Trust::Shipped {
            LoadError::ForAgents(manifest.name.clone())
        } else {
            LoadError::file_for_agents()
        };
        let mut info = PluginInfo::of(manifest, PluginState::ForAgents, Some(error.to_string()));
        info.signature = trust.text();
        let path = path.to_owned();
        self.write().not_loaded.push(Unloaded { info, path });
        error
    }

    fn list_failed(&self, path: &Path, manifest: Option<&Manifest>, error: &LoadError) {
        let reason = error.to_string();
        tracing::error!(path = %path.display(), reason, "plugin not loaded");
        let mut info = match manifest {
            Some(manifest) => PluginInfo::of(manifest, PluginState::Failed, Some(reason)),
            None => PluginInfo::unreadable(path, reason),
        };
        info.granted = self.approved(&info.name);
        let mut catalogue = self.write();
        if !catalogue.loaded.contains_key(&info.name) {
            self.loader.meters.failed(&info.name);
        }
        let path = path.to_owned();
        catalogue.not_loaded.push(Unloaded { info, path });
    }

    /// Makes a plugin the one of its name.
    pub(crate) fn put(&self, entry: Entry) {
        let name = entry.plugin.manifest().name.clone();
        let (plugin, enabled) = (Arc::clone(&entry.plugin), entry.enabled);
        {
            let mut catalogue = self.write();
            catalogue.not_loaded.retain(|file| file.info.name != name);
            if let Some(before) = catalogue.loaded.insert(name, entry)
                && !Arc::ptr_eq(&before.plugin, &plugin)
            {
                before.plugin.retire();
                // What was said beside the version before is no comparison with this one.
                if let Some(shadow) = catalogue.shadows.get_mut(&plugin.manifest().name) {
                    shadow.begin_anew();
                }
            }
        }
        plugin.show_active(enabled);
        self.has_changed();
    }

    pub(crate) fn put_waiting(&self, manifest: &Manifest, reason: String, path: PathBuf) -> PluginInfo {
        let mut info = PluginInfo::of(manifest, PluginState::AwaitingApproval, Some(reason));
        info.granted = self.approved(&info.name);
        let waiting = Unloaded {
            info: info.clone(),
            path,
        };
        self.write().waiting.insert(info.name.clone(), waiting);
        info
    }

    pub(crate) fn has_changed(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Catalogue> {
        self.catalogue.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Catalogue> {
        self.catalogue.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every plugin, those that do not run with their reason.
    #[must_use]
    pub fn list(&self) -> Vec<PluginInfo> {
        self.read().list()
    }

    /// Rights of a plugin that somebody has approved, as they are on the disk.
    fn approved(&self, name: &str) -> Vec<String> {
        let record = self.folder.record(name);
        record.map(|record| record.capabilities).unwrap_or_default()
    }

    /// Plugins that failed too often and are not called until somebody enables them.
    #[must_use]
    pub fn quarantined(&self) -> Vec<Quarantined> {
        self.read().quarantined()
    }

    /// The last lines of a plugin behind line number `after`, of this level and above, at most so many; none for a name that no plugin has.
    #[must_use]
    pub fn logs(&self, plugin: &str, after: u64, least: LineLevel, most: usize) -> Option<PluginLogs> {
        if let Some(journal) = self.loader.journals.find(plugin) {
            return Some(journal.read(after, least, most));
        }
        // One that never came to run has said nothing.
        self.read().info(plugin).map(|_| PluginLogs::default())
    }

    /// The one way out, for requests of the hub's own.
    #[must_use]
    pub fn egress(&self) -> Arc<Egress> {
        Arc::clone(&self.egress)
    }

    /// Says whom to ask which rules and channels use a plugin. Once; until then nobody uses any.
    pub fn ask_users(&self, ask: impl Fn(&str) -> PluginUsers + Send + Sync + 'static) {
        self.users.ask(Box::new(ask));
    }

    /// Counts whenever a plugin was installed, replaced, removed, switched on or off, or let out of quarantine.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Gives the memory of idle instances back until the hub stops, and refuses calls of channels from then on.
    ///
    /// # Errors
    /// None; the shape is that of every stage.
    pub async fn run(self: Arc<Self>, token: CancellationToken) -> Result<(), HostError> {
        let each = |work: &dyn Fn(&Plugin)| self.read().loaded.values().for_each(|entry| work(&entry.plugin));
        while token.run_until_cancelled(tokio::time::sleep(SWEEP)).await.is_some() {
            let now = Instant::now();
            each(&|plugin| plugin.sweep(now));
        }
        each(&Plugin::close);
        Ok(())
    }

    fn find(&self, name: &str, kind: Kind) -> Result<Arc<Plugin>, ChannelError> {
        let catalogue = self.read();
        let unavailable = |reason| ChannelError::Unavailable {
            plugin: name.to_owned(),
            reason,
        };
        match catalogue.callable(name) {
            Some(Ok(plugin)) if plugin.manifest().kind == kind => return Ok(plugin),
            Some(Err(reason)) => return Err(unavailable(reason)),
            Some(Ok(_)) | None => {}
        }
        let loaded = catalogue.loaded.values().map(|entry| entry.plugin.manifest());
        let known: Vec<&str> = loaded
            .filter(|own| own.kind == kind)
            .map(|own| own.name.as_str())
            .collect();
        Err(ChannelError::UnknownPlugin {
            kind: kind.name(),
            plugin: name.to_owned(),
            known: if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            },
        })
    }

    /// The rule plugin of this name, in its present version.
    ///
    /// # Errors
    /// When there is none, or it does not run.
    pub fn rule(&self, name: &str) -> Result<RulePlugin, ChannelError> {
        self.find(name, Kind::Rule).map(RulePlugin)
    }
}

#[async_trait]
impl ChannelSender for PluginHost {
    async fn check(&self, plugin: &str, config: &Map<String, Value>) -> Result<(), ChannelError> {
        self.find(plugin, Kind::Channel)?.check(config).await
    }

    async fn deliver(
        &self,
        plugin: &str,
        channel: &str,
        config: &Map<String, Value>,
        notice: &Notice,
        attempt: u32,
    ) -> Result<String, DeliverError> {
        match self.find(plugin, Kind::Channel) {
            Ok(found) => found.deliver(channel, config, notice, attempt).await,
            // A plugin that an update broke may be back with the next one; a name that is unknown stays so.
            Err(error @ ChannelError::Unavailable { .. }) => Err(DeliverError::transient(error.to_string())),
            Err(error) => Err(DeliverError::Permanent(error.to_string())),
        }
    }

    fn acknowledging(&self) -> Vec<String> {
        let catalogue = self.read();
        let manifests = catalogue.loaded.values().map(|entry| entry.plugin.manifest());
        let takers = manifests.filter(|manifest| manifest.acknowledgements);
        takers.map(|manifest| manifest.name.clone()).collect()
    }

    fn secret_keys(&self, plugin: &str) -> Vec<String> {
        let catalogue = self.read();
        let entry = catalogue.loaded.get(plugin);
        entry
            .map(|entry| entry.plugin.manifest().secret_keys())
            .unwrap_or_default()
    }

    async fn check_rule(&self, plugin: &str, config: &Map<String, Value>) -> Vec<RuleProblem> {
        match self.find(plugin, Kind::Rule) {
            Ok(found) => found.check_rule(config).await,
            Err(error) => vec![RuleProblem {
                field: "plugin".to_owned(),
                reason: error.to_string(),
            }],
        }
    }
}

impl std::fmt::Debug for PluginHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let catalogue = self.read();
        f.debug_struct("PluginHost")
            .field("loaded", &catalogue.loaded.keys())
            .field("waiting", &catalogue.waiting.keys())
            .field("not_loaded", &catalogue.not_loaded)
            .finish_non_exhaustive()
    }
}
