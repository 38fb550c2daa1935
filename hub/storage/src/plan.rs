//! When frames become a chunk, and when small chunks become a larger one.

use std::ops::Range;

use streamflow_proto::frame::MAX_COUNT;

use crate::options::Options;

/// Frames whose inflated payloads are larger together are not merged together, so that merging stays within bounds in memory.
const MAX_RAW: u64 = 32 << 20;
/// The same for chunks, which are inflated to several times their size. One of half as many bytes stays as it is, however few events it has.
const MAX_BODY: u64 = 8 << 20;
/// Groups of frames, with chunks between them, that are merged at once: their installation shares a transaction, or one that waits for its own sync would fall
/// behind senders that mix small and large requests.
const MAX_GROUPS: usize = 32;
/// Small chunks of one size class that become one.
const FAN_IN: usize = 8;

/// A frame of the inbox.
#[derive(Debug, Clone, Copy)]
pub struct Waiting {
    /// Its place in the log.
    pub position: u64,
    /// Events in it.
    pub events: u64,
    /// Bytes of its payload once inflated.
    pub raw: u64,
    /// When it became durable.
    pub stored_at: i64,
}

/// Gathers the oldest frames until they are worth a chunk.
#[derive(Debug, Default)]
pub struct Gathering {
    /// The frames so far, oldest first.
    pub frames: Vec<Waiting>,
    events: u64,
    raw: u64,
    closed: bool,
    /// Where a chunk stands between two frames.
    cuts: Vec<usize>,
}

impl Gathering {
    /// Adds the next frame if it fits with those before; answers whether that is enough. A chunk that a large request brought may stand between
    /// two frames: chunks do not overlap, so those before it are a group of their own.
    pub fn add(&mut self, frame: Waiting, options: &Options) -> bool {
        let too_much = self.raw + frame.raw > MAX_RAW || self.events + frame.events > u64::from(MAX_COUNT);
        let apart = self
            .frames
            .last()
            .is_some_and(|last| frame.position != last.position + 1);
        self.closed = too_much && !self.frames.is_empty();
        if !self.closed {
            if apart {
                self.cuts.push(self.frames.len());
            }
            self.frames.push(frame);
            self.events += frame.events;
            self.raw += frame.raw;
        }
        self.is_enough(options)
    }

    /// What becomes a chunk each. The last group may still grow, so it waits while there are others.
    #[must_use]
    pub fn groups(&self) -> Vec<&[Waiting]> {
        if self.cuts.is_empty() {
            return vec![self.frames.as_slice()];
        }
        let begins = std::iter::once(0).chain(self.cuts.iter().copied());
        begins
            .zip(&self.cuts)
            .map(|(begin, end)| &self.frames[begin..*end])
            .collect()
    }

    /// Whether the frames shall be merged now: they fill a chunk, a chunk follows them, or the oldest has waited for long.
    #[must_use]
    pub fn is_due(&self, now: i64, options: &Options) -> bool {
        let age = options.merge_age.ms();
        // A clock that was set back must not keep frames in the inbox until it has caught up.
        let waited = |frame: &Waiting| now.saturating_sub(frame.stored_at).saturating_abs() >= age;
        self.is_enough(options) || !self.cuts.is_empty() || self.frames.first().is_some_and(waited)
    }

    fn is_enough(&self, options: &Options) -> bool {
        self.closed || self.events >= u64::from(options.merge_events) || self.cuts.len() >= MAX_GROUPS
    }
}

/// A stored chunk.
#[derive(Debug, Clone, Copy)]
pub struct Small {
    /// Places of its first and its last frame in the log.
    pub places: [u64; 2],
    /// Events in it.
    pub events: u64,
    /// Bytes of its body.
    pub bytes: u64,
}

/// Which of the newest chunks (given newest first) shall become one; none = an empty range. A slow sender leaves a small chunk every few seconds: eight of
/// a size become one of the next size, so an event is written again a few times at most and a month is not a million chunks. A quarter of a chunk is large
/// enough to stay, since large requests bring such chunks, and writing them again would cost more than it saves. Behind one of those nothing is
/// added to a run of small chunks any more, so two are enough to be joined there.
#[must_use]
pub fn compaction(newest: &[Small], options: &Options) -> Range<usize> {
    let full = u64::from(options.merge_events) / 4;
    let is_small = |chunk: &Small| chunk.events < full && chunk.bytes < MAX_BODY / 2;
    // What is between two chunks may be frames that are not merged yet.
    let touch = |pair: &[Small]| pair[1].places[1] + 1 == pair[0].places[0];
    let mut begin = 0;
    while begin < newest.len() {
        let small = newest[begin..].iter().take_while(|chunk| is_small(chunk)).count();
        if small == 0 {
            begin += 1;
            continue;
        }
        let gap = newest[begin..begin + small].windows(2).position(|pair| !touch(pair));
        let end = begin + gap.map_or(small, |last| last + 1);
        let run = &newest[begin..end];
        let is_closed = begin > 0 && touch(&newest[begin - 1..=begin]);
        let count = if is_closed {
            fitting(run, full)
        } else {
            growing(run, full)
        };
        if count > 1 {
            return begin..begin + count;
        }
        begin = end;
    }
    0..0
}

