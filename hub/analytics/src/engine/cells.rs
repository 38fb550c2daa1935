//! Running values by pane and group. A pane is the stretch of time between the ends of two windows: a tumbling window is one pane, a sliding one is several, so
//! that an event is added once however many windows hold it.

use std::{collections::BTreeMap, ops::Range};

use serde::{Deserialize, Serialize};
use streamflow_proto::{
    aggregate::{self, Accumulator, AggregateSpec},
    batch::DecodeError,
    bitmap::Bitmap,
    filter::Columns,
};

use super::{
    grouping::LocalGroups,
    groups::Groups,
    numbering::{Recent, fill_lean, push_lean},
};

/// No slot yet, in the table of a window's local groups.
pub(crate) const NONE: u32 = u32::MAX;

/// One value in progress.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) start: i64,
    pub(crate) group: u32,
    /// When the newest batch behind it was stored.
    pub(crate) stored_at: i64,
    /// The first window that ends with or after it was reported as met before it closed.
    pub(crate) fired: bool,
}

/// A value in progress with its aggregate: as large as a line of memory, because what an event costs is that it has to be fetched.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[repr(align(64))]
struct Place {
    cell: Cell,
    accumulator: Accumulator,
}

impl AsMut<Accumulator> for Place {
    fn as_mut(&mut self) -> &mut Accumulator {
        &mut self.accumulator
    }
}

/// All values in progress of one rule or query.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Cells {
    size: i64,
    /// Start of the pane to the slot of each group, by the group's number.
    panes: BTreeMap<i64, Vec<u32>>,
    places: Vec<Place>,
    free: Vec<u32>,
    /// Slots that are found without asking for the group.
    #[serde(skip)]
    recent: Recent,
}

/// Rows to add.
pub(crate) struct Input<'a> {
    pub(crate) rows: &'a Bitmap,
    pub(crate) times: &'a [i64],
    pub(crate) groups: &'a LocalGroups,
    /// Nothing is added to panes that start earlier.
    pub(crate) floor: i64,
    pub(crate) stored_at: i64,
    /// Most groups.
    pub(crate) cap: usize,
    /// Most values in progress; beyond, new ones go to the group `other`. Bounds memory when windows stay open for long.
    pub(crate) max_cells: usize,
    /// Take note of each value before it grows, over a window of this length.
    pub(crate) watch: Option<i64>,
}

impl<'a> Input<'a> {
    /// These rows without any limit.
    pub(crate) const fn new(rows: &'a Bitmap, times: &'a [i64], groups: &'a LocalGroups, stored_at: i64) -> Self {
        Self {
            rows,
            times,
            groups,
            floor: i64::MIN,
            stored_at,
            cap: usize::MAX,
            max_cells: usize::MAX,
            watch: None,
        }
    }
}

/// Room for work that is used again for every batch.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(crate) slot_of_row: Vec<u32>,
    tables: Vec<(i64, Vec<u32>)>,
    others: Vec<u32>,
    /// Slots that got a value in the last call.
    pub(crate) touched: Vec<u32>,
    /// Their values before, when they were watched; zero where there was none.
    pub(crate) before: Vec<f64>,
    /// Work of whoever reads `touched`.
    pub(crate) groups: Vec<u32>,
}

impl Scratch {
    /// Room for these rows, and nothing from before.
    pub(crate) fn begin(&mut self, input: &Input<'_>) {
        self.tables.clear();
        self.touched.clear();
        self.others.clear();
        self.before.clear();
        let rows = input.times.len().max(self.slot_of_row.len());
        self.slot_of_row.resize(rows, NONE);
    }
}

/// What became of the rows.
#[derive(Debug, Default)]
pub(crate) struct Folded {
    /// Rows that were too late for every window of theirs.
    pub(crate) late: Option<Bitmap>,
    /// Groups that went to `other`.
    pub(crate) surplus: u64,
}

/// Start of the window of this size that holds a point in time.
pub(crate) const fn window_start(at: i64, size: i64) -> i64 {
    at.div_euclid(size).saturating_mul(size)
}

/// Start of the first window that begins at or after a point in time.
pub(crate) const fn next_start(at: i64, size: i64) -> i64 {
    let start = window_start(at, size);
    if start < at { start.saturating_add(size) } else { start }
}

impl Cells {
    pub(crate) fn new(size: i64) -> Self {
        let (panes, places, free, recent) = Default::default();
        Self {
            size: size.max(1),
            panes,
            places,
            free,
            recent,
        }
    }

