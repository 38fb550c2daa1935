//! `[[processors]]` of kind `plugin`: transforms in a sandbox, between a source and the spool.
//!
//! Invariants: no WebAssembly engine unless one is configured; a batch passes a transform whole, as it was, or not at all, and which of these happens to one that
//! fails its configuration says; what is lost for a failure is counted by its name.

mod counters;
mod options;
mod work;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use streamflow_plugin_host::{HostError, TransformError, TransformHost, TransformPlugin, Transformed};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::sync::CancellationToken;

use crate::counters::Counters;
pub use counters::{TransformCounters, TransformStatus};
pub(crate) use options::MAX_DEADLINE_MS;
pub use options::{OnError, PluginLimits, PluginOptions, PluginsOptions};
pub use work::Blocked;
pub(crate) use work::Work;

/// How long a transform rests in quarantine before it is tried again. Each time twice as long, until it has done a batch.
const REST: Duration = Duration::from_secs(60);
/// The longest rest is this many doublings.
const MAX_DOUBLINGS: u32 = 4;

/// One transform, as all sources share it.
pub struct Transform {
    /// Name in messages and counters.
    pub name: String,
    /// What is counted about it.
    pub counters: TransformCounters,
    plugin: TransformPlugin,
    on_error: OnError,
    /// Rests since it last did a batch.
    rests: AtomicU32,
    dropped: Arc<Counters>,
    waiter: Arc<Waiter>,
    stop: CancellationToken,
}

/// Something wrong with a processor: its key and what.
pub type Mistake = (String, String);

