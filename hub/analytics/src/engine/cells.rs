//! Running values by pane and group. A pane is the stretch of time between the ends of two windows: a tumbling window is one pane, a sliding one is several, so
//! that an event is added once however many windows hold it.

use std::{borrow::Cow, collections::BTreeMap, ops::Range};

use serde::{Deserialize, Serialize};
use streamflow_proto::{
    aggregate::{Accumulator, Accumulators, AggregateSpec, push_lean},
    batch::DecodeError,
    bitmap::Bitmap,
    filter::Columns,
};

use super::{
    grouping::LocalGroups,
    groups::Groups,
    numbering::{Numbering, Recent},
    selection::{Selection, Stretch},
    table::{NONE, Table},
};

/// All values in progress of one rule or query.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Cells {
    size: i64,
    /// By their start.
    panes: BTreeMap<i64, Pane>,
    /// Values in all of them.
    held: usize,
    /// Slots that are found without asking for the group.
    #[serde(skip)]
    recent: Recent,
}

/// The values of one pane, each in a slot. What an event fetches is its slot, a head and a value, so these are small and stand in lists of their own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Pane {
    /// The slot of each group, by the group's number.
    #[serde(skip)]
    slots: Table,
    heads: Vec<Head>,
    values: Accumulators,
    /// When the first batch behind it was stored.
    since: i64,
}

/// What is known of a value besides.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Head {
    group: u32,
    /// When the newest batch behind it was stored, see [`Pane::moment`]; and in the highest bit, whether the first window that ends with or after it was reported
    /// as met before it closed.
    stored: u32,
}

const FIRED: u32 = 1 << 31;
/// The moment `since`. Moments are milliseconds, twelve days before it to twelve days after.
const MIDDLE: i64 = 1 << 30;

/// Rows to add.
pub(crate) struct Input<'a> {
    pub(crate) selection: &'a Selection,
    pub(crate) groups: &'a LocalGroups,
    pub(crate) numbering: &'a Numbering,
    /// Rows of the batch, selected or not.
    pub(crate) rows: usize,
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

/// Room for work that is used again for every batch.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(crate) slot_of_row: Vec<u32>,
    /// Of each part, the slot of each group of its stretch.
    slots: Vec<u32>,
    /// Panes that got values in the last call.
    pub(crate) parts: Vec<TouchedPane>,
    /// Slots that got a value in the last call, each once.
    pub(crate) touched: Vec<u32>,
    /// Their values before, when they were watched; zero where there was none.
    pub(crate) before: Vec<f64>,
    /// Work of whoever reads `touched`.
    pub(crate) work: Vec<u32>,
}

/// A pane that got values.
#[derive(Debug, Clone)]
pub(crate) struct TouchedPane {
    pub(crate) start: i64,
    /// Which of [`Scratch::touched`] are its slots.
    pub(crate) touched: Range<usize>,
    /// Which stretch they came from, and where the slots of its groups are.
    stretch: usize,
    slots: Range<usize>,
}

impl Scratch {
    /// Nothing from before.
    pub(crate) fn clear(&mut self) {
        self.slots.clear();
        self.parts.clear();
        self.touched.clear();
        self.before.clear();
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
        let (panes, recent) = Default::default();
        Self {
            size: size.max(1),
            panes,
            held: 0,
            recent,
        }
    }

    /// Length of a pane.
    pub(crate) const fn size(&self) -> i64 {
        self.size
    }

    /// Adds rows to the values of their panes and groups.
    pub(crate) fn fold(
        &mut self,
        groups: &mut Groups,
        spec: &AggregateSpec,
        columns: &mut Columns<'_>,
        input: &Input<'_>,
        scratch: &mut Scratch,
    ) -> Result<Folded, DecodeError> {
        let mut folded = Folded::default();
        scratch.clear();
        self.recent.begin(input.groups.epoch());
        for (number, stretch) in input.selection.stretches.iter().enumerate() {
            if stretch.start < input.floor {
                let late = folded.late.get_or_insert_with(|| Bitmap::new(input.rows, false));
                stretch.picked.rows.iter().for_each(|row| late.set(*row as usize, true));
                continue;
            }
            let (slots, touched) = (scratch.slots.len(), scratch.touched.len());
            folded.surplus += self.place(groups, spec, stretch, input, scratch);
            scratch.parts.push(TouchedPane {
                start: stretch.start,
                touched: touched..scratch.touched.len(),
                stretch: number,
                slots: slots..scratch.slots.len(),
            });
        }
        for part in &scratch.parts {
            let picked = input
                .selection
                .stretches
                .get(part.stretch)
                .map(|stretch| &stretch.picked);
            if let (Some(pane), Some(picked)) = (self.panes.get_mut(&part.start), picked) {
                pane.values
                    .fold(spec, columns, picked, &scratch.slots[part.slots.clone()])?;
            }
        }
        Ok(folded)
    }

