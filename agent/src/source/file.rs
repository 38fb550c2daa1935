//! Follows files as they grow, are rotated, truncated, deleted and made anew.

mod discover;
pub mod format;
mod identity;
mod lines;
mod report;
mod tail;
mod watch;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::batch::Batcher;
use crate::clock;
use crate::config::units::{ByteSize, Span};
use crate::counters::{Counters, SourceCounters};
use crate::spool::position::{FileId, Position, Positions};
use discover::Patterns;
use format::Format;
use report::Reports;
use tail::{Reading, Tail, TailError, Turn};
pub use watch::Waker;

/// `[[sources]]` with `kind = "file"`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileOptions {
    /// Name in messages and counters; made of `paths` when empty.
    pub name: String,
    /// Absolute paths and patterns.
    pub paths: Vec<String>,
    /// Patterns of paths or file names to leave out.
    pub exclude: Vec<String>,
    /// What a line means.
    pub format: Format,
    /// `type` of events that do not bring their own.
    #[serde(rename = "type")]
    pub event_type: String,
    /// `source` of such events; the agent's name unless set.
    pub source: Option<String>,
    /// Where to begin with files that exist when the agent first sees this source.
    pub read_from: ReadFrom,
    /// Longest line.
    pub max_line_bytes: ByteSize,
    /// What happens to longer ones.
    pub long_lines: LongLines,
    /// How often files are looked at when the kernel says nothing.
    pub poll_interval: Span,
    /// How often patterns are matched again when the kernel says nothing.
    pub scan_interval: Span,
    /// How long a renamed or deleted file is watched for last lines.
    pub rotate_wait: Span,
    /// After this time without an end a last line is taken as it is; `"0s"` waits for ever.
    pub partial_line_timeout: Span,
}

/// `read_from`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadFrom {
    /// All that is in the file.
    #[default]
    Beginning,
    /// Only what is written from now on.
    End,
}

/// `long_lines`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LongLines {
    /// The first `max_line_bytes` are kept.
    #[default]
    Truncate,
    /// Nothing is kept; counted as dropped.
    Drop,
}

impl FileOptions {
    fn drop_long_lines(&self) -> bool {
        self.long_lines == LongLines::Drop
    }
}

impl Default for FileOptions {
    fn default() -> Self {
        Self {
            name: String::new(),
            paths: Vec::new(),
            exclude: ["*.gz", "*.bz2", "*.xz", "*.zst", "*.zip"].map(str::to_owned).to_vec(),
            format: Format::Auto,
            event_type: "log".into(),
            source: None,
            read_from: ReadFrom::Beginning,
            max_line_bytes: ByteSize(64 << 10),
            long_lines: LongLines::Truncate,
            poll_interval: Span::secs(1),
            scan_interval: Span::secs(10),
            rotate_wait: Span::secs(5),
            partial_line_timeout: Span::secs(0),
        }
    }
}

const BLOCK: usize = 256 << 10;
/// How long the position of a file that no pattern names is remembered: a file system may only be away.
const FORGET_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// Files that some source reads, as two sources must not count the same line twice.
#[derive(Clone, Debug, Default)]
pub struct Claims(Arc<Mutex<HashSet<FileId>>>);

impl Claims {
    fn take(&self, file: FileId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(file)
    }

    fn holds(&self, file: FileId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&file)
    }

    fn release(&self, file: FileId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&file);
    }
}

/// A file source before it runs.
pub struct FileSource {
    options: FileOptions,
    source: String,
    patterns: Patterns,
    reports: Reports,
    batcher: Batcher,
    claims: Claims,
    tails: HashMap<FileId, Tail>,
    /// Positions of files that are not open.
    closed: HashMap<FileId, (Position, Instant)>,
    waker: Waker,
    first_scan: bool,
    /// Nothing of this source has ever been read.
    is_new: bool,
}

impl FileSource {
    /// Nothing is opened yet. `known` are the positions that the spool recovered, `agent` the default of `source`.
    pub fn build(
        options: &FileOptions,
        agent: &str,
        known: &Positions,
        claims: Claims,
        batcher: Batcher,
        counters: (Arc<SourceCounters>, Arc<Counters>),
    ) -> Result<Self, glob::PatternError> {
        let now = Instant::now();
        let patterns = Patterns::new(&options.paths, &options.exclude)?;
        Ok(Self {
            is_new: !known
                .values()
                .any(|position| patterns.names(Path::new(&*position.path))),
            source: options.source.clone().unwrap_or_else(|| agent.to_owned()),
            patterns,
            options: options.clone(),
            reports: Reports::new(counters.0, counters.1),
            batcher,
            claims,
            tails: HashMap::new(),
            closed: known
                .iter()
                .map(|(file, position)| (*file, (position.clone(), now)))
                .collect(),
            waker: Waker::default(),
            first_scan: true,
        })
    }

