//! From bytes to a plugin that can be called.

use std::{path::Path, sync::Arc, sync::Mutex, time::Instant};

use tokio::task::spawn_blocking;

use crate::{
    Options,
    egress::Egress,
    journal::Journals,
    mail::Mailer,
    meters::Meters,
    plugin::Plugin,
    sandbox::{Cache, Code, File, GuestSetup, Lines, LoadError, Sandbox},
    secrets::Secrets,
    signature::{Trust, TrustedKeys},
};

/// What loading needs.
pub(crate) struct Loader {
    pub(crate) options: Options,
    pub(crate) sandbox: Arc<Sandbox>,
    /// None: whatever is loaded is compiled anew.
    pub(crate) cache: Option<Arc<Cache>>,
    /// None: there is no way out.
    pub(crate) egress: Option<Arc<Egress>>,
    pub(crate) mailer: Arc<Mailer>,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) meters: Meters,
    pub(crate) keys: TrustedKeys,
    pub(crate) journals: Journals,
}

impl Loader {
    pub(crate) async fn read(&self, path: &Path) -> Result<File, LoadError> {
        let path = path.to_owned();
        spawn_blocking(move || File::read(&path))
            .await
            .unwrap_or_else(|panic| Err(LoadError::Compile(panic.to_string())))
    }

    /// Whose word there is for a file that did not come with the hub.
    pub(crate) fn trust(&self, file: &File) -> Result<Trust, LoadError> {
        file.trust(&self.keys, self.options.allow_unsigned)
    }

    /// Lets go of compiled code that nothing has asked for.
    pub(crate) fn sweep(&self) {
        if let Some(cache) = &self.cache {
            cache.sweep();
        }
    }

    pub(crate) async fn load(&self, file: File) -> Result<Arc<Plugin>, LoadError> {
        self.load_into(file, &self.meters).await
    }

    /// The same with figures of its own.
    pub(crate) async fn load_into(&self, file: File, meters: &Meters) -> Result<Arc<Plugin>, LoadError> {
        let limits = &self.options.limits;
        let (sandbox, cache) = (Arc::clone(&self.sandbox), self.cache.clone());
        let (manifest, sha256) = (Arc::new(file.manifest.clone()), file.sha256());
        // A compilation that is too slow cannot be stopped; it ends on its own thread, and its file's size bounds it.
        let compiling = spawn_blocking(move || Code::build(&sandbox, cache.as_deref(), &file));
        let code = match tokio::time::timeout(limits.compile(), compiling).await {
            Ok(done) => done.unwrap_or_else(|panic| Err(LoadError::Compile(panic.to_string())))?,
            Err(_) => return Err(LoadError::Slow(limits.compile_ms)),
        };
        let setup = GuestSetup {
            egress: self.egress.clone(),
            mailer: Arc::clone(&self.mailer),
            mail: meters.mail(&manifest.name),
            secrets: Arc::clone(&self.secrets),
            lines: Mutex::new(Lines::new(Instant::now())),
            lines_dropped: meters.lines_dropped(&manifest.name),
            http: meters.http(&manifest.name),
            journal: self.journals.of(&manifest.name),
            manifest,
        };
        let meters = meters.plugin(&setup.manifest.name);
        Plugin::new(Arc::new(setup), sha256, code, limits, meters).map(Arc::new)
    }
}
