//! One rule plugin under the host's limits without a hub: to be shown events from a file, and to be measured.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use prometheus::Registry;
use streamflow_component::{Kind, Manifest};

use crate::{EgressOptions, LineLevel, Options, PluginHost, PluginInfo, PluginLogs, RulePlugin, sandbox::File};

/// Why a plugin cannot be tried, in words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TrialError(String);

/// A plugin that was loaded as a hub would load it. Whether it is signed does not matter here: it cannot do anything but compute.
#[derive(Debug)]
pub struct Trial {
    host: Arc<PluginHost>,
    plugin: RulePlugin,
    bytes: Vec<u8>,
    /// Time of checking and compiling it.
    pub compiled_in: Duration,
    // Last, so that it goes last.
    _folder: Scratch,
}

impl Trial {
    /// Loads a rule plugin under these limits.
    ///
    /// # Errors
    /// The reason for which a hub would not run it.
    pub async fn open(bytes: Vec<u8>, options: &Options) -> Result<Self, TrialError> {
        let words = |error: &dyn std::fmt::Display| TrialError(error.to_string());
        let file = File::of(bytes.clone()).map_err(|error| words(&error))?;
        if file.manifest.kind != Kind::Rule {
            return Err(TrialError(format!(
                "`{}` is a {} plugin; only rules look at events",
                file.manifest.name,
                file.manifest.kind.name()
            )));
        }
        let folder = Scratch::new().map_err(|error| words(&format!("no folder for compiled code: {error}")))?;
        let options = Options {
            shipped_dir: Some(folder.0.join("shipped")),
            trusted_keys: Vec::new(),
            secrets: std::collections::BTreeMap::new(),
            ..options.clone()
        };
        let host = PluginHost::build(
            &options,
            &EgressOptions::default(),
            &crate::MailOptions::default(),
            &folder.0,
            &Registry::new(),
        )
        .await;
        let host = host.map_err(|error| words(&error))?;
        let began = Instant::now();
        let plugin = host.loader.load(file).await.map_err(|error| words(&error))?;
        Ok(Self {
            compiled_in: began.elapsed(),
            host,
            plugin: RulePlugin(plugin),
            bytes,
            _folder: folder,
        })
    }

    /// Its manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        self.plugin.0.manifest()
    }

    /// The plugin, to be started.
    #[must_use]
    pub fn rule(&self) -> RulePlugin {
        self.plugin.clone()
    }

    /// Calls, failures, computing time and memory so far.
    #[must_use]
    pub fn info(&self) -> PluginInfo {
        self.plugin.0.info()
    }

    /// What it logged behind this line.
    #[must_use]
    pub fn logs(&self, after: u64) -> PluginLogs {
        let logs = self
            .host
            .logs(&self.manifest().name, after, LineLevel::Debug, usize::MAX);
        logs.unwrap_or_default()
    }

    /// Loads it once more, from the cache of compiled code, and answers how long that took.
    ///
    /// # Errors
    /// When it cannot be loaded any more.
    pub async fn load_again(&self) -> Result<(RulePlugin, Duration), TrialError> {
        let words = |error: crate::sandbox::LoadError| TrialError(error.to_string());
        let bytes = self.bytes.clone();
        let began = Instant::now();
        let file = File::of(bytes).map_err(words)?;
        let plugin = self.host.loader.load(file).await.map_err(words)?;
        Ok((RulePlugin(plugin), began.elapsed()))
    }
}

/// A folder that goes with its owner.
#[derive(Debug)]
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> std::io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let name = format!("streamflow-plugin-{:016x}", rand::random::<u64>());
        let path = std::env::temp_dir().join(name);
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        let scratch = Self(path);
        fs::create_dir(scratch.0.join("shipped"))?;
        Ok(scratch)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

fn remove(folder: &Path) {
    if let Err(error) = fs::remove_dir_all(folder) {
        tracing::warn!(path = %folder.display(), %error, "a temporary folder was not removed");
    }
}
