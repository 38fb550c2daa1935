//! Windows that end at multiples of their slide since 1970: tumbling ones, whose slide is their size, and sliding ones.
//!
//! A window holds `[end - size, end)`. It closes when the watermark passes its end, and may be corrected for the rule's allowed lateness after that.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use streamflow_model::RuleDraft;
use streamflow_proto::{
    aggregate::{Accumulator, AggregateSpec, Func},
    batch::DecodeError,
    filter::Columns,
};

use super::{
    agents::Agents,
    cells::{Cells, Folded, Input, Scratch, next_start, window_start},
    groups::Groups,
    run::{Limits, Work},
    verdict::{Asks, Closed, Said, Verdict, Verdicts},
};

/// A rule's windows of fixed places.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Aligned {
    size: i64,
    slide: i64,
    lateness: i64,
    cells: Cells,
    /// Windows that end by then are closed.
    closed_end: i64,
    /// Windows that end by then never counted: they had begun before the rule or the log did.
    from_end: i64,
    /// What was said of windows that may still be corrected, by end and group.
    said: BTreeMap<(i64, u32), Said>,
}

impl Aligned {
    /// Nothing yet. Windows that end by `watermark`, or begin before `whole`, are left out.
    pub(super) fn new(draft: &RuleDraft, slide: i64, watermark: i64, whole: i64) -> Self {
        let (size, slide) = (draft.window.size().ms().max(1), slide.max(1));
        // Far from the ends of the number line, so that every boundary is one.
        let (watermark, whole) = (watermark.max(i64::MIN / 2), whole.max(i64::MIN / 2));
        let first_whole = next_start(whole, slide).saturating_add(size);
        let from_end = window_start(watermark, slide).max(first_whole.saturating_sub(slide));
        Self {
            size,
            slide,
            lateness: draft.allowed_lateness.ms(),
            cells: Cells::new(slide),
            closed_end: from_end,
            from_end,
            said: BTreeMap::new(),
        }
    }

    /// Windows that end by then are closed.
    pub(super) const fn closed_end(&self) -> i64 {
        self.closed_end
    }

    /// When the next window closes.
    pub(super) const fn next_close(&self) -> i64 {
        self.closed_end.saturating_add(self.slide)
    }

    /// Adds rows; says at once what more rows cannot make untrue, and what late ones change.
    pub(super) fn add(
        &mut self,
        asks: &Asks,
        groups: &mut Groups,
        columns: &mut Columns<'_>,
        mut input: Input<'_>,
        work: &mut Work<'_>,
    ) -> Result<Folded, DecodeError> {
        let Work { scratch, agents, out } = work;
        let over = agents.watermark().saturating_sub(self.lateness).max(self.from_end);
        input.floor = window_start(over.saturating_sub(self.size), self.slide).saturating_add(self.slide);
        input.watch = self.watched(asks);
        let folded = self
            .cells
            .fold(groups, &asks.compiled.aggregate, columns, &input, scratch)?;
        if asks.eager {
            self.judge_early(asks, groups, scratch, agents, out);
        }
        if self.lateness > 0 {
            self.correct(asks, groups, scratch, agents, out);
        }
        Ok(folded)
    }

    /// Length by which values of panes are compared while a sliding window runs.
    fn watched(&self, asks: &Asks) -> Option<i64> {
        let sums_up = asks.eager && self.size > self.slide && asks.compiled.aggregate.is_scalar_growth();
        sums_up.then_some(self.size)
    }

    fn judge_early(
        &mut self,
        asks: &Asks,
        groups: &mut Groups,
        scratch: &mut Scratch,
        agents: &Agents,
        out: &mut Verdicts,
    ) {
        let watched = self.watched(asks).is_some();
        if watched {
            self.keep_running(&asks.compiled.aggregate, groups, scratch);
        }
        for touched in &scratch.touched {
            let (cell, _) = self.cells.get(*touched);
            let (mut pane, group, stored_at) = (cell.start, cell.group, cell.stored_at);
            let mut slot = *touched;
            if watched {
                let running = groups.get(group).map_or((i64::MIN, 0.0), |group| group.running);
                // What the panes add up to may be off by a rounding, so it only says where to look.
                if !asks.is_met(groups, group, Some(running.1), out) {
                    continue;
                }
                pane = running.0;
                let newest = self.cells.slots_of(group, pane..pane.saturating_add(1)).next();
                let Some(newest) = newest else { continue };
                slot = newest;
            }
            let (cell, accumulator) = self.cells.get(slot);
            let end = pane.saturating_add(self.slide);
            if cell.fired || end <= self.closed_end {
                continue;
            }
            let merged;
            let accumulator = if self.size == self.slide {
                accumulator
            } else {
                merged = self.window_of(group, end).map(|(accumulator, _)| accumulator);
                let Some(merged) = &merged else { continue };
                merged
            };
            let value = accumulator.value(self.size);
            if !asks.may_judge_early(accumulator) || !asks.is_met(groups, group, value, out) {
                continue;
            }
            let verdict = Verdict {
                start: end.saturating_sub(self.size),
                end,
                group,
                value,
                top: accumulator.top(),
                met: true,
                running: true,
                revision: 0,
                stored_at,
            };
            self.cells.cell_mut(slot).fired = true;
            asks.tell(groups, verdict, agents, out);
        }
    }

