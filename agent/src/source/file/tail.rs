//! One open file: reads what is new, notices when it was truncated or replaced, and knows the place to go on from.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::FileOptions;
use super::format::{self, Context};
use super::identity::{self, PRINT_LEN};
use super::lines::{Line, Lines};
use super::report::Reports;
use crate::batch::Batcher;
use crate::spool::inbox::Closed;
use crate::spool::position::{Fingerprint, Position};

/// Why reading stopped.
#[derive(Debug, thiserror::Error)]
pub enum TailError {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// The spool takes nothing more.
    #[error(transparent)]
    Closed(#[from] Closed),
}

/// What a turn found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// There may be more.
    More,
    /// Everything is read, but for a line without its end perhaps.
    Idle,
}

/// What lines of all files of a source need.
pub struct Reading<'a> {
    /// The source's options.
    pub options: &'a FileOptions,
    /// `source` of the events.
    pub source: &'a str,
    /// For blocks of a file.
    pub buffer: &'a mut [u8],
    /// Where events go.
    pub batcher: &'a mut Batcher,
    /// Counts and messages.
    pub reports: &'a mut Reports,
    /// Receipt time.
    pub now_ms: i64,
}

/// An open file.
pub struct Tail {
    file: File,
    position: Position,
    metadata: Vec<u8>,
    /// Since when nothing new has come.
    pub quiet_since: Instant,
    /// Since when no pattern names it.
    pub unnamed_since: Option<Instant>,
    /// It was not read from its beginning, which must be remembered even if nothing is ever written to it.
    pub start_at_end: bool,
}

/// Blocks of one file before others get their turn.
const BLOCKS_A_TURN: usize = 8;