    /// Finds or makes the slot of each group of a stretch. Answers how many groups went to `other`.
    fn place(
        &mut self,
        groups: &mut Groups,
        spec: &AggregateSpec,
        stretch: &Stretch,
        input: &Input<'_>,
        scratch: &mut Scratch,
    ) -> u64 {
        let fresh = || Pane::new(spec, input.stored_at);
        let pane = self.panes.entry(stretch.start).or_insert_with(fresh);
        let known = self.recent.pane(stretch.start);
        // What a group costs is the memory that is fetched for it. So each loop fetches one thing, and nothing in it waits for the round before: then the
        // processor has many of them under way at once.
        let (begin, first) = (scratch.slots.len(), scratch.touched.len());
        known.get_all(&stretch.numbers, &mut scratch.slots);
        let found = &mut scratch.slots[begin..];
        let (mut surplus, mut other) = (0, NONE);
        if found.contains(&NONE) {
            for ((slot, local), number) in found.iter_mut().zip(&stretch.groups).zip(&stretch.numbers) {
                // Groups of the batch may be one: without the attribute, and with an empty one.
                if *slot == NONE {
                    *slot = known.get(*number).unwrap_or(NONE);
                }
                if *slot == NONE {
                    let (place, fits) = pane.find(groups, spec, input, *local as usize, &mut self.held);
                    *slot = place;
                    if fits {
                        known.insert(*number, place);
                    } else {
                        surplus += 1;
                        if place == other {
                            continue;
                        }
                        other = place;
                    }
                }
                scratch.touched.push(*slot);
            }
        } else {
            scratch.touched.extend_from_slice(found);
        }
        let (moment, touched) = (pane.moment(input.stored_at), &scratch.touched[first..]);
        for slot in touched {
            pane.heads[*slot as usize].touch(moment);
        }
        if let Some(window) = input.watch {
            let values = touched.iter().map(|slot| pane.value(*slot, window).unwrap_or(0.0));
            scratch.before.extend(values);
        }
        surplus
    }

    /// Start of the first pane from there on that holds anything.
    pub(crate) fn first_pane(&self, from: i64) -> Option<i64> {
        self.panes.range(from..).next().map(|(start, _)| *start)
    }

    /// The pane that starts there.
    pub(crate) fn pane(&self, start: i64) -> Option<&Pane> {
        self.panes.get(&start)
    }

    pub(crate) fn pane_mut(&mut self, start: i64) -> Option<&mut Pane> {
        self.panes.get_mut(&start)
    }

    /// The panes of a window that hold anything, oldest first.
    pub(crate) fn panes(&self, window: Range<i64>) -> impl DoubleEndedIterator<Item = &Pane> {
        self.panes.range(window).map(|(_, pane)| pane)
    }

    /// The values of one group in a window, oldest first: each pane with the slot in it.
    pub(crate) fn parts(&self, group: u32, window: Range<i64>) -> impl DoubleEndedIterator<Item = (&Pane, u32)> {
        self.panes(window)
            .filter_map(move |pane| pane.slot(group).map(|slot| (pane, slot)))
    }

    /// Takes out the pane that starts there.
    pub(crate) fn take_pane(&mut self, groups: &mut Groups, start: i64) -> Option<Pane> {
        self.recent.forget(start);
        let pane = self.panes.remove(&start)?;
        self.held -= pane.heads.len();
        pane.heads.iter().for_each(|head| groups.let_go(head.group));
        Some(pane)
    }

    /// Builds what a checkpoint does not hold.
    pub(crate) fn reindex(&mut self) {
        for pane in self.panes.values_mut() {
            for (head, slot) in pane.heads.iter().zip(0..) {
                pane.slots.insert(head.group, slot);
            }
        }
    }
}