/// How many of the newest of a run to which others will be added.
fn growing(run: &[Small], full: u64) -> usize {
    let mut limit = full / 512;
    while limit < full {
        limit = (limit * 8).clamp(8, full.max(8));
        let small = run.iter().take_while(|chunk| chunk.events < limit).count();
        let count = fitting(&run[..small], full);
        if count >= FAN_IN || count < small {
            return count;
        }
    }
    0
}

/// How many of the newest fit in one chunk. Two small ones always do.
fn fitting(run: &[Small], full: u64) -> usize {
    let (mut events, mut bytes) = (0, 0);
    run.iter()
        .take_while(|chunk| {
            events += chunk.events;
            bytes += chunk.bytes;
            events <= 4 * full && bytes <= MAX_BODY
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn waiting(position: u64, events: u64) -> Waiting {
        Waiting {
            position,
            events,
            raw: events * 100,
            stored_at: 1_000,
        }
    }

    #[test]
    fn a_chunk_is_due_when_full_or_old() {
        let options = Options::default();
        let mut few = Gathering::default();
        assert!(!few.add(waiting(1, 1000), &options));
        assert!(!few.is_due(1_000, &options));
        assert!(few.is_due(11_000, &options));
        assert!(few.is_due(-600_000, &options), "the clock was set back");
        let mut many = Gathering::default();
        let enough = (1..).find(|position| many.add(waiting(*position, 1000), &options));
        assert_eq!((enough, many.is_due(1_000, &options)), (Some(17), true));
    }

    #[test]
    fn chunks_between_frames_keep_them_apart() {
        let options = Options::default();
        let mut gathering = Gathering::default();
        assert!(!gathering.add(waiting(4, 10), &options));
        assert!(!gathering.add(waiting(5, 10), &options));
        assert!(!gathering.is_due(1_000, &options));
        let places = |gathering: &Gathering| -> Vec<Vec<u64>> {
            let of_group = |group: &&[Waiting]| -> Vec<u64> { group.iter().map(|frame| frame.position).collect() };
            gathering.groups().iter().map(of_group).collect()
        };
        assert_eq!(places(&gathering), [[4, 5]]);
        assert!(!gathering.add(waiting(7, 10), &options), "what is at 6 is a chunk");
        assert!(gathering.is_due(1_000, &options));
        assert_eq!(places(&gathering), [[4, 5]], "another may come behind 7");
        assert!(!gathering.add(waiting(8, 10), &options));
        assert!(!gathering.add(waiting(11, 10), &options));
        assert_eq!(places(&gathering), [[4, 5], [7, 8]]);
        let enough = (6..).find(|group| gathering.add(waiting(group * 2 + 1, 10), &options));
        assert_eq!(enough, Some(35), "so many groups at most");
        assert_eq!(gathering.groups().len(), MAX_GROUPS);
    }

    fn chunk(place: u64, events: u64) -> Small {
        Small {
            places: [place; 2],
            events,
            bytes: events * 40,
        }
    }

    /// Joins as long as there is something to join, newest first; answers the chunks that were written.
    fn compact(chunks: &mut Vec<Small>) -> Vec<Small> {
        let options = Options::default();
        let mut written = Vec::new();
        loop {
            let joined = compaction(&chunks[..chunks.len().min(128)], &options);
            if joined.is_empty() {
                return written;
            }
            let run = &chunks[joined.clone()];
            assert!(run.len() > 1);
            assert!(run.windows(2).all(|pair| pair[1].places[1] + 1 == pair[0].places[0]));
            let chunk = Small {
                places: [run[run.len() - 1].places[0], run[0].places[1]],
                events: run.iter().map(|chunk| chunk.events).sum(),
                bytes: run.iter().map(|chunk| chunk.bytes).sum(),
            };
            drop(chunks.splice(joined, [chunk]));
            written.push(chunk);
        }
    }

    #[test]
    fn neighbours_are_joined_and_large_chunks_stay() {
        let options = Options::default();
        let run: Vec<Small> = (1..=9).rev().map(|place| chunk(place, 10)).collect();
        assert_eq!(compaction(&run, &options), 0..9);
        let apart: Vec<Small> = run.iter().filter(|chunk| chunk.places[0] != 5).copied().collect();
        assert_eq!(
            compaction(&apart, &options),
            0..0,
            "four and four, with a frame between"
        );
        let large: Vec<Small> = (1..=30).rev().map(|place| chunk(place, 5000)).collect();
        assert_eq!(compaction(&large, &options), 0..0);
        assert_eq!(compaction(&[], &options), 0..0);
    }

    #[test]
    fn two_are_enough_behind_a_large_chunk() {
        let options = Options::default();
        // Oldest first.
        for (sizes, joined) in [
            (vec![10, 10, 5000], 1..3),
            (vec![10, 10, 5000, 10, 10], 3..5),
            (vec![10, 5000, 10, 5000, 10], 0..0),
            (vec![5000, 10, 10, 10], 0..0),
            (vec![3000, 3000, 3000, 3000, 4000, 3000, 5000], 1..6),
        ] {
            let oldest = (1..).zip(&sizes).map(|(place, events)| chunk(place, *events));
            let mut newest: Vec<Small> = oldest.collect();
            newest.reverse();
            assert_eq!(compaction(&newest, &options), joined, "{sizes:?}");
        }
        let frame_between = [chunk(4, 5000), chunk(2, 10), chunk(1, 10)];
        assert_eq!(compaction(&frame_between, &options), 0..0);
        let mut chunks: Vec<Small> = Vec::new();
        for place in 1..=700 {
            chunks.insert(0, chunk(place, if place % 7 == 0 { 4500 } else { 10 }));
            let written = compact(&mut chunks);
            assert!(written.iter().all(|chunk| chunk.events < 4500), "large ones stay");
        }
        assert_eq!(chunks.len(), 200, "a small one for each large one");
    }

    #[test]
    fn a_chunk_stays_within_its_bounds() {
        let options = Options::default();
        let large = |position, raw_mib: u64, events| Waiting {
            raw: raw_mib << 20,
            ..waiting(position, events)
        };
        for (frames, taken) in [
            (vec![large(1, 16, 10), large(2, 16, 10), large(3, 1, 10)], 2),
            (vec![large(1, 1, 10), large(2, 16, 10), large(3, 16, 10)], 2),
            (vec![large(1, 40, 10), large(2, 1, 10)], 1),
            (vec![large(1, 1, 10_000), large(2, 1, 60_000)], 1),
        ] {
            let mut gathering = Gathering::default();
            assert!(frames.into_iter().any(|frame| gathering.add(frame, &options)));
            assert_eq!(gathering.frames.len(), taken);
            assert!(gathering.is_due(1_000, &options));
        }
    }

    /// Few events of many bytes: nothing grows beyond the bounds, and nothing is written again and again.
    #[test]
    fn chunks_of_large_events_do_not_grow_without_bound() {
        for bytes in [5 << 20, 3 << 20, 1 << 20, 100 << 10, 40 << 20] {
            let mut chunks: Vec<Small> = Vec::new();
            let mut written = 0;
            for place in 1..=400 {
                let (places, events) = ([place; 2], 48);
                chunks.insert(0, Small { places, events, bytes });
                for chunk in compact(&mut chunks) {
                    assert!(chunk.bytes <= MAX_BODY, "{} bytes", chunk.bytes);
                    written += chunk.bytes;
                }
            }
            assert!(written <= 4 * 400 * bytes, "{written} bytes written again");
        }
    }

    proptest! {
        #[test]
        fn trickles_end_in_few_chunks_rewritten_seldom(sizes in prop::collection::vec(1u64..400, 1..2000)) {
            let mut chunks: Vec<Small> = Vec::new();
            let (mut arrived, mut written) = (0, 0);
            for events in sizes {
                arrived += events;
                let place = chunks.first().map_or(1, |newest| newest.places[1] + 1);
                chunks.insert(0, chunk(place, events));
                written += compact(&mut chunks).iter().map(|chunk| chunk.events).sum::<u64>();
            }
            prop_assert_eq!(chunks.iter().map(|chunk| chunk.events).sum::<u64>(), arrived);
            prop_assert!(chunks.len() as u64 <= 40 + arrived / 2048, "{} chunks of {arrived} events", chunks.len());
            prop_assert!(written <= 8 * arrived, "{written} written again of {arrived}");
        }
    }
}
