//! All plugins of this hub: finds them, loads them, and passes calls on by name.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use prometheus::Registry;
use serde_json::{Map, Value};
use streamflow_component::{Kind, Manifest};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use crate::{
    ChannelError, ChannelSender, DeliverError, Notice, Options,
    egress::{Egress, EgressBuildError, EgressOptions},
    meters::Meters,
    plugin::{Plugin, PluginInfo, PluginState},
    sandbox::{Cache, CacheError, Code, File, GuestSetup, Lines, LoadError, Sandbox, SandboxError},
    secrets::{SecretError, Secrets},
};

/// How often idle instances are looked for.
const SWEEP: Duration = Duration::from_secs(60);

/// The plugins of a hub.
pub struct PluginHost {
    plugins: BTreeMap<String, Plugin>,
    failed: Vec<PluginInfo>,
    // Its thread makes deadlines pass: it lives as long as anything can be called.
    _sandbox: Arc<Sandbox>,
}

/// Why no plugin can run.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// `[egress]` does not hold.
    #[error(transparent)]
    Egress(#[from] EgressBuildError),
    /// A secret cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
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

/// What loading needs.
struct Loader<'a> {
    options: &'a Options,
    sandbox: Arc<Sandbox>,
    cache: Arc<Cache>,
    egress: Arc<Egress>,
    secrets: Arc<Secrets>,
    meters: Meters,
}

impl PluginHost {
    /// Loads the shipped plugins and the installed ones. One that cannot be loaded is listed with its reason; the others run.
    ///
    /// # Errors
    /// When no plugin could run: the configuration does not hold, or a folder cannot be used.
    pub async fn build(
        options: &Options,
        egress: &EgressOptions,
        data_dir: &Path,
        registry: &Registry,
    ) -> Result<Arc<Self>, HostError> {
        let loader = Loader {
            options,
            sandbox: Arc::new(Sandbox::new()?),
            cache: Arc::new(Cache::open(data_dir.join("plugin-cache"))?),
            egress: Arc::new(Egress::new(egress)?),
            secrets: Arc::new(Secrets::read(&options.secrets)?),
            meters: Meters::register(registry)?,
        };
        if !options.trusted_keys.is_empty() {
            tracing::warn!("[plugins] trusted_keys has no effect yet: this version does not check signatures");
        }
        let mut host = Self {
            plugins: BTreeMap::new(),
            failed: Vec::new(),
            _sandbox: Arc::clone(&loader.sandbox),
        };
        match options.shipped() {
            Some(folder) => host.load_folder(&loader, &folder, true).await?,
            None => tracing::warn!("the shipped plugins are not beside the binary; set [plugins] shipped_dir"),
        }
        host.load_folder(&loader, &options.installed(data_dir), false).await?;
        loader.cache.sweep();
        Ok(Arc::new(host))
    }

    async fn load_folder(&mut self, loader: &Loader<'_>, folder: &Path, trusted: bool) -> Result<(), HostError> {
        let files = plugin_files(folder).map_err(|source| HostError::Folder {
            path: folder.to_owned(),
            source,
        })?;
        for path in files {
            let file = match loader.read(&path).await {
                Ok(file) => file,
                Err(error) => {
                    self.list_failed(loader, &path, None, &error);
                    continue;
                }
            };
            let name = file.manifest.name.clone();
            let manifest = Arc::new(file.manifest.clone());
            let loaded = if self.plugins.contains_key(&name) {
                Err(LoadError::NameTaken)
            } else if !trusted && !loader.options.allow_unsigned {
                Err(LoadError::Unsigned)
            } else {
                loader.load(file, &manifest).await
            };
            match loaded {
                Ok(plugin) => {
                    tracing::info!(
                        plugin = name,
                        version = manifest.version,
                        kind = manifest.kind.name(),
                        shipped = trusted,
                        "plugin loaded"
                    );
                    self.plugins.insert(name, plugin);
                }
                Err(error) => self.list_failed(loader, &path, Some(&manifest), &error),
            }
        }
        Ok(())
    }

    fn list_failed(&mut self, loader: &Loader<'_>, path: &Path, manifest: Option<&Manifest>, error: &LoadError) {
        let reason = error.to_string();
        tracing::error!(path = %path.display(), reason, "plugin not loaded");
        let info = match manifest {
            Some(manifest) => PluginInfo::of(manifest, PluginState::Failed, Some(reason)),
            None => PluginInfo {
                name: path
                    .file_stem()
                    .map(|stem| stem.to_string_lossy().into_owned())
                    .unwrap_or_default(),
                version: String::new(),
                kind: "unknown".to_owned(),
                state: PluginState::Failed,
                reason: Some(reason),
                description: String::new(),
                capabilities: Vec::new(),
                config_schema: Map::new(),
                calls: 0,
                errors: 0,
                traps: 0,
                cpu_ns_per_event: None,
                memory_bytes: 0,
            },
        };
        if !self.plugins.contains_key(&info.name) {
            loader.meters.failed(&info.name);
        }
        self.failed.push(info);
    }

