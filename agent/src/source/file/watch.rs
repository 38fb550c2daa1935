//! Wakes a source when the kernel says that something happened in its folders, and when it should stop.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use notify::event::{EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

#[derive(Debug, Default)]
struct Flags {
    woken: bool,
    rescan: bool,
    stopped: bool,
}

/// Ends a source's sleep.
#[derive(Clone, Debug, Default)]
pub struct Waker(Arc<(Mutex<Flags>, Condvar)>);

impl Waker {
    fn flags(&self) -> MutexGuard<'_, Flags> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, change: impl FnOnce(&mut Flags)) {
        let mut flags = self.flags();
        change(&mut flags);
        flags.woken = true;
        drop(flags);
        self.0.1.notify_all();
    }

    /// The source ends after what it has read so far.
    pub fn stop(&self) {
        self.set(|flags| flags.stopped = true);
    }

    /// Whether it should end.
    pub fn is_stopped(&self) -> bool {
        self.flags().stopped
    }

    /// Whether files appeared or were renamed since the last call.
    pub fn take_rescan(&self) -> bool {
        std::mem::take(&mut self.flags().rescan)
    }

    /// Sleeps until woken, at most for `time`.
    pub fn wait(&self, time: Duration) {
        let flags = self.flags();
        let waited = self.0.1.wait_timeout_while(flags, time, |flags| !flags.woken);
        waited.unwrap_or_else(PoisonError::into_inner).0.woken = false;
    }
}

/// The kernel's notifications; without them everything still works, only later.
pub struct Watcher {
    inner: Option<RecommendedWatcher>,
    watched: HashSet<PathBuf>,
}

impl Watcher {
    /// Watches nothing yet.
    pub fn new(waker: &Waker) -> Self {
        let waker = waker.clone();
        let inner = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            match event.map(|event| event.kind) {
                // Reading the files ourselves is no news.
                Ok(EventKind::Access(_)) => {}
                Ok(EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Metadata(_))) => waker.set(|_| {}),
                _ => waker.set(|flags| flags.rescan = true),
            }
        });
        let inner = inner
            .inspect_err(|error| tracing::warn!(%error, "the kernel does not report changes of files, they are polled"))
            .ok();
        Self {
            inner,
            watched: HashSet::new(),
        }
    }

    /// Watches exactly these folders.
    pub fn watch(&mut self, folders: impl IntoIterator<Item = PathBuf>) {
        let Some(inner) = &mut self.inner else { return };
        let wanted: HashSet<PathBuf> = folders.into_iter().collect();
        for folder in self.watched.extract_if(|folder| !wanted.contains(folder)) {
            if let Err(error) = inner.unwatch(&folder) {
                tracing::debug!(%error, folder = %folder.display(), "cannot stop watching a folder");
            }
        }
        for folder in wanted {
            if self.watched.contains(&folder) {
                continue;
            }
            match inner.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.insert(folder);
                }
                Err(error) => {
                    tracing::debug!(%error, folder = %folder.display(), "cannot watch a folder, it is polled")
                }
            }
        }
    }
}