    /// Wakes the source, to look at its files or to stop.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Reads until the waker says stop. Blocks its thread.
    pub fn run(mut self) {
        let mut buffer = vec![0; BLOCK];
        let mut watcher = watch::Watcher::new(&self.waker);
        let mut next_scan = Instant::now();
        while !self.waker.is_stopped() {
            let now = Instant::now();
            if now >= next_scan || self.waker.take_rescan() {
                self.scan(now);
                watcher.watch(self.patterns.folders().chain(self.folders()));
                next_scan = now + self.options.scan_interval.0;
            }
            let Ok(more) = self.turn(&mut buffer, now) else { return };
            if more {
                continue;
            }
            let now = Instant::now();
            match self.batcher.time_left(now) {
                Some(left) if !left.is_zero() => self.waker.wait(left),
                Some(_) if self.batcher.flush().is_err() => return,
                Some(_) => {}
                None => self.waker.wait(
                    self.options
                        .poll_interval
                        .0
                        .min(next_scan.saturating_duration_since(now)),
                ),
            }
        }
        // The spool may have stopped first; then nothing of this was counted as read.
        if self.batcher.flush().is_err() {
            tracing::debug!(
                source = self.reports.counters.name,
                "the spool stopped before the last lines"
            );
        }
    }

    /// Gives every file its turn; true when there may be more.
    fn turn(&mut self, buffer: &mut [u8], now: Instant) -> Result<bool, TailError> {
        let mut reading = Reading {
            options: &self.options,
            source: &self.source,
            buffer,
            batcher: &mut self.batcher,
            reports: &mut self.reports,
            now_ms: clock::now_ms(),
        };
        let mut more = false;
        let mut done = Vec::new();
        for (file, tail) in &mut self.tails {
            match tail.turn(&mut reading, now) {
                Ok(Turn::More) => more = true,
                Ok(Turn::Idle) => {
                    let patience = self.options.partial_line_timeout.0;
                    let overdue = !patience.is_zero() && now.saturating_duration_since(tail.quiet_since) >= patience;
                    let finished = tail.is_done(now, self.options.rotate_wait.0);
                    if overdue || finished {
                        tail.finish_line(&mut reading)?;
                    }
                    if finished {
                        done.push(*file);
                    }
                }
                Err(TailError::Read(error)) => {
                    reading.reports.failure(tail.path(), &error);
                    done.push(*file);
                }
                Err(closed) => return Err(closed),
            }
        }
        for file in done {
            self.close(file, now);
        }
        Ok(more)
    }

    fn close(&mut self, file: FileId, now: Instant) {
        let Some(tail) = self.tails.remove(&file) else { return };
        self.claims.release(file);
        self.reports
            .counters
            .files
            .store(self.tails.len() as u64, Ordering::Relaxed);
        tracing::debug!(file = tail.path(), "closed");
        if tail.is_deleted() {
            self.batcher.position(Position {
                gone: true,
                ..tail.position()
            });
        } else {
            self.closed.insert(file, (tail.position(), now));
        }
    }

    /// Opens what is new, and notices what is no longer named.
    fn scan(&mut self, now: Instant) {
        let found = self.patterns.discover();
        for (path, error) in &found.failures {
            self.reports.failure(&path.to_string_lossy(), error);
        }
        self.reports.awaits(found.missing);
        for (file, path) in &found.files {
            match self.tails.get_mut(file) {
                Some(tail) => tail.unnamed_since = None,
                None => self.open(*file, path, now),
            }
        }
        for (file, tail) in &mut self.tails {
            if !found.files.contains_key(file) {
                tail.unnamed_since.get_or_insert(now);
            }
        }
        if self.first_scan {
            self.first_scan = false;
            self.find_renamed(now);
        }
        let forgotten = self
            .closed
            .extract_if(|_, (_, since)| now.saturating_duration_since(*since) >= FORGET_AFTER);
        // Every source knows all positions of before; a file that another one reads is not gone.
        for (_, (position, _)) in forgotten.filter(|(file, _)| !self.claims.holds(*file)) {
            self.batcher.position(Position { gone: true, ..position });
        }
        self.reports
            .counters
            .files
            .store(self.tails.len() as u64, Ordering::Relaxed);
    }

    fn open(&mut self, file: FileId, path: &Path, now: Instant) {
        let text = path.to_string_lossy();
        if !self.claims.take(file) {
            let error = std::io::Error::other("another source reads it already");
            return self.reports.failure(&text, &error);
        }
        let known = self.closed.get(&file).map(|(position, _)| position);
        let at_end = self.first_scan && self.is_new && self.options.read_from == ReadFrom::End;
        match Tail::open(path, known, at_end, now) {
            Ok(tail) => {
                let position = tail.position();
                tracing::info!(file = &*text, offset = position.offset, "reading");
                self.reports.success(&text);
                if tail.start_at_end {
                    self.batcher.position(position);
                }
                self.closed.remove(&file);
                self.tails.insert(file, tail);
            }
            Err(error) => {
                self.claims.release(file);
                self.reports.failure(&text, &error);
            }
        }
    }

    /// Files that were rotated while the agent was not running still hold lines that nobody has read.
    fn find_renamed(&mut self, now: Instant) {
        let known: Vec<Position> = self.closed.values().map(|(position, _)| position.clone()).collect();
        for position in known {
            let Some((path, _)) = discover::find_renamed(Path::new(&*position.path), position.file) else {
                continue;
            };
            if self.patterns.names(Path::new(&*position.path)) {
                self.open(position.file, &path, now);
                if let Some(tail) = self.tails.get_mut(&position.file) {
                    tail.unnamed_since = Some(now);
                }
            }
        }
    }

    fn folders(&self) -> HashSet<std::path::PathBuf> {
        self.tails
            .values()
            .filter_map(|tail| Path::new(tail.path()).parent())
            .map(Path::to_owned)
            .collect()
    }
}

#[cfg(test)]
mod tests;
