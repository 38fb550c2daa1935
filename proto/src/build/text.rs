//! A growing column of strings: a dictionary while values repeat, plain once they do not.

use super::{Streams, look::same, table::Table};
use crate::batch::TextValues;
use crate::column::{
    layout::{Encoding, id_width},
    varint,
};
use foldhash::fast::RandomState;
use std::hash::{BuildHasher, Hasher};

/// Values looked at before deciding whether a dictionary pays.
const SAMPLE: usize = 96;
/// More distinct values than this in the sample, and it does not.
const SAMPLE_DISTINCT: usize = 72;
/// Batches for which that decision is kept before looking again.
const PLAIN_BATCHES: u8 = 16;

/// Strings of one column.
#[derive(Debug, Default)]
pub(crate) struct TextColumn {
    /// Entries of the dictionary, or the rows themselves.
    arena: Vec<u8>,
    ends: Vec<u32>,
    /// Rows as entries; unused when plain.
    ids: Vec<u32>,
    table: Table,
    plain: bool,
    /// Batches left before sampling again.
    plain_for: u8,
    /// Did the last push make an entry?
    grew: bool,
}

#[inline]
fn slice<'a>(arena: &'a [u8], ends: &[u32], index: usize) -> &'a [u8] {
    let start = index.checked_sub(1).map_or(0, |before| ends[before] as usize);
    &arena[start..ends[index] as usize]
}

/// With seeds that nobody outside knows: of texts that come from there, none can be aimed at the place of another.
#[inline]
fn hash(state: &RandomState, value: &[u8]) -> u64 {
    let mut hasher = state.build_hasher();
    hasher.write(value);
    hasher.finish()
}

impl TextColumn {
    /// Rows so far.
    pub(crate) fn len(&self) -> usize {
        if self.plain { self.ends.len() } else { self.ids.len() }
    }

    /// Appends a row and says by how many bytes the encoded column may have grown.
    pub(super) fn push(&mut self, value: &str, state: &RandomState) -> usize {
        self.push_utf8(value.as_bytes(), state)
    }

    /// As [`TextColumn::push`], of bytes that are UTF-8.
    #[inline(always)]
    pub(super) fn push_utf8(&mut self, value: &[u8], state: &RandomState) -> usize {
        if self.plain {
            self.append(value);
            return value.len() + 3;
        }
        let hashed = hash(state, value);
        if let Some(id) = self.find(hashed, value) {
            self.ids.push(id);
            self.grew = false;
            return 4;
        }
        self.push_new(hashed, value)
    }

    /// A row whose value is not known.
    #[cold]
    fn push_new(&mut self, hashed: u64, value: &[u8]) -> usize {
        let id = self.add(hashed, value);
        self.ids.push(id);
        self.grew = true;
        let mut bytes = value.len() + 7;
        if self.ids.len() == SAMPLE && self.ends.len() > SAMPLE_DISTINCT {
            bytes += self.expand();
            self.plain_for = PLAIN_BATCHES;
        }
        bytes
    }

    #[inline(always)]
    fn find(&self, hashed: u64, value: &[u8]) -> Option<u32> {
        self.table
            .find(hashed, |id| same(slice(&self.arena, &self.ends, id as usize), value))
    }

    /// Makes an entry of a value that is not known.
    fn add(&mut self, hashed: u64, value: &[u8]) -> u32 {
        let id = self.ends.len() as u32;
        self.append(value);
        self.table.insert(hashed, id);
        id
    }

    fn intern(&mut self, value: &[u8], state: &RandomState) -> u32 {
        let hashed = hash(state, value);
        self.find(hashed, value).unwrap_or_else(|| self.add(hashed, value))
    }

    /// Appends the rows of another column to one that has been a dictionary from its beginning.
    pub(crate) fn append_rows(&mut self, rows: &TextValues<'_>, state: &RandomState) {
        let entries: Vec<u32> = rows
            .strings
            .iter()
            .map(|text| self.intern(text.as_bytes(), state))
            .collect();
        match &rows.ids {
            None => self.ids.extend(entries),
            Some(ids) => self.ids.extend(ids.iter().map(|id| entries[*id as usize])),
        }
    }

    /// Appends rows to a column that is to be plain.
    pub(crate) fn append_plain(&mut self, rows: &TextValues<'_>) {
        self.plain = true;
        rows.strings.iter().for_each(|text| self.append(text.as_bytes()));
    }

    /// Bytes of the values, each counted once unless the column is plain.
    pub(crate) fn text_bytes(&self) -> usize {
        self.arena.len()
    }

    /// The value of a row.
    pub(super) fn get(&self, row: usize) -> &str {
        let entry = if self.plain { row } else { self.ids[row] as usize };
        std::str::from_utf8(slice(&self.arena, &self.ends, entry)).unwrap_or("")
    }