    /// Adds rows to the cells of their panes and groups.
    pub(crate) fn fold(
        &mut self,
        groups: &mut Groups,
        spec: &AggregateSpec,
        columns: &mut Columns<'_>,
        input: &Input<'_>,
        scratch: &mut Scratch,
    ) -> Result<Folded, DecodeError> {
        let mut folded = Folded::default();
        scratch.begin(input);
        if let Some(numbers) = input.groups.numbers() {
            self.recent.begin(numbers.epoch);
        }
        let mut table = 0;
        for row in input.rows.iter_ones() {
            let start = window_start(input.times[row], self.size);
            if start < input.floor {
                folded
                    .late
                    .get_or_insert_with(|| Bitmap::new(input.rows.len(), false))
                    .set(row, true);
                continue;
            }
            if scratch.tables.get(table).is_none_or(|(of, _)| *of != start) {
                table = scratch
                    .tables
                    .iter()
                    .position(|(of, _)| *of == start)
                    .unwrap_or_else(|| {
                        scratch.tables.push((start, vec![NONE; input.groups.len()]));
                        scratch.tables.len() - 1
                    });
            }
            let local = input.groups.of(row);
            let entry = &mut scratch.tables[table].1[local];
            if *entry == NONE {
                let (slot, surplus) = match self.known(start, input, local) {
                    Some(slot) => (slot, false),
                    None => self.slot(groups, spec, start, input, local),
                };
                *entry = slot;
                folded.surplus += u64::from(surplus);
                // Several local groups share the slot of `other`, of which there is one in each pane.
                if !surplus || !scratch.others.contains(&slot) {
                    scratch.touched.push(slot);
                    let before = |window| self.places[slot as usize].accumulator.value(window).unwrap_or(0.0);
                    scratch.before.extend(input.watch.map(before));
                }
                if surplus && !scratch.others.contains(&slot) {
                    scratch.others.push(slot);
                }
            }
            scratch.slot_of_row[row] = *entry;
        }
        let in_time = folded.late.as_ref().map(|late| input.rows.and_not(late));
        let rows = in_time.as_ref().unwrap_or(input.rows);
        aggregate::fold(spec, columns, rows, &scratch.slot_of_row, &mut self.places)?;
        Ok(folded)
    }

    /// The slot of a group that was used lately.
    fn known(&mut self, start: i64, input: &Input<'_>, local: usize) -> Option<u32> {
        let number = input.groups.numbers()?.number(local);
        let slot = self.recent.find(start, number)?;
        let cell = &mut self.places[slot as usize].cell;
        cell.stored_at = cell.stored_at.max(input.stored_at);
        Some(slot)
    }

    fn note(&mut self, start: i64, input: &Input<'_>, local: usize, slot: u32) {
        if let Some(numbers) = input.groups.numbers() {
            self.recent.note(start, numbers.number(local), slot);
        }
    }

    fn slot(
        &mut self,
        groups: &mut Groups,
        spec: &AggregateSpec,
        start: i64,
        input: &Input<'_>,
        local: usize,
    ) -> (u32, bool) {
        let labels = || input.groups.kept_labels(local);
        let (mut group, mut surplus) = groups.intern(input.groups.fingerprint(local), labels, input.cap);
        let pane = self.panes.entry(start).or_default();
        let full = self.places.len() - self.free.len() >= input.max_cells;
        if full && !surplus && slot_in(pane, group).is_none() {
            groups.release(group);
            (group, surplus) = (groups.other(labels().len()), true);
        }
        if let Some(slot) = slot_in(pane, group) {
            let cell = &mut self.places[slot as usize].cell;
            cell.stored_at = cell.stored_at.max(input.stored_at);
            if !surplus {
                self.note(start, input, local, slot);
            }
            return (slot, surplus);
        }
        let cell = Cell {
            start,
            group,
            stored_at: input.stored_at,
            fired: false,
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.places[slot as usize].cell = cell;
                slot
            }
            None => {
                let accumulator = Accumulator::new(spec);
                push_lean(&mut self.places, Place { cell, accumulator });
                u32::try_from(self.places.len() - 1).unwrap_or(NONE)
            }
        };
        fill_lean(pane, group as usize + 1, NONE);
        pane[group as usize] = slot;
        groups.hold(group);
        if !surplus {
            self.note(start, input, local, slot);
        }
        (slot, surplus)
    }

    /// Start of the first pane from there on that holds anything.
    pub(crate) fn first_pane(&self, from: i64) -> Option<i64> {
        self.panes.range(from..).next().map(|(start, _)| *start)
    }

    /// The panes of a window that hold anything, oldest first: each slot of each.
    pub(crate) fn slots(&self, window: Range<i64>) -> impl Iterator<Item = u32> {
        let panes = self.panes.range(window);
        panes.flat_map(|(_, pane)| pane.iter().copied().filter(|slot| *slot != NONE))
    }

    /// The slots of one group in a window, oldest first.
    pub(crate) fn slots_of(&self, group: u32, window: Range<i64>) -> impl DoubleEndedIterator<Item = u32> {
        self.panes
            .range(window)
            .filter_map(move |(_, pane)| slot_in(pane, group))
    }

    /// Takes out a pane: each cell with its value, in the order of the groups' numbers.
    pub(crate) fn take_pane(
        &mut self,
        groups: &mut Groups,
        start: i64,
        spec: &AggregateSpec,
    ) -> Vec<(Cell, Accumulator)> {
        self.recent.forget(start);
        let pane = self.panes.remove(&start).unwrap_or_default();
        let mut taken: Vec<(Cell, Accumulator)> = Vec::with_capacity(pane.len());
        for slot in pane.into_iter().filter(|slot| *slot != NONE) {
            let place = &mut self.places[slot as usize];
            let accumulator = std::mem::replace(&mut place.accumulator, Accumulator::new(spec));
            let cell = place.cell.clone();
            groups.let_go(cell.group);
            self.free.push(slot);
            taken.push((cell, accumulator));
        }
        taken
    }

    pub(crate) fn get(&self, slot: u32) -> (&Cell, &Accumulator) {
        let place = &self.places[slot as usize];
        (&place.cell, &place.accumulator)
    }

    pub(crate) fn cell_mut(&mut self, slot: u32) -> &mut Cell {
        &mut self.places[slot as usize].cell
    }
}

fn slot_in(pane: &[u32], group: u32) -> Option<u32> {
    pane.get(group as usize).copied().filter(|slot| *slot != NONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_in_progress_is_one_line_of_memory() {
        assert_eq!(size_of::<Place>(), 64);
    }
}
