//! The table of frames inside a chunk: which rows came from which agent, at which place of the log, and when they became durable.
//!
//! Rows of a chunk stand in log order, so a range of positions is a range of rows, and a row's place in the log does not change
//! when its frame is merged.

use std::{ops::Range, sync::Arc};

use bincode::config::standard;

use crate::store::RowSpan;

/// The frames behind a batch, in log order, without gaps between their rows.
#[derive(Debug, Clone, Default)]
pub struct Frames {
    spans: Vec<RowSpan>,
}

/// As stored: agents once, and of every frame the distance to the one before.
#[derive(bincode::Encode, bincode::Decode)]
struct Stored {
    agents: Vec<String>,
    frames: Vec<StoredFrame>,
}

#[derive(bincode::Encode, bincode::Decode)]
struct StoredFrame {
    position_step: u64,
    agent: u32,
    stored_at_step: i64,
    rows: u32,
}

impl Frames {
    /// The table of a batch that is one frame.
    #[must_use]
    pub fn one(position: u64, agent: Arc<str>, stored_at: i64, rows: u32) -> Self {
        Self {
            spans: vec![RowSpan {
                position,
                agent,
                stored_at,
                start: 0,
                end: rows,
            }],
        }
    }

    /// Puts the frames of `next` behind these.
    pub fn append(&mut self, next: &Self) {
        let base = self.spans.last().map_or(0, |span| span.end);
        self.spans.extend(next.spans.iter().map(|span| RowSpan {
            start: base + span.start,
            end: base + span.end,
            ..span.clone()
        }));
    }

    /// All frames.
    #[must_use]
    pub fn spans(&self) -> &[RowSpan] {
        &self.spans
    }

    /// Frames after a position.
    #[must_use]
    pub fn after(&self, position: u64) -> &[RowSpan] {
        &self.spans[self.spans.partition_point(|span| span.position <= position)..]
    }

    /// Rows of the frames at `first..=last`.
    #[must_use]
    pub fn rows(&self, first: u64, last: u64) -> Range<u32> {
        let from = self.spans.partition_point(|span| span.position < first);
        let to = self.spans.partition_point(|span| span.position <= last);
        match (
            self.spans.get(from),
            to.checked_sub(1).and_then(|last| self.spans.get(last)),
        ) {
            (Some(start), Some(end)) if from < to => start.start..end.end,
            _ => 0..0,
        }
    }

    /// A row's frame and its place in that frame.
    #[must_use]
    pub fn locate(&self, row: u32) -> Option<(u64, u32)> {
        let at = self.spans.partition_point(|span| span.end <= row);
        self.spans.get(at).map(|span| (span.position, row - span.start))
    }

    /// When the youngest frame became durable.
    #[must_use]
    pub fn newest_stored_at(&self) -> i64 {
        self.spans.iter().map(|span| span.stored_at).max().unwrap_or_default()
    }

    /// Bytes for the database.
    ///
    /// # Errors
    /// Those of the encoder, which memory does not cause.
    pub fn encode(&self) -> Result<Vec<u8>, bincode::error::EncodeError> {
        let mut agents: Vec<String> = Vec::new();
        let (mut position, mut stored_at) = (0, 0);
        let frames = self
            .spans
            .iter()
            .map(|span| {
                let agent = agents
                    .iter()
                    .rposition(|known| **known == *span.agent)
                    .unwrap_or_else(|| {
                        agents.push(span.agent.to_string());
                        agents.len() - 1
                    });
                let frame = StoredFrame {
                    position_step: span.position.wrapping_sub(position),
                    agent: u32::try_from(agent).unwrap_or(u32::MAX),
                    stored_at_step: span.stored_at.wrapping_sub(stored_at),
                    rows: span.end - span.start,
                };
                (position, stored_at) = (span.position, span.stored_at);
                frame
            })
            .collect();
        bincode::encode_to_vec(Stored { agents, frames }, standard())
    }

    /// Reads what [`Self::encode`] wrote; `None` when damaged.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        /// A chunk has at most this many bytes of frame table; a claim beyond it is damage, not data.
        const LIMIT: usize = 16 << 20;
        let (stored, read): (Stored, usize) =
            bincode::decode_from_slice(bytes, standard().with_limit::<LIMIT>()).ok()?;
        let agents: Vec<Arc<str>> = stored.agents.into_iter().map(Arc::from).collect();
        let (mut position, mut stored_at, mut start) = (0_u64, 0_i64, 0_u32);
        let mut spans = Vec::with_capacity(stored.frames.len());
        for frame in stored.frames {
            position = position.checked_add(frame.position_step)?;
            stored_at = stored_at.wrapping_add(frame.stored_at_step);
            let end = start.checked_add(frame.rows)?;
            let agent = agents.get(usize::try_from(frame.agent).ok()?)?.clone();
            spans.push(RowSpan {
                position,
                agent,
                stored_at,
                start,
                end,
            });
            start = end;
        }
        (read == bytes.len()).then_some(Self { spans })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table(frames: &[(u64, u8, i64, u32)]) -> Frames {
        let mut all = Frames::default();
        let mut position = 0;
        for (step, agent, stored_at, rows) in frames {
            position += step + 1;
            all.append(&Frames::one(
                position,
                format!("agent-{}", agent % 3).into(),
                *stored_at,
                *rows,
            ));
        }
        all
    }

    proptest! {
        #[test]
        fn survives_storage(frames in prop::collection::vec((0u64..9, any::<u8>(), any::<i64>(), 0u32..2000), 0..40)) {
            let table = table(&frames);
            let read = Frames::decode(&table.encode().unwrap()).unwrap();
            prop_assert_eq!(format!("{table:?}"), format!("{read:?}"));
        }

        #[test]
        fn every_row_is_found_where_its_frame_is(frames in prop::collection::vec((0u64..9, any::<u8>(), 0i64..9, 0u32..20), 1..20)) {
            let table = table(&frames);
            for span in table.spans() {
                prop_assert_eq!(table.rows(span.position, span.position).len(), (span.end - span.start) as usize);
                for row in span.start..span.end {
                    prop_assert_eq!(table.locate(row), Some((span.position, row - span.start)));
                    prop_assert!(table.rows(span.position, span.position).contains(&row));
                }
            }
        }

        #[test]
        fn damage_is_noticed_and_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            drop(Frames::decode(&bytes));
        }
    }
}
