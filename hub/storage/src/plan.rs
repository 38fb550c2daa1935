//! When frames become a chunk, and when small chunks become a larger one.

use streamflow_proto::frame::MAX_COUNT;

use crate::options::Options;

/// Frames whose inflated payloads are larger together are not merged together, so that merging stays within bounds in memory.
const MAX_RAW: u64 = 32 << 20;
/// The same for chunks, which are inflated to several times their size. One of half as many bytes stays as it is, however few events it has.
const MAX_BODY: u64 = 8 << 20;
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
}

impl Gathering {
    /// Adds the next frame if it fits with those before; answers whether that is enough for a chunk. A chunk that a large request brought may stand between
    /// two frames: chunks do not overlap, so those before it are merged without those behind it.
    pub fn add(&mut self, frame: Waiting, options: &Options) -> bool {
        let too_much = self.raw + frame.raw > MAX_RAW || self.events + frame.events > u64::from(MAX_COUNT);
        let apart = self
            .frames
            .last()
            .is_some_and(|last| frame.position != last.position + 1);
        self.closed = apart || too_much && !self.frames.is_empty();
        if !self.closed {
            self.frames.push(frame);
            self.events += frame.events;
            self.raw += frame.raw;
        }
        self.is_enough(options)
    }

    /// Whether the frames shall be merged now: they fill a chunk, or the oldest has waited for long.
    #[must_use]
    pub fn is_due(&self, now: i64, options: &Options) -> bool {
        let age = options.merge_age.ms();
        // A clock that was set back must not keep frames in the inbox until it has caught up.
        let waited = |frame: &Waiting| now.saturating_sub(frame.stored_at).saturating_abs() >= age;
        self.is_enough(options) || self.frames.first().is_some_and(waited)
    }

    fn is_enough(&self, options: &Options) -> bool {
        self.closed || self.events >= u64::from(options.merge_events)
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

/// How many of the newest chunks (given newest first) shall become one; 0 = none. A slow sender leaves a small chunk every few seconds: eight of
/// a size become one of the next size, so an event is written again a few times at most and a month is not a million chunks. A quarter of a chunk is large
/// enough to stay, since large requests bring such chunks, and writing them again would cost more than it saves.
#[must_use]
pub fn compaction(newest: &[Small], options: &Options) -> usize {
    let full = u64::from(options.merge_events) / 4;
    // What is between two chunks may be frames that are not merged yet.
    let apart = newest
        .windows(2)
        .position(|pair| pair[1].places[1] + 1 != pair[0].places[0]);
    let newest = &newest[..apart.map_or(newest.len(), |last| last + 1)];
    let mut limit = full / 512;
    while limit < full {
        limit = (limit * 8).clamp(8, full.max(8));
        let is_small = |chunk: &&Small| chunk.events < limit && chunk.bytes < MAX_BODY / 2;
        let run = newest.iter().take_while(is_small).count();
        let (mut count, mut events, mut bytes) = (0, 0, 0);
        for chunk in &newest[..run] {
            events += chunk.events;
            bytes += chunk.bytes;
            if events > 4 * full || bytes > MAX_BODY {
                break;
            }
            count += 1;
        }
        if count >= FAN_IN || count > 1 && count < run {
            return count;
        }
    }
    0
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
        assert!(gathering.add(waiting(7, 10), &options), "what is at 6 is a chunk");
        assert_eq!((gathering.frames.len(), gathering.is_due(1_000, &options)), (2, true));

        let chunk = |place, events| Small {
            places: [place; 2],
            events,
            bytes: events * 40,
        };
        let run: Vec<Small> = (1..=9).rev().map(|place| chunk(place, 10)).collect();
        assert_eq!(compaction(&run, &options), 9);
        let apart: Vec<Small> = run.iter().filter(|chunk| chunk.places[0] != 5).copied().collect();
        assert_eq!(compaction(&apart, &options), 0, "four and four, with a frame between");
        let large: Vec<Small> = (1..=30).rev().map(|place| chunk(place, 5000)).collect();
        assert_eq!(compaction(&large, &options), 0);
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
            (vec![large(1, 1, 10), large(3, 1, 10)], 1),
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
        let options = Options::default();
        for bytes in [5 << 20, 3 << 20, 1 << 20, 100 << 10, 40 << 20] {
            let mut chunks: Vec<Small> = Vec::new();
            let mut written = 0;
            for place in 1..=400 {
                chunks.insert(
                    0,
                    Small {
                        places: [place; 2],
                        events: 48,
                        bytes,
                    },
                );
                loop {
                    let count = compaction(&chunks, &options);
                    if count == 0 {
                        break;
                    }
                    assert!(count > 1);
                    let joined: Vec<Small> = chunks.drain(..count).collect();
                    let sum = |of: fn(&Small) -> u64| joined.iter().map(of).sum::<u64>();
                    let places = [joined[count - 1].places[0], joined[0].places[1]];
                    let (events, bytes) = (sum(|chunk| chunk.events), sum(|chunk| chunk.bytes));
                    written += bytes;
                    assert!(bytes <= MAX_BODY, "{bytes} bytes");
                    chunks.insert(0, Small { places, events, bytes });
                }
            }
            assert!(written <= 3 * 400 * bytes, "{written} bytes written again");
        }
    }

    proptest! {
        #[test]
        fn trickles_end_in_few_chunks_rewritten_seldom(sizes in prop::collection::vec(1u64..400, 1..2000)) {
            let options = Options::default();
            let mut chunks: Vec<Small> = Vec::new();
            let (mut arrived, mut written) = (0, 0);
            for events in sizes {
                arrived += events;
                let place = chunks.last().map_or(1, |last| last.places[1] + 1);
                chunks.push(Small { places: [place; 2], events, bytes: events * 40 });
                loop {
                    let newest: Vec<Small> = chunks.iter().rev().take(64).copied().collect();
                    let count = compaction(&newest, &options);
                    prop_assert!(count != 1 && count <= newest.len());
                    if count == 0 { break }
                    let tail = chunks.split_off(chunks.len() - count);
                    let events = tail.iter().map(|chunk| chunk.events).sum();
                    written += events;
                    let places = [tail[0].places[0], tail[count - 1].places[1]];
                    chunks.push(Small { places, events, bytes: events * 40 });
                }
            }
            prop_assert_eq!(chunks.iter().map(|chunk| chunk.events).sum::<u64>(), arrived);
            prop_assert!(chunks.len() as u64 <= 40 + arrived / 2048, "{} chunks of {arrived} events", chunks.len());
            prop_assert!(written <= 8 * arrived, "{written} written again of {arrived}");
        }
    }
}