    /// Brings up to date what the panes of each group's newest window add up to: by the difference, or anew when the window has moved on.
    fn keep_running(&self, spec: &AggregateSpec, groups: &mut Groups, scratch: &mut Scratch) {
        let moved = &mut scratch.groups;
        moved.clear();
        for slot in &scratch.touched {
            let (cell, _) = self.cells.get(*slot);
            if let Some(group) = groups.get_mut(cell.group)
                && cell.start > group.running.0
            {
                group.running.0 = cell.start;
                moved.push(cell.group);
            }
        }
        moved.sort_unstable();
        moved.dedup();
        for id in moved.iter() {
            let newest = groups.get(*id).map_or(i64::MIN, |group| group.running.0);
            let end = newest.saturating_add(self.slide);
            let parts = self.cells.slots_of(*id, end.saturating_sub(self.size)..end);
            let values = parts.filter_map(|slot| self.cells.get(slot).1.value(self.size));
            let sum = values.fold(nothing(spec), |sum, value| grown(spec, sum, 0.0, value));
            if let Some(group) = groups.get_mut(*id) {
                group.running.1 = sum;
            }
        }
        for (slot, before) in scratch.touched.iter().zip(&scratch.before) {
            let (cell, accumulator) = self.cells.get(*slot);
            if moved.binary_search(&cell.group).is_ok() {
                continue;
            }
            if let (Some(group), Some(after)) = (groups.get_mut(cell.group), accumulator.value(self.size))
                && cell.start.saturating_add(self.size) > group.running.0
            {
                group.running.1 = grown(spec, group.running.1, *before, after);
            }
        }
    }

    /// The value of a group's window, and when the newest batch behind it was stored.
    fn window_of(&self, group: u32, end: i64) -> Option<(Accumulator, i64)> {
        let mut slots = self.cells.slots_of(group, end.saturating_sub(self.size)..end);
        let (cell, first) = self.cells.get(slots.next()?);
        let (mut whole, mut stored_at) = (first.clone(), cell.stored_at);
        for slot in slots {
            let (cell, part) = self.cells.get(slot);
            whole.merge(part);
            stored_at = stored_at.max(cell.stored_at);
        }
        Some((whole, stored_at))
    }

    /// Says anew what late events have changed.
    fn correct(&mut self, asks: &Asks, groups: &mut Groups, scratch: &Scratch, agents: &Agents, out: &mut Verdicts) {
        let mut changed: BTreeSet<(i64, u32)> = BTreeSet::new();
        let over = agents.watermark().saturating_sub(self.lateness).max(self.from_end);
        for slot in &scratch.touched {
            let (cell, _) = self.cells.get(*slot);
            let first = cell.start.saturating_add(self.slide);
            let last = cell.start.saturating_add(self.size).min(self.closed_end);
            let mut end = first.max(window_start(over, self.slide).saturating_add(self.slide));
            while end <= last {
                changed.insert((end, cell.group));
                end = end.saturating_add(self.slide);
            }
        }
        let mut changed: Vec<(i64, u32)> = changed.into_iter().collect();
        changed.sort_by(|a, b| (a.0, groups.labels(a.1)).cmp(&(b.0, groups.labels(b.1))));
        for (end, group) in changed {
            let Some((accumulator, stored_at)) = self.window_of(group, end) else {
                continue;
            };
            // Of a window that was empty, emptiness may have been told as the first revision.
            let said = self
                .said
                .get(&(end, group))
                .copied()
                .unwrap_or(Said { next: 1, met: false });
            let closed = Closed {
                start: end.saturating_sub(self.size),
                end,
                group,
                accumulator: &accumulator,
                stored_at,
            };
            let said = asks.conclude(groups, closed, said, agents, out);
            self.said.insert((end, group), said);
            out.corrections += 1;
        }
    }

