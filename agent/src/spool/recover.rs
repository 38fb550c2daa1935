//! Opens a spool: finds what is valid, sets damaged files aside, and makes sure that what it found is on the disk.

use std::io;
use std::sync::Arc;

use super::SpoolError;
use super::cursor::Cursor;
use super::disk::{Disk, DiskFile, write_all_at};
use super::epoch::{self, Epoch};
use super::log::{Limits, Log, SPARE};
use super::position::{self, Positions};
use super::shared::{Segment, Shared, State};
use super::walk::{Found, Frames, Step, Walk};
use super::window::Window;

/// What recovery has to tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Frames that wait for the hub.
    pub frames: u64,
    /// Events in them.
    pub events: u64,
    /// Stretches of the log that cannot be read.
    pub damaged: u64,
    /// Files that were set aside.
    pub set_aside: Vec<String>,
    /// Bytes of a commit that was cut short, and of which nothing had been acknowledged.
    pub torn_bytes: u64,
}

struct Scan {
    number: Option<u64>,
    next_seq: u64,
    events: u64,
    positions: Positions,
    state: State,
    now_ms: i64,
    report: Report,
}

/// Opens the spool in `disk`.
pub fn open(disk: Arc<dyn Disk>, limits: Limits, new_epoch: u64, now_ms: i64) -> Result<(Log, Report), SpoolError> {
    let at = |error| SpoolError::Open(disk.describe(""), error);
    let names = disk.list().map_err(at)?;
    let mut numbers: Vec<u64> = names
        .iter()
        .filter_map(|name| name.strip_suffix(".seg"))
        .filter_map(|name| name.parse().ok())
        .collect();
    numbers.sort_unstable();
    let cursor = Cursor::open(&*disk).map_err(at)?;
    let stored = epoch::read(&*disk).map_err(at)?;
    let mut scan = Scan {
        number: None,
        next_seq: 1,
        events: 0,
        positions: Positions::new(),
        state: State::after(cursor.acked()),
        now_ms,
        report: Report::default(),
    };
    let mut window = Window::default();
    let mut file = None;
    for (index, first_number) in numbers.iter().enumerate() {
        let last = index + 1 == numbers.len();
        let opened = scan.segment(&*disk, *first_number, last, &mut window).map_err(at)?;
        file = last.then_some(opened);
    }
    // Sequence numbers mean something only together with the epoch; a log that lost all its groups starts a new one.
    let epoch = match stored {
        Some(epoch) if scan.number.is_some() => epoch,
        _ => {
            let fresh = Epoch {
                id: new_epoch,
                floor: if stored.is_some() { scan.next_seq } else { 0 },
            };
            epoch::write(&*disk, fresh).map_err(at)?;
            fresh
        }
    };
    // Numbers that the hub has seen are never given again, whatever became of the log.
    let next_seq = scan.next_seq.max(cursor.acked() + 1);
    (scan.state.epoch, scan.state.floor) = (epoch.id, epoch.floor);
    let log = Log {
        disk: disk.clone(),
        limits,
        shared: Arc::new(Shared::new(scan.state, next_seq)),
        cursor,
        positions: scan.positions,
        file,
        number: scan
            .number
            .map_or(1, |number| number + 1)
            .max(numbers.last().copied().unwrap_or(1)),
        next_seq,
        events: scan.events,
        spare: names.iter().any(|name| name == SPARE),
        scratch: Vec::new(),
    };
    Ok((log, scan.report))
}

impl Scan {
    fn segment(
        &mut self,
        disk: &dyn Disk,
        first_number: u64,
        last: bool,
        window: &mut Window,
    ) -> io::Result<Box<dyn DiskFile>> {
        let mut segment = Segment {
            first_number,
            first_seq: self.next_seq,
            ..Segment::default()
        };
        let name = segment.name();
        let file = disk.open(&name)?;
        segment.size = file.size()?;
        window.clear();
        let mut walk = Walk {
            offset: 0,
            number: first_number,
            limit: segment.size,
        };
        let mut damaged = self
            .number
            .filter(|number| number + 1 != first_number)
            .into_iter()
            .count() as u64;
        let mut before = None;
        let mut found = walk.next_group(&*file, window)?;
        while let Some(here) = found {
            damaged += u64::from(here.damaged.is_some());
            let next = walk.next_group(&*file, window)?;
            // A commit that nothing was written after may have been cut short by power loss: it counts whole or not at all.
            let tail = last && next.is_none();
            let frames = check(&*file, window, &here)?;
            if tail && (frames.damaged > 0 || frames.positions.is_none()) {
                self.report.torn_bytes = here.group.total_len();
                walk.offset = here.offset;
                walk.number = here.group.number;
                break;
            }
            damaged += frames.damaged;
            if before.is_none() {
                segment.first_seq = here.group.next_seq;
                self.next_seq = self.next_seq.max(here.group.next_seq);
            }
            before = Some(here.clone());
            self.take(&here, frames);
            found = next;
        }
        if let (true, Some(here)) = (last, &before) {
            rewrite(&*file, here)?;
        }
        segment.end = walk.offset;
        if damaged > 0 {
            self.report.damaged += damaged;
            self.report.set_aside.extend(set_aside(disk, &name, &*file)?);
        }
        self.state.segments.push_back(segment);
        Ok(file)
    }

