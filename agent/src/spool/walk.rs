//! Finds the groups of one segment, over damage and up to the first place after which nothing valid follows.

use std::io;
use std::ops::Range;

use bytes::Bytes;
use streamflow_proto::frame::{Frame, FrameHeader, HEADER_LEN};

use super::disk::DiskFile;
use super::group::{Group, HEAD_LEN};
use super::window::Window;

const SEARCH: usize = 256 << 10;

/// A place in a segment and what must come next.
#[derive(Clone, Debug)]
pub struct Walk {
    /// Where the next group should start.
    pub offset: u64,
    /// Number that it should have.
    pub number: u64,
    /// Nothing at or after this place is looked at.
    pub limit: u64,
}

/// One group and where it stands.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its head.
    pub group: Group,
    /// Where the head starts.
    pub offset: u64,
    /// Bytes before it that belong to the log but cannot be read.
    pub damaged: Option<Range<u64>>,
}

impl Walk {
    /// The next group. Only groups that were written after the last one count: a recycled file still holds older ones.
    pub fn next_group(&mut self, file: &dyn DiskFile, window: &mut Window) -> io::Result<Option<Found>> {
        let here = Group::parse(window.at(file, self.offset, HEAD_LEN)?);
        if let Some(group) = here.filter(|group| group.number == self.number && self.fits(self.offset, group)) {
            return Ok(Some(self.step(group, self.offset, None)));
        }
        let mut at = self.offset + 1;
        while at + HEAD_LEN as u64 <= self.limit {
            let len = SEARCH.min((self.limit - at) as usize);
            let bytes = window.at(file, at, len)?;
            let (searched, whole) = (bytes.len(), bytes.len() == len);
            let mut from = 0;
            while let Some(hit) = Group::next_magic(bytes, from) {
                let offset = at + hit as u64;
                let candidate = Group::parse(&bytes[hit..]);
                if let Some(group) = candidate.filter(|group| group.number >= self.number && self.fits(offset, group)) {
                    let damaged = Some(self.offset..offset);
                    return Ok(Some(self.step(group, offset, damaged)));
                }
                from = hit + 1;
            }
            if !whole || searched < SEARCH {
                break;
            }
            // A head may begin in the last bytes of this stretch.
            at += (searched - HEAD_LEN) as u64;
        }
        Ok(None)
    }

    fn fits(&self, offset: u64, group: &Group) -> bool {
        offset
            .checked_add(group.total_len())
            .is_some_and(|end| end <= self.limit)
    }

    fn step(&mut self, group: Group, offset: u64, damaged: Option<Range<u64>>) -> Found {
        self.offset = offset + group.total_len();
        self.number = group.number + 1;
        Found { group, offset, damaged }
    }
}

/// Where the frames of a group stand.
#[derive(Clone, Debug, Default)]
pub struct Frames {
    /// Where the next frame starts.
    pub offset: u64,
    /// Where the group ends.
    pub end: u64,
}

/// What stands at the next place of a group.
#[derive(Debug)]
pub enum Step {
    /// A frame whose checksum is right.
    Frame(Frame),
    /// Bytes that are no frame.
    Damage(Range<u64>),
    /// The group is over.
    End,
}

impl Frames {
    /// The frames of this group.
    pub fn of(found: &Found) -> Self {
        Self {
            offset: found.offset + found.group.prefix_len(),
            end: found.offset + found.group.total_len(),
        }
    }

    /// The next header, without its payload; the place stays.
    pub fn peek(&self, file: &dyn DiskFile, window: &mut Window) -> io::Result<Option<FrameHeader>> {
        if self.offset + HEADER_LEN as u64 > self.end {
            return Ok(None);
        }
        Ok(FrameHeader::parse(window.at(file, self.offset, HEADER_LEN)?).ok())
    }

    /// Passes over the frame of this header.
    pub fn skip(&mut self, header: &FrameHeader) {
        self.offset += (HEADER_LEN + header.payload_len as usize) as u64;
    }

    /// Reads the next frame and checks it.
    pub fn next(&mut self, file: &dyn DiskFile, window: &mut Window) -> io::Result<Step> {
        if self.offset >= self.end {
            return Ok(Step::End);
        }
        let start = self.offset;
        let Some(header) = self.peek(file, window)? else {
            self.offset = self.end;
            return Ok(Step::Damage(start..self.end));
        };
        self.skip(&header);
        if self.offset > self.end {
            self.offset = self.end;
            return Ok(Step::Damage(start..self.end));
        }
        let bytes = window.at(file, start, (self.offset - start) as usize)?;
        Ok(match Frame::parse(Bytes::copy_from_slice(bytes)) {
            Ok(frame) => Step::Frame(frame),
            Err(_) => Step::Damage(start..self.offset),
        })
    }
}