    /// Every plugin, those that do not run with their reason.
    #[must_use]
    pub fn list(&self) -> Vec<PluginInfo> {
        let mut list: Vec<PluginInfo> = self
            .plugins
            .values()
            .map(Plugin::info)
            .chain(self.failed.iter().cloned())
            .collect();
        list.sort_by(|a, b| a.name.cmp(&b.name));
        list
    }

    /// Takes a plugin out of quarantine; none when no plugin of this name was loaded.
    #[must_use]
    pub fn enable(&self, name: &str) -> Option<PluginInfo> {
        let plugin = self.plugins.get(name)?;
        plugin.release();
        Some(plugin.info())
    }

    /// Gives the memory of idle instances back until the hub stops, and refuses calls from then on.
    ///
    /// # Errors
    /// None; the shape is that of every stage.
    pub async fn run(self: Arc<Self>, token: CancellationToken) -> Result<(), HostError> {
        while token.run_until_cancelled(tokio::time::sleep(SWEEP)).await.is_some() {
            self.plugins.values().for_each(|plugin| plugin.sweep(Instant::now()));
        }
        self.plugins.values().for_each(Plugin::close);
        Ok(())
    }

    fn channel(&self, name: &str) -> Result<&Plugin, ChannelError> {
        if let Some(plugin) = self.plugins.get(name) {
            return Ok(plugin);
        }
        if let Some(reason) = self
            .failed
            .iter()
            .find(|info| info.name == name)
            .and_then(|info| info.reason.clone())
        {
            return Err(ChannelError::Unavailable {
                plugin: name.to_owned(),
                reason,
            });
        }
        let channels = self
            .plugins
            .values()
            .filter(|plugin| plugin.manifest().kind == Kind::Channel);
        let known: Vec<&str> = channels.map(|plugin| plugin.manifest().name.as_str()).collect();
        Err(ChannelError::UnknownPlugin {
            plugin: name.to_owned(),
            known: known.join(", "),
        })
    }
}

#[async_trait]
impl ChannelSender for PluginHost {
    async fn check(&self, plugin: &str, config: &Map<String, Value>) -> Result<(), ChannelError> {
        self.channel(plugin)?.check(config).await
    }

    async fn deliver(
        &self,
        plugin: &str,
        channel: &str,
        config: &Map<String, Value>,
        notice: &Notice,
        attempt: u32,
    ) -> Result<String, DeliverError> {
        match self.channel(plugin) {
            Ok(found) => found.deliver(channel, config, notice, attempt).await,
            // A plugin that an update broke may be back with the next one; a name that is unknown stays so.
            Err(error @ ChannelError::Unavailable { .. }) => Err(DeliverError::transient(error.to_string())),
            Err(error) => Err(DeliverError::Permanent(error.to_string())),
        }
    }

    fn secret_keys(&self, plugin: &str) -> Vec<String> {
        self.plugins
            .get(plugin)
            .map(|plugin| plugin.manifest().secret_keys())
            .unwrap_or_default()
    }
}

impl Loader<'_> {
    async fn read(&self, path: &Path) -> Result<File, LoadError> {
        let path = path.to_owned();
        spawn_blocking(move || File::read(&path))
            .await
            .unwrap_or_else(|panic| Err(LoadError::Compile(panic.to_string())))
    }

    async fn load(&self, file: File, manifest: &Arc<Manifest>) -> Result<Plugin, LoadError> {
        let limits = &self.options.limits;
        let (sandbox, cache) = (Arc::clone(&self.sandbox), Arc::clone(&self.cache));
        // A compilation that is too slow cannot be stopped; it ends on its own thread, and its file's size bounds it.
        let compiling = spawn_blocking(move || Code::build(&sandbox, &cache, &file));
        let code = match tokio::time::timeout(limits.compile(), compiling).await {
            Ok(done) => done.unwrap_or_else(|panic| Err(LoadError::Compile(panic.to_string())))?,
            Err(_) => return Err(LoadError::Slow(limits.compile_ms)),
        };
        let setup = GuestSetup {
            manifest: Arc::clone(manifest),
            egress: Arc::clone(&self.egress),
            secrets: Arc::clone(&self.secrets),
            lines: Mutex::new(Lines::new(Instant::now())),
            lines_dropped: self.meters.lines_dropped(&manifest.name),
            http: self.meters.http(&manifest.name),
        };
        Plugin::new(Arc::new(setup), code, limits, self.meters.plugin(&manifest.name))
    }
}

/// The `*.wasm` files of a folder, by name; a folder that is not there holds none.
fn plugin_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let paths: Vec<PathBuf> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<_>>()?;
    let mut files: Vec<PathBuf> = paths
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "wasm"))
        .collect();
    files.sort();
    Ok(files)
}

impl std::fmt::Debug for PluginHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PluginHost")
            .field("plugins", &self.plugins.keys())
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}