impl Tail {
    /// Opens the file. It goes on from `known` when that is the same file, else at the beginning, or the end if asked to.
    pub fn open(path: &Path, known: Option<&Position>, at_end: bool, now: Instant) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let text: Arc<str> = path.to_string_lossy().into();
        let mut tail = Self {
            metadata: serde_json::json!({ "file": &*text }).to_string().into_bytes(),
            position: Position {
                file: identity::id(&metadata),
                fingerprint: Fingerprint::default(),
                offset: 0,
                mid_line: false,
                path: text,
                gone: false,
            },
            file,
            quiet_since: now,
            unnamed_since: None,
            start_at_end: false,
        };
        let mut start = [0; PRINT_LEN];
        let len = identity::read_start(&tail.file, &mut start)?;
        tail.position.fingerprint = identity::fingerprint(&start[..len]);
        match known {
            Some(known)
                if known.file == tail.position.file
                    && known.offset <= metadata.size()
                    && identity::matches(known.fingerprint, &start[..len]) =>
            {
                (tail.position.offset, tail.position.mid_line) = (known.offset, known.mid_line);
            }
            _ if at_end => {
                tail.position.offset = last_line_start(&tail.file, metadata.size())?;
                tail.start_at_end = true;
            }
            _ => {}
        }
        Ok(tail)
    }

    /// Where to go on.
    pub fn position(&self) -> Position {
        self.position.clone()
    }

    /// The path it was last seen under.
    pub fn path(&self) -> &str {
        &self.position.path
    }

    /// Whether it has been deleted.
    pub fn is_deleted(&self) -> bool {
        self.file.metadata().is_ok_and(|metadata| metadata.nlink() == 0)
    }

    /// Reads a few blocks.
    pub fn turn(&mut self, reading: &mut Reading<'_>, now: Instant) -> Result<Turn, TailError> {
        let size = self.file.metadata()?.size();
        if size < self.position.offset {
            self.restart(reading, "the file was truncated and is read from its beginning")?;
        }
        if size == self.position.offset {
            return Ok(Turn::Idle);
        }
        for _ in 0..BLOCKS_A_TURN {
            let read = read_at(&self.file, reading.buffer, self.position.offset)?;
            if !self.is_same()? {
                self.restart(reading, "the file was replaced and is read from its beginning")?;
                return Ok(Turn::More);
            }
            let before = self.position.offset;
            self.lines(reading, read)?;
            if self.position.offset > before {
                self.quiet_since = now;
            }
            if read < reading.buffer.len() || self.position.offset == before {
                return Ok(Turn::Idle);
            }
        }
        Ok(Turn::More)
    }

    /// Passes on a last line that has no end.
    pub fn finish_line(&mut self, reading: &mut Reading<'_>) -> Result<(), TailError> {
        let read = read_at(&self.file, reading.buffer, self.position.offset)?;
        if read == 0 || self.position.mid_line || !self.is_same()? {
            return Ok(());
        }
        let buffer = std::mem::take(&mut reading.buffer);
        let mut lines = Lines::new(&buffer[..read], reading.options.max_line_bytes.0 as usize, false);
        let whole = lines.next().is_some();
        let pushed = if whole {
            Ok(())
        } else {
            self.line(reading, Line::Whole(&buffer[..read]), 0)
        };
        reading.buffer = buffer;
        pushed?;
        if !whole {
            self.position.offset += read as u64;
            reading.batcher.position(self.position());
        }
        Ok(())
    }

    fn lines(&mut self, reading: &mut Reading<'_>, read: usize) -> Result<(), TailError> {
        let buffer = std::mem::take(&mut reading.buffer);
        let max = reading.options.max_line_bytes.0 as usize;
        let mut lines = Lines::new(&buffer[..read], max, self.position.mid_line);
        let mut result = Ok(());
        let mut start = 0;
        while let Some(line) = lines.next() {
            result = self.line(reading, line, start);
            if result.is_err() {
                break;
            }
            start = lines.consumed;
        }
        let (consumed, mid_line) = (lines.consumed, lines.mid_line);
        reading.buffer = buffer;
        result?;
        if consumed > 0 {
            self.position.offset += consumed as u64;
            self.position.mid_line = mid_line;
            reading.reports.counters.bytes.add(consumed as u64);
            reading.batcher.position(self.position());
        }
        Ok(())
    }

    /// Takes one line, which begins `start` bytes after the present position.
    fn line(&self, reading: &mut Reading<'_>, line: Line<'_>, start: usize) -> Result<(), TailError> {
        let text = match line {
            Line::Whole(text) => text,
            Line::Cut(_) if reading.options.drop_long_lines() => {
                reading.reports.dropped_long(self.path());
                return Ok(());
            }
            Line::Cut(text) => {
                reading.reports.truncated(self.path());
                text
            }
        };
        if text.trim_ascii().is_empty() {
            return Ok(());
        }
        if reading.batcher.is_full() {
            let offset = self.position.offset + start as u64;
            let mid_line = self.position.mid_line && start == 0;
            reading.batcher.position(Position {
                offset,
                mid_line,
                ..self.position()
            });
            reading.batcher.flush()?;
        }
        let options = reading.options;
        let context = Context {
            kind: &options.event_type,
            source: reading.source,
            path: self.path(),
            metadata: &self.metadata,
        };
        match format::push(
            options.format,
            text,
            &context,
            reading.now_ms,
            reading.batcher.builder(),
        ) {
            Ok(outcome) => reading.reports.outcome(&outcome, self.path()),
            Err(rejection) => reading.reports.refused(&rejection, self.path()),
        }
        Ok(())
    }

    fn restart(&mut self, reading: &mut Reading<'_>, why: &str) -> Result<(), TailError> {
        tracing::info!(file = self.path(), offset = self.position.offset, "{why}");
        self.position.offset = 0;
        self.position.mid_line = false;
        self.position.fingerprint = Fingerprint::default();
        self.is_same()?;
        reading.batcher.position(self.position());
        Ok(())
    }

    /// Whether the file still begins as it did; takes notice of a longer beginning. Asked after a read, so that what was read is known to be
    /// of this file.
    fn is_same(&mut self) -> io::Result<bool> {
        let mut start = [0; PRINT_LEN];
        let len = identity::read_start(&self.file, &mut start)?;
        if !identity::matches(self.position.fingerprint, &start[..len]) {
            return Ok(false);
        }
        if len > usize::from(self.position.fingerprint.len) {
            self.position.fingerprint = identity::fingerprint(&start[..len]);
        }
        Ok(true)
    }

    /// The file is read to its end and nobody needs it any more.
    pub fn is_done(&self, now: Instant, wait: Duration) -> bool {
        let long = |since: Instant| now.saturating_duration_since(since) >= wait;
        self.unnamed_since.is_some_and(long) && long(self.quiet_since)
    }
}

/// The start of the last line that is still being written, or the end.
fn last_line_start(file: &File, size: u64) -> io::Result<u64> {
    let mut block = vec![0; 64 << 10];
    let from = size.saturating_sub(block.len() as u64);
    let read = read_at(file, &mut block, from)?;
    Ok(memchr::memrchr(b'\n', &block[..read]).map_or(size, |at| from + at as u64 + 1))
}

fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match file.read_at(buffer, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