/// Waits for plugins, on threads that are no async ones. A thread of its own makes time pass for their limits.
struct Waiter {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl Waiter {
    fn new() -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("transforms")
            .enable_time()
            .build()?;
        Ok(Self {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }

    fn wait<F: Future>(&self, work: F) -> F::Output {
        self.handle.block_on(work)
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        // The last owner may be an async task, which must not wait.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What transforms need from the agent around them.
pub struct Surroundings {
    /// Folder for compiled code; without one every start compiles.
    pub cache: Option<PathBuf>,
    /// Where events are counted that are lost.
    pub counters: Arc<Counters>,
    /// Ends all waiting.
    pub stop: CancellationToken,
}

/// Loads these processors, each with its place in the list, and checks their configuration. Not for async threads: compiling takes its time.
///
/// # Errors
/// Everything that is wrong with them, by key.
pub(crate) fn load(
    plugins: &PluginsOptions,
    processors: &[(usize, &PluginOptions)],
    around: Surroundings,
) -> Result<Vec<Work>, Vec<Mistake>> {
    if processors.is_empty() {
        return Ok(Vec::new());
    }
    let plugins_key = |message: String| vec![("plugins".to_owned(), message)];
    let waiter = Arc::new(Waiter::new().map_err(|error| plugins_key(format!("cannot start a thread: {error}")))?);
    let host = TransformHost::build(&plugins.for_host(), around.cache).map_err(|error| match error {
        HostError::Key(error) => vec![("plugins.trusted_keys".to_owned(), error.to_string())],
        other => plugins_key(other.to_string()),
    })?;
    let (mut works, mut mistakes) = (Vec::new(), Vec::new());
    for (index, options) in processors {
        let loaded = waiter.wait(host.load(&options.plugin));
        let plugin = match loaded {
            Ok(plugin) => plugin,
            Err(error) => {
                mistakes.push((format!("processors[{index}].plugin"), advised(&error.to_string())));
                continue;
            }
        };
        let problems = waiter.wait(plugin.check(&options.config));
        if !problems.is_empty() {
            let problem = |problem: streamflow_plugin_host::RuleProblem| {
                (format!("processors[{index}].{}", problem.field), problem.reason)
            };
            mistakes.extend(problems.into_iter().map(problem));
            continue;
        }
        let transform = Transform {
            name: options.name(),
            counters: TransformCounters::default(),
            plugin,
            on_error: options.on_error,
            rests: AtomicU32::new(0),
            dropped: Arc::clone(&around.counters),
            waiter: Arc::clone(&waiter),
            stop: around.stop.clone(),
        };
        tracing::info!(
            processor = transform.name,
            plugin = transform.plugin.manifest().name,
            version = transform.plugin.manifest().version,
            signature = transform.plugin.signature(),
            on_error = options.on_error.name(),
            "transform loaded"
        );
        match Work::new(Arc::new(transform), &options.config) {
            Ok(work) => works.push(work),
            Err(error) => mistakes.push((format!("processors[{index}].config"), error.to_string())),
        }
    }
    if mistakes.is_empty() {
        host.sweep();
        Ok(works)
    } else {
        Err(mistakes)
    }
}

impl Transform {
    /// How it does.
    #[must_use]
    pub fn status(&self) -> TransformStatus {
        let manifest = self.plugin.manifest();
        let quarantine = self.plugin.quarantine();
        TransformStatus {
            name: self.name.clone(),
            plugin: manifest.name.clone(),
            version: manifest.version.clone(),
            signature: self.plugin.signature().to_owned(),
            on_error: self.on_error,
            state: if quarantine.is_some() { "quarantined" } else { "active" }.to_owned(),
            reason: quarantine,
            calls: self.counters.calls.get(),
            events: self.counters.events.get(),
            seconds: self.counters.seconds(),
            turned_away: self.counters.turned_away.get(),
            dropped: self.counters.dropped.get(),
            passed: self.counters.passed.get(),
            failures: self.counters.failures(),
            memory_bytes: self.counters.memory(),
            last_error: self.counters.last_error(),
        }
    }

    /// After a rest it is tried again: what it failed of may be gone.
    fn wake(&self) {
        if self.plugin.quiet_for(Instant::now()) >= rest(self.rests.load(Ordering::Relaxed)) {
            tracing::info!(
                processor = self.name,
                "a transform is let out of quarantine and tried again"
            );
            self.rests.fetch_add(1, Ordering::Relaxed);
            self.plugin.release();
        }
    }

    /// It has done a batch.
    fn did(&self, events: usize, done: &Transformed) {
        self.rests.store(0, Ordering::Relaxed);
        self.counters.done(events, done);
    }

    /// Counts a failure and says it, though not for every batch of a busy source.
    fn failed(&self, error: &TransformError, events: usize) {
        self.counters.failed(error.cause(), error.to_string());
        if self.counters.may_say(Instant::now()) {
            tracing::error!(
                processor = self.name,
                cause = error.cause(),
                %error,
                events,
                on_error = self.on_error.name(),
                "a transform failed"
            );
        }
    }
}

/// What systemd's hardening does to machine code that is made here is said by the kernel in a word that helps nobody.
fn advised(message: &str) -> String {
    if message.contains("(os error 1)") && message.contains("compile") {
        format!("{message}; a unit of systemd must have MemoryDenyWriteExecute=no for it")
    } else {
        message.to_owned()
    }
}

/// How long it rests after so many rests in a row.
fn rest(earlier: u32) -> Duration {
    REST * 2_u32.pow(earlier.min(MAX_DOUBLINGS))
}

impl std::fmt::Debug for Transform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transform")
            .field("name", &self.name)
            .field("plugin", &self.plugin)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forbidden_machine_code_comes_with_advice() {
        let denied = "it does not compile: Operation not permitted (os error 1)";
        assert!(advised(denied).contains("MemoryDenyWriteExecute=no"));
        assert_eq!(
            advised("it does not compile: nonsense"),
            "it does not compile: nonsense"
        );
    }

    #[test]
    fn rests_double_and_have_an_end() {
        assert_eq!(
            [0, 1, 4, 5, 99].map(|earlier| rest(earlier).as_secs()),
            [60, 120, 960, 960, 960]
        );
    }
}