impl Pane {
    fn new(spec: &AggregateSpec, since: i64) -> Self {
        let (slots, heads) = Default::default();
        Self {
            slots,
            heads,
            values: Accumulators::new(spec),
            since,
        }
    }

    /// The slot of a group of the batch, which may be that of the group `other`; then the second value is false.
    fn find(
        &mut self,
        groups: &mut Groups,
        spec: &AggregateSpec,
        input: &Input<'_>,
        local: usize,
        held: &mut usize,
    ) -> (u32, bool) {
        let labels = || input.groups.kept_labels(local, input.numbering);
        let (mut group, mut surplus) = groups.intern(input.groups.fingerprint(local), labels, input.cap);
        let mut known = self.slot(group);
        if known.is_none() && !surplus && *held >= input.max_cells {
            groups.release(group);
            (group, surplus) = (groups.other(labels().len()), true);
            known = self.slot(group);
        }
        let slot = known.unwrap_or_else(|| {
            let slot = u32::try_from(self.heads.len()).unwrap_or(NONE);
            push_lean(&mut self.heads, Head { group, stored: 0 });
            self.values.push(spec);
            self.slots.insert(group, slot);
            groups.hold(group);
            *held += 1;
            slot
        });
        (slot, !surplus)
    }

    /// A time as heads have it.
    fn moment(&self, at: i64) -> u32 {
        let moment = at.saturating_sub(self.since).saturating_add(MIDDLE);
        u32::try_from(moment.clamp(0, i64::from(FIRED - 1))).unwrap_or(0)
    }

    /// The slot of a group.
    pub(crate) fn slot(&self, group: u32) -> Option<u32> {
        self.slots.get(group)
    }

    /// All slots.
    pub(crate) fn slots(&self) -> impl Iterator<Item = u32> + use<> {
        0..u32::try_from(self.heads.len()).unwrap_or(NONE)
    }

    /// The group of a slot.
    pub(crate) fn group(&self, slot: u32) -> u32 {
        self.heads[slot as usize].group
    }

    /// When the newest batch behind a value was stored.
    pub(crate) fn stored_at(&self, slot: u32) -> i64 {
        let moment = self.heads[slot as usize].stored & !FIRED;
        self.since.saturating_add(i64::from(moment) - MIDDLE)
    }

    /// Whether the first window that ends with or after the pane was reported as met before it closed.
    pub(crate) fn is_fired(&self, slot: u32) -> bool {
        self.heads[slot as usize].stored & FIRED != 0
    }

    /// Takes note that it was.
    pub(crate) fn fire(&mut self, slot: u32) {
        self.heads[slot as usize].stored |= FIRED;
    }

    /// The aggregate in a slot.
    pub(crate) fn accumulator(&self, slot: u32) -> Cow<'_, Accumulator> {
        self.values.get(slot as usize)
    }

    /// The value of a slot over a window of this length.
    pub(crate) fn value(&self, slot: u32, window: i64) -> Option<f64> {
        self.values.value(slot as usize, window)
    }

    /// Whether the value of a slot can only get larger.
    pub(crate) fn only_grows(&self, slot: u32) -> bool {
        self.values.only_grows(slot as usize)
    }
}

impl Head {
    fn touch(&mut self, moment: u32) {
        self.stored = (self.stored & !FIRED).max(moment) | self.stored & FIRED;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_knows_when_its_newest_batch_was_stored_and_whether_it_fired() {
        let spec = AggregateSpec::parse("count()").unwrap();
        let mut pane = Pane::new(&spec, 1_780_000_000_000);
        pane.heads.push(Head { group: 7, stored: 0 });
        let mut store = |offset: i64| {
            let moment = pane.moment(1_780_000_000_000_i64.saturating_add(offset));
            pane.heads[0].touch(moment);
            if offset == 5 {
                pane.fire(0);
            }
            (pane.stored_at(0) - 1_780_000_000_000, pane.is_fired(0))
        };
        assert_eq!(
            [-20, -30, 5, 3, 86_400_000].map(&mut store),
            [(-20, false), (-20, false), (5, true), (5, true), (86_400_000, true)]
        );
        assert_eq!(store(i64::MAX).0, MIDDLE - 1, "as late as it can say");
        assert_eq!(pane.group(0), 7);
        assert_eq!(size_of::<Head>(), 8);
    }
}
