//! Finds and loads transforms for an agent: the same checks, limits and cache as in the hub, and no way out.

use std::{
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use prometheus::Registry;
use streamflow_component::Kind;

use super::TransformPlugin;
use crate::{
    HostError, Options,
    journal::Journals,
    loader::Loader,
    mail::Mailer,
    meters::Meters,
    sandbox::{Cache, File, LoadError, Sandbox},
    secrets::Secrets,
    signature::{Trust, TrustedKeys},
};

/// Loads transforms. There is a WebAssembly engine as long as there is one of these or a plugin of it.
pub struct TransformHost(Loader);

/// Why a transform cannot be run, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TransformLoadError(String);

impl From<LoadError> for TransformLoadError {
    fn from(error: LoadError) -> Self {
        Self(error.to_string())
    }
}

impl TransformHost {
    /// Starts an engine. `cache` is the folder for compiled code; without one each load compiles.
    ///
    /// # Errors
    /// When a trusted key is none, or the engine or the cache cannot be used.
    pub fn build(options: &Options, cache: Option<PathBuf>) -> Result<Self, HostError> {
        let cache = cache.map(Cache::open).transpose()?;
        Ok(Self(Loader {
            mailer: Arc::new(Mailer::none()),
            sandbox: Arc::new(Sandbox::new()?),
            cache: cache.map(Arc::new),
            egress: None,
            secrets: Arc::new(Secrets::default()),
            meters: Meters::register(&Registry::new())?,
            keys: TrustedKeys::parse(&options.trusted_keys)?,
            journals: Journals::default(),
            options: options.clone(),
        }))
    }

    /// Loads a transform: of a path, which a trusted key must have signed unless `allow_unsigned` says otherwise, or of a plain name among those that came with
    /// the program.
    ///
    /// # Errors
    /// When the file cannot be run, or is not trusted.
    pub async fn load(&self, plugin: &str) -> Result<TransformPlugin, TransformLoadError> {
        let path = Path::new(plugin);
        let mut parts = path.components();
        let plain = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None));
        let shipped = plain && path.extension().is_none();
        let file = if shipped {
            self.0.read(&self.shipped(plugin)?).await?
        } else {
            self.0.read(path).await?
        };
        let trust = if shipped { Trust::Shipped } else { self.0.trust(&file)? };
        self.compile(file, &trust).await
    }

    /// Loads what is not asked whose it is: it can do nothing but compute.
    ///
    /// # Errors
    /// When the file cannot be run.
    pub async fn try_out(&self, bytes: Vec<u8>) -> Result<TransformPlugin, TransformLoadError> {
        let file = File::of(bytes)?;
        self.compile(file, &Trust::Unsigned).await
    }

    async fn compile(&self, file: File, trust: &Trust) -> Result<TransformPlugin, TransformLoadError> {
        if file.manifest.kind != Kind::Transform {
            let kind = file.manifest.kind.name();
            return Err(TransformLoadError(format!(
                "a plugin of kind {kind}; only transforms are run here, those of other kinds belong into the hub"
            )));
        }
        Ok(TransformPlugin {
            plugin: self.0.load(file).await?,
            signature: trust.text(),
        })
    }

    fn shipped(&self, name: &str) -> Result<PathBuf, TransformLoadError> {
        let folder = self.0.options.shipped();
        let file = folder.as_ref().map(|folder| folder.join(format!("{name}.wasm")));
        file.filter(|file| file.is_file()).ok_or_else(|| {
            let place = folder.map_or("beside this program".to_owned(), |folder| folder.display().to_string());
            TransformLoadError(format!(
                "no transform of this name came with this program ({place}); write the path of a file, such as \"/etc/streamflow/{name}.wasm\""
            ))
        })
    }

    /// Lets go of compiled code that was not loaded.
    pub fn sweep(&self) {
        self.0.sweep();
    }
}

impl std::fmt::Debug for TransformHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("TransformHost").finish_non_exhaustive()
    }
}