    /// The distinct values, or all of them when the column is plain.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &str> {
        self.bytes_of_entries()
            .map(|entry| std::str::from_utf8(entry).unwrap_or(""))
    }

    /// The same as the bytes that they are.
    pub(crate) fn bytes_of_entries(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.ends.len()).map(|index| slice(&self.arena, &self.ends, index))
    }

    /// Takes back the last row, which was pushed within the same event.
    pub(super) fn pop(&mut self, state: &RandomState) {
        if !self.plain {
            self.ids.pop();
            if !self.grew {
                return;
            }
            self.grew = false;
            let Some(last) = self.ends.len().checked_sub(1) else {
                return;
            };
            self.table
                .remove_last(hash(state, slice(&self.arena, &self.ends, last)), last as u32);
        }
        self.ends.pop();
        self.arena.truncate(self.ends.last().map_or(0, |end| *end as usize));
    }

    /// Keeps these rows, ascending, and the entries that they have.
    pub(super) fn keep_rows(&mut self, rows: &[usize], state: &RandomState) {
        let (arena, ends) = (std::mem::take(&mut self.arena), std::mem::take(&mut self.ends));
        let ids = std::mem::take(&mut self.ids);
        self.table.clear();
        if self.plain {
            return rows.iter().for_each(|row| self.append(slice(&arena, &ends, *row)));
        }
        let mut entries = vec![None; ends.len()];
        for row in rows {
            let entry = ids[*row] as usize;
            let id = *entries[entry].get_or_insert_with(|| self.intern(slice(&arena, &ends, entry), state));
            self.ids.push(id);
        }
    }

    #[inline]
    fn append(&mut self, value: &[u8]) {
        self.arena.extend_from_slice(value);
        self.ends.push(self.arena.len() as u32);
    }

    /// Bytes that the rows take side by side.
    fn expanded_len(&self) -> usize {
        self.ids
            .iter()
            .map(|id| slice(&self.arena, &self.ends, *id as usize).len())
            .sum()
    }

    /// Gives the dictionary up if the rows side by side are not much larger; returns by how much they are.
    fn expand(&mut self) -> usize {
        let expanded = self.expanded_len();
        if self.plain || expanded > self.arena.len() * 2 {
            return 0;
        }
        let grown = expanded - self.arena.len();
        let (arena, ends) = (std::mem::take(&mut self.arena), std::mem::take(&mut self.ends));
        for id in std::mem::take(&mut self.ids) {
            self.append(slice(&arena, &ends, id as usize));
        }
        self.table.clear();
        self.plain = true;
        grown
    }

    /// Writes the streams.
    pub(crate) fn encode(&self, streams: &mut Streams<'_>) -> Encoding {
        self.encode_with(streams, |streams, text| streams.put(|out| out.extend_from_slice(text)))
    }

    /// As [`TextColumn::encode`], without a copy of the text.
    pub(super) fn encode_lent<'a>(&'a self, streams: &mut Streams<'a>) -> Encoding {
        self.encode_with(streams, |streams, text| streams.lend(text))
    }

    fn encode_with<'s, 'a>(
        &'s self,
        streams: &mut Streams<'a>,
        put: impl FnOnce(&mut Streams<'a>, &'s [u8]),
    ) -> Encoding {
        let entries = self.ends.len();
        // A short or varied column is smaller without ids.
        let varied = !self.plain && entries > 1 && entries * 4 > self.ids.len() * 3;
        if varied && self.expanded_len() <= self.arena.len() + self.ids.len() {
            let rows = || self.ids.iter().map(|id| slice(&self.arena, &self.ends, *id as usize));
            streams.put(|out| rows().for_each(|row| varint::write(out, row.len() as u64)));
            streams.put(|out| rows().for_each(|row| out.extend_from_slice(row)));
            return Encoding::Plain;
        }
        streams.put(|out| {
            let mut start = 0;
            for end in &self.ends {
                varint::write(out, u64::from(end - start));
                start = *end;
            }
        });
        put(streams, &self.arena);
        if self.plain {
            return Encoding::Plain;
        }
        streams.put(|out| write_ids(out, &self.ids, entries as u32));
        Encoding::dictionary(entries as u32)
    }

    /// Forgets the rows and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.arena.clear();
        self.ends.clear();
        self.ids.clear();
        self.table.clear();
        self.grew = false;
        self.plain_for = self.plain_for.saturating_sub(1);
        self.plain = self.plain && self.plain_for > 0;
    }

    /// Bytes of memory kept.
    pub(super) fn capacity(&self) -> usize {
        self.arena.capacity() + (self.ends.capacity() + self.ids.capacity()) * 4 + self.table.bytes()
    }
}

/// Writes ids in as many bytes as so many entries need.
pub(crate) fn write_ids(out: &mut Vec<u8>, ids: &[u32], entries: u32) {
    match id_width(entries) {
        0 => {}
        1 => out.extend(ids.iter().map(|id| *id as u8)),
        2 => ids
            .iter()
            .for_each(|id| out.extend_from_slice(&(*id as u16).to_le_bytes())),
        _ => ids.iter().for_each(|id| out.extend_from_slice(&id.to_le_bytes())),
    }
}