    fn take(&mut self, found: &Found, frames: Checked) {
        let group = &found.group;
        self.number = Some(group.number);
        self.next_seq = group.next_seq + u64::from(group.frames);
        self.events = group.events_before + frames.frames.iter().map(|(_, events, _)| events).sum::<u64>();
        if let Some(positions) = frames.positions {
            if group.snapshot {
                self.positions.clear();
            }
            position::merge(&mut self.positions, positions);
        }
        for (seq, events, bytes) in frames.frames {
            if seq > self.state.acked {
                self.report.frames += 1;
                self.report.events += events;
                self.state.committed(seq, events, bytes, self.now_ms);
            }
        }
    }
}

struct Checked {
    /// Sequence number, events and bytes of each readable frame.
    frames: Vec<(u64, u64, u64)>,
    damaged: u64,
    positions: Option<Vec<position::Position>>,
}

fn check(file: &dyn DiskFile, window: &mut Window, found: &Found) -> io::Result<Checked> {
    let start = found.offset + super::group::HEAD_LEN as u64;
    let positions = found
        .group
        .positions(window.at(file, start, found.group.positions_len as usize)?);
    let mut checked = Checked {
        frames: Vec::new(),
        damaged: u64::from(positions.is_none()),
        positions,
    };
    let own = found.group.next_seq..found.group.next_seq.saturating_add(found.group.frames.into());
    let mut frames = Frames::of(found);
    loop {
        match frames.next(file, window)? {
            // A recycled file holds older frames, and one of the same length may stand where a write was cut short.
            Step::Frame(frame) if !own.contains(&frame.header().seq) => checked.damaged += 1,
            Step::Frame(frame) => {
                let header = frame.header();
                checked
                    .frames
                    .push((header.seq, u64::from(header.count), frame.bytes().len() as u64));
            }
            Step::Damage(_) => checked.damaged += 1,
            Step::End => return Ok(checked),
        }
    }
}

/// Writes the last commit once more and syncs it. It may have reached only the page cache before the process died, and the hub must not
/// see a sequence number that power loss could still take back.
fn rewrite(file: &dyn DiskFile, found: &Found) -> io::Result<()> {
    let mut bytes = vec![0; found.group.total_len() as usize];
    let mut read = 0;
    while read < bytes.len() {
        match file.read_at(&mut bytes[read..], found.offset + read as u64)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => read += more,
        }
    }
    write_all_at(file, &bytes, found.offset)?;
    file.sync()
}

/// Copies a damaged segment to `NAME.damaged`, once; the log goes on with what is readable in the original.
pub(super) fn set_aside(disk: &dyn Disk, name: &str, file: &dyn DiskFile) -> io::Result<Option<String>> {
    let copy = format!("{name}.damaged");
    if disk.list()?.contains(&copy) {
        return Ok(None);
    }
    let len = file.size()?;
    let target = disk.create(&copy, len)?;
    let mut block = vec![0; 1 << 20];
    let mut offset = 0;
    while offset < len {
        match file.read_at(&mut block, offset)? {
            0 => break,
            read => {
                write_all_at(&*target, &block[..read], offset)?;
                offset += read as u64;
            }
        }
    }
    target.sync()?;
    disk.sync_dir()?;
    Ok(Some(disk.describe(&copy)))
}

/// Sequence number and events of the frames of one segment.
pub(super) fn frames_of(disk: &dyn Disk, segment: &Segment) -> Result<Vec<(u64, u64)>, SpoolError> {
    let list = || -> io::Result<Vec<(u64, u64)>> {
        let file = disk.open(&segment.name())?;
        let mut window = Window::default();
        let mut walk = Walk {
            offset: 0,
            number: segment.first_number,
            limit: segment.end,
        };
        let mut seen = Vec::new();
        while let Some(found) = walk.next_group(&*file, &mut window)? {
            let mut frames = Frames::of(&found);
            while let Some(header) = frames.peek(&*file, &mut window)? {
                frames.skip(&header);
                seen.push((header.seq, u64::from(header.count)));
            }
        }
        Ok(seen)
    };
    list().map_err(|error| SpoolError::Open(disk.describe(&segment.name()), error))
}