    /// Closes every window that the watermark has passed.
    pub(super) fn close(&mut self, asks: &Asks, groups: &mut Groups, agents: &Agents, out: &mut Verdicts) {
        let watermark = agents.watermark();
        loop {
            let end = self.next_close();
            if end > watermark {
                break;
            }
            match self.cells.first_pane(end.saturating_sub(self.size)) {
                Some(first) if first < end => {
                    self.judge(end, asks, groups, agents, out);
                    self.closed_end = end;
                }
                first => {
                    let last = window_start(watermark, self.slide).min(first.unwrap_or(i64::MAX));
                    self.judge_empty(end, last, asks, groups, agents, out);
                    self.closed_end = last.max(end);
                }
            }
        }
        self.forget(asks, groups, watermark);
    }

    fn judge(&mut self, end: i64, asks: &Asks, groups: &mut Groups, agents: &Agents, out: &mut Verdicts) {
        let start = end.saturating_sub(self.size);
        let mut held: Vec<u32> = self
            .cells
            .slots(start..end)
            .map(|slot| self.cells.get(slot).0.group)
            .collect();
        held.sort_unstable();
        held.dedup();
        // Group numbers are reused in the order of history; labels order verdicts the same way after a restart from any point.
        let mut ordered = held.clone();
        ordered.sort_by(|a, b| groups.labels(*a).cmp(groups.labels(*b)));
        for group in ordered {
            let mut last = self.cells.slots_of(group, end.saturating_sub(self.slide)..end);
            let fired = last.any(|slot| self.cells.get(slot).0.fired);
            let merged;
            let (accumulator, stored_at) = if self.size == self.slide {
                let Some(slot) = self.cells.slots_of(group, start..end).next() else {
                    continue;
                };
                let (cell, accumulator) = self.cells.get(slot);
                (accumulator, cell.stored_at)
            } else {
                merged = self.window_of(group, end);
                let Some((accumulator, stored_at)) = &merged else {
                    continue;
                };
                (accumulator, *stored_at)
            };
            let closed = Closed {
                start,
                end,
                group,
                accumulator,
                stored_at,
            };
            let said = Said {
                next: u32::from(fired),
                met: fired,
            };
            let said = asks.conclude(groups, closed, said, agents, out);
            if self.lateness > 0 {
                self.said.insert((end, group), said);
            }
        }
        for group in groups.met() {
            let told_until = groups.get(group).map_or(i64::MIN, |group| group.told_until);
            if told_until < end && held.binary_search(&group).is_err() {
                asks.tell_empty(groups, group, start, end, agents, out);
            }
        }
    }

    /// Tells of groups that were met and of which nothing was said since that their first window of those that end from `first` to `last` holds nothing.
    fn judge_empty(
        &self,
        first: i64,
        last: i64,
        asks: &Asks,
        groups: &mut Groups,
        agents: &Agents,
        out: &mut Verdicts,
    ) {
        for group in groups.met() {
            let told_until = groups.get(group).map_or(i64::MIN, |group| group.told_until);
            let after = window_start(told_until, self.slide).saturating_add(self.slide);
            let end = first.max(after);
            if end <= last {
                asks.tell_empty(groups, group, end.saturating_sub(self.size), end, agents, out);
            }
        }
    }

    /// Drops what no window needs any more.
    fn forget(&mut self, asks: &Asks, groups: &mut Groups, watermark: i64) {
        let over = watermark.saturating_sub(self.lateness);
        while let Some(start) = self.cells.first_pane(i64::MIN)
            && start.saturating_add(self.size) <= over
        {
            for (cell, _) in self.cells.take_pane(groups, start, &asks.compiled.aggregate) {
                groups.release(cell.group);
            }
        }
        while let Some(entry) = self.said.first_entry()
            && entry.key().0 <= over
        {
            entry.remove();
        }
    }

    /// Values in progress that a rule may have: room for every group in each of its panes, within what memory bears.
    pub(super) fn max_cells(&self, limits: &Limits) -> usize {
        let panes = (self.size + self.lateness) / self.slide;
        let panes = usize::try_from(panes).unwrap_or(usize::MAX).saturating_add(3);
        limits.groups.saturating_mul(panes).min(limits.cells)
    }
}

/// What no value adds up to.
const fn nothing(spec: &AggregateSpec) -> f64 {
    if matches!(spec.func, Func::Max) {
        f64::NEG_INFINITY
    } else {
        0.0
    }
}

/// A sum of panes, or their largest, when one of them has grown.
fn grown(spec: &AggregateSpec, sum: f64, before: f64, after: f64) -> f64 {
    if matches!(spec.func, Func::Max) {
        sum.max(after)
    } else {
        sum + (after - before)
    }
}
