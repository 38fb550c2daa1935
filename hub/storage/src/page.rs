//! One page of an answer, gathered from batches that may overlap in time.
//!
//! Batches are visited in the order of the end that the answer begins with (newest first: by their newest event). The page is complete as
//! soon as it is full and no later batch can hold anything better, so the last hundred events cost one or two batches, however many
//! are stored.

use std::ops::Range;

use streamflow_proto::{batch::Batch, bitmap::Bitmap, event::Event, filter::EvalError};

use crate::{
    cursor::Key,
    frames::Frames,
    selection::Selection,
    store::{EventPage, Order, Scanned},
};

/// Events of a page are held in memory; a page of very large events ends before its limit. The cursor goes on from there.
const MAX_BYTES: usize = 32 << 20;

/// The best events so far.
#[derive(Debug)]
pub struct Page {
    order: Order,
    after: Option<Key>,
    limit: usize,
    found: Vec<(Key, Event)>,
    more: bool,
    /// What was read for it.
    pub scanned: Scanned,
}

impl Page {
    /// An empty page behind a cursor.
    #[must_use]
    pub fn new(order: Order, after: Option<Key>, limit: usize) -> Self {
        Self {
            order,
            after,
            limit,
            found: Vec::new(),
            more: false,
            scanned: Scanned::default(),
        }
    }

    /// Whether a batch with these bounds reaches behind the cursor.
    #[must_use]
    pub fn reaches(&self, min_ts: i64, max_ts: i64) -> bool {
        self.after.is_none_or(|key| match self.order {
            Order::Desc => min_ts <= key.ts,
            Order::Asc => max_ts >= key.ts,
        })
    }

    /// Whether the page is full so that no batch from this one on can change it. One event more than the limit is looked for, to
    /// know whether there is more.
    #[must_use]
    pub fn is_complete(&self, min_ts: i64, max_ts: i64) -> bool {
        self.is_full()
            && self.last_key().is_some_and(|last| match self.order {
                Order::Desc => max_ts < last.ts,
                Order::Asc => min_ts > last.ts,
            })
    }

    /// Takes the wanted rows of a batch, of those in `rows`.
    ///
    /// # Errors
    /// When a column does not decode.
    pub fn take(
        &mut self,
        batch: &Batch,
        frames: &Frames,
        rows: Range<u32>,
        selection: &Selection,
    ) -> Result<(), EvalError> {
        let wanted = selection.rows(batch)?;
        if wanted.is_empty() {
            return Ok(());
        }
        let timestamps = batch.timestamps()?;
        let mut keys: Vec<(Key, usize)> = wanted
            .iter_ones()
            .filter(|row| rows.contains(&(*row as u32)))
            .filter_map(|row| {
                let (position, in_frame) = frames.locate(row as u32)?;
                Some((
                    Key {
                        ts: *timestamps.get(row)?,
                        position,
                        row: in_frame,
                    },
                    row,
                ))
            })
            .filter(|(key, _)| self.is_after_cursor(key))
            .filter(|(key, _)| {
                !self.is_full()
                    || self
                        .last_key()
                        .is_none_or(|last| key.compare(&last, self.order).is_lt())
            })
            .collect();
        let room = self.limit + 1;
        if keys.len() > room {
            keys.select_nth_unstable_by(room, |a, b| a.0.compare(&b.0, self.order));
            keys.truncate(room);
        }
        keys.sort_unstable_by_key(|(_, row)| *row);
        let mut chosen = Bitmap::new(batch.len(), false);
        for (_, row) in &keys {
            chosen.set(*row, true);
        }
        self.found
            .extend(keys.into_iter().map(|(key, _)| key).zip(batch.events(&chosen)?));
        self.trim();
        Ok(())
    }

    /// The page as the answer.
    #[must_use]
    pub fn finish(mut self) -> EventPage {
        let more = self.more || self.found.len() > self.limit;
        self.found.truncate(self.limit);
        let next_cursor = self.last_key().filter(|_| more).map(|key| key.to_cursor(self.order));
        EventPage {
            events: self.found.into_iter().map(|(_, event)| event).collect(),
            next_cursor,
            scanned: self.scanned,
        }
    }

    fn trim(&mut self) {
        let order = self.order;
        self.found.sort_unstable_by(|a, b| a.0.compare(&b.0, order));
        self.found.truncate(self.limit + 1);
        let mut bytes = 0;
        let fits = self.found.iter().take_while(|(_, event)| {
            bytes += weight(event);
            bytes <= MAX_BYTES
        });
        let fits = fits.count().max(1);
        if fits < self.found.len() {
            // From now on nothing behind this place belongs to the page, however many events it has.
            self.limit = fits;
            self.more = true;
            self.found.truncate(fits);
        }
    }

    fn is_full(&self) -> bool {
        self.found.len() > self.limit || self.more && self.found.len() == self.limit
    }

    fn last_key(&self) -> Option<Key> {
        self.found.last().map(|(key, _)| *key)
    }

    fn is_after_cursor(&self, key: &Key) -> bool {
        self.after.is_none_or(|after| key.compare(&after, self.order).is_gt())
    }
}

fn weight(event: &Event) -> usize {
    let objects = [&event.data, &event.metadata];
    512 + objects
        .into_iter()
        .flatten()
        .map(|object| object.get().len())
        .sum::<usize>()
}
