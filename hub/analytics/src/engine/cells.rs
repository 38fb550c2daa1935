//! Running values by window and group.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use streamflow_proto::{
    aggregate::{self, Accumulator, AggregateSpec},
    batch::DecodeError,
    bitmap::Bitmap,
    filter::Columns,
};

use super::{grouping::LocalGroups, groups::Groups};

/// Open windows of a group that are counted before its values go to the group `other`; bounds memory when windows stay open for long.
const CELLS_PER_GROUP: usize = 4;
/// No slot yet, in the table of a window's local groups.
const NONE: u32 = u32::MAX;

/// One value in progress.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) start: i64,
    pub(crate) group: u32,
    /// When the newest batch behind it was stored.
    pub(crate) stored_at: i64,
    /// It was reported as met before its window closed.
    pub(crate) fired: bool,
}

/// All values in progress of one rule or query.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Cells {
    size: i64,
    pub(crate) groups: Groups,
    /// Start of the window to the slot of each group, by the group's number.
    windows: BTreeMap<i64, Vec<u32>>,
    cells: Vec<Cell>,
    /// Beside `cells`, so that folding sees one plain list.
    accumulators: Vec<Accumulator>,
    free: Vec<u32>,
}

/// Rows to add.
pub(crate) struct Input<'a> {
    pub(crate) rows: &'a Bitmap,
    pub(crate) times: &'a [i64],
    pub(crate) groups: &'a LocalGroups,
    /// Windows that start earlier are closed.
    pub(crate) floor: i64,
    pub(crate) stored_at: i64,
    /// Most groups.
    pub(crate) cap: usize,
}

/// Room for work that is used again for every batch.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    slot_of_row: Vec<u32>,
    tables: Vec<(i64, Vec<u32>)>,
    /// Slots that got a value in the last call.
    pub(crate) touched: Vec<u32>,
}

/// What became of the rows.
#[derive(Debug, Default)]
pub(crate) struct Folded {
    /// Rows whose window was closed.
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
        let (windows, cells, accumulators, free) = Default::default();
        Self {
            size: size.max(1),
            groups: Groups::default(),
            windows,
            cells,
            accumulators,
            free,
        }
    }

    /// Adds rows to the cells of their windows and groups.
    pub(crate) fn fold(
        &mut self,
        spec: &AggregateSpec,
        columns: &mut Columns<'_>,
        input: &Input<'_>,
        scratch: &mut Scratch,
    ) -> Result<Folded, DecodeError> {
        let mut folded = Folded::default();
        scratch.tables.clear();
        scratch.touched.clear();
        scratch
            .slot_of_row
            .resize(input.times.len().max(scratch.slot_of_row.len()), NONE);
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
                let (slot, surplus) = self.slot(spec, start, input, local);
                *entry = slot;
                folded.surplus += u64::from(surplus);
                // Several local groups share the slot of `other`.
                if !surplus || !scratch.touched.contains(&slot) {
                    scratch.touched.push(slot);
                }
            }
            scratch.slot_of_row[row] = *entry;
        }
        let in_time = folded.late.as_ref().map(|late| input.rows.and_not(late));
        let rows = in_time.as_ref().unwrap_or(input.rows);
        aggregate::fold(spec, columns, rows, &scratch.slot_of_row, &mut self.accumulators)?;
        Ok(folded)
    }

    fn slot(&mut self, spec: &AggregateSpec, start: i64, input: &Input<'_>, local: usize) -> (u32, bool) {
        let full = self.cells.len() - self.free.len() >= input.cap.saturating_mul(CELLS_PER_GROUP);
        let (mut group, mut surplus) =
            self.groups
                .intern(input.groups.fingerprint(local), input.groups.labels(local), input.cap);
        let window = self.windows.entry(start).or_default();
        let in_window = |window: &[u32], group: u32| window.get(group as usize).copied().filter(|slot| *slot != NONE);
        if full && !surplus && in_window(window, group).is_none() {
            self.groups.release(group);
            (group, surplus) = (self.groups.other(input.groups.labels(local).count()), true);
        }
        if let Some(slot) = in_window(window, group) {
            let cell = &mut self.cells[slot as usize];
            cell.stored_at = cell.stored_at.max(input.stored_at);
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
                self.cells[slot as usize] = cell;
                slot
            }
            None => {
                self.cells.push(cell);
                self.accumulators.push(Accumulator::new(spec));
                u32::try_from(self.cells.len() - 1).unwrap_or(NONE)
            }
        };
        window.resize(window.len().max(group as usize + 1), NONE);
        window[group as usize] = slot;
        if let Some(group) = self.groups.get_mut(group) {
            group.cells += 1;
        }
        (slot, surplus)
    }

    /// Start of the first window that holds anything.
    pub(crate) fn first_window(&self) -> Option<i64> {
        self.windows.keys().next().copied()
    }

    /// Takes out a window: each cell with its value, in the order of the groups' labels.
    pub(crate) fn take_window(&mut self, start: i64, spec: &AggregateSpec) -> Vec<(Cell, Accumulator)> {
        let window = self.windows.remove(&start).unwrap_or_default();
        let mut taken: Vec<(Cell, Accumulator)> = Vec::with_capacity(window.len());
        for slot in window.into_iter().filter(|slot| *slot != NONE) {
            let accumulator = std::mem::replace(&mut self.accumulators[slot as usize], Accumulator::new(spec));
            let cell = self.cells[slot as usize].clone();
            if let Some(group) = self.groups.get_mut(cell.group) {
                group.cells -= 1;
            }
            self.free.push(slot);
            taken.push((cell, accumulator));
        }
        // Group numbers are reused in the order of history; labels order verdicts the same way after a restart from any point.
        taken.sort_by(|(a, _), (b, _)| self.labels(a.group).cmp(self.labels(b.group)));
        taken
    }

    fn labels(&self, group: u32) -> &[String] {
        self.groups.get(group).map_or(&[], |group| group.labels.as_slice())
    }

    pub(crate) fn cell_mut(&mut self, slot: u32) -> (&mut Cell, &Accumulator) {
        (&mut self.cells[slot as usize], &self.accumulators[slot as usize])
    }
}
