//! What a file source has to say: counted always, logged rarely, as a broken log may have millions of lines.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use streamflow_proto::event::Rejection;

use super::format::Outcome;
use crate::counters::{Counters, DropReason, SourceCounters};

const EVERY: Duration = Duration::from_secs(10);
const SAME_FAILURE_EVERY: Duration = Duration::from_secs(600);
const MAX_FAILURES: usize = 1_024;

/// Lets one message through now and then.
#[derive(Debug, Default)]
struct Rarely {
    last: Option<Instant>,
    silent: u64,
}

impl Rarely {
    /// How many were kept back since the last one, when it is time for one.
    fn now(&mut self) -> Option<u64> {
        let now = Instant::now();
        if self
            .last
            .is_some_and(|last| now.saturating_duration_since(last) < EVERY)
        {
            self.silent += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.silent))
    }
}

/// The counts and what was said when.
pub struct Reports {
    /// Of this source.
    pub counters: Arc<SourceCounters>,
    all: Arc<Counters>,
    malformed: Rarely,
    long: Rarely,
    utf8: Rarely,
    failures: HashMap<String, Instant>,
    /// Files that are waited for; bounded by the configured paths.
    awaited: HashSet<PathBuf>,
}

impl Reports {
    /// Nothing said yet.
    pub fn new(counters: Arc<SourceCounters>, all: Arc<Counters>) -> Self {
        Self {
            counters,
            all,
            malformed: Rarely::default(),
            long: Rarely::default(),
            utf8: Rarely::default(),
            failures: HashMap::new(),
            awaited: HashSet::new(),
        }
    }

    /// A line became an event.
    pub fn outcome(&mut self, outcome: &Outcome, file: &str) {
        if let Some(reason) = &outcome.malformed {
            self.counters.malformed.add(1);
            if let Some(silent) = self.malformed.now() {
                tracing::warn!(file, %reason, silent, "a line is not what the source's format says and is kept as text");
            }
        }
        if outcome.invalid_utf8 {
            self.counters.invalid_utf8.add(1);
            if let Some(silent) = self.utf8.now() {
                tracing::warn!(file, silent, "a line has bytes that are not UTF-8, they are replaced");
            }
        }
    }

    /// A line could not become an event in any form.
    pub fn refused(&mut self, rejection: &Rejection, file: &str) {
        self.counters.error(format!("{file}: {rejection}"));
        self.all.dropped(DropReason::LineRejected, 1);
        tracing::error!(file, %rejection, "a line cannot be kept in any form");
    }

    /// A line was cut.
    pub fn truncated(&mut self, file: &str) {
        self.counters.truncated.add(1);
        if let Some(silent) = self.long.now() {
            tracing::warn!(file, silent, "a line is longer than max_line_bytes and is cut");
        }
    }

    /// A line was left out.
    pub fn dropped_long(&mut self, file: &str) {
        self.all.dropped(DropReason::LineTooLong, 1);
        if let Some(silent) = self.long.now() {
            tracing::warn!(file, silent, "a line is longer than max_line_bytes and is dropped");
        }
    }

    /// A file cannot be read; others go on, and this one is tried again.
    pub fn failure(&mut self, file: &str, error: &std::io::Error) {
        let now = Instant::now();
        self.counters.error(format!("{file}: {error}"));
        let said = self
            .failures
            .get(file)
            .is_some_and(|last| now.saturating_duration_since(*last) < SAME_FAILURE_EVERY);
        if said {
            return;
        }
        if self.failures.len() >= MAX_FAILURES {
            self.failures.clear();
        }
        self.failures.insert(file.to_owned(), now);
        tracing::warn!(file, %error, "cannot read the file, trying again later");
    }

    /// These files do not exist yet, which is no error: a program that has not started has no log. Said once for each, and again when one has come
    /// and gone.
    pub fn awaits(&mut self, missing: Vec<PathBuf>) {
        let missing: HashSet<PathBuf> = missing.into_iter().collect();
        for file in missing.difference(&self.awaited) {
            tracing::info!(file = %file.display(), "the file does not exist yet, waiting for it");
        }
        self.awaited = missing;
    }

    /// A file can be read again.
    pub fn success(&mut self, file: &str) {
        if self.failures.remove(file).is_some() {
            tracing::info!(file, "the file can be read now");
        }
    }
}
