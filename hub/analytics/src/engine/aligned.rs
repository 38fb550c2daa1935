//! Windows that end at multiples of their slide since 1970: tumbling ones, whose slide is their size, and sliding ones.
//!
//! A window holds `[end - size, end)`. It closes when the watermark passes its end, and may be corrected for the rule's allowed lateness after that.

mod early;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use serde::{Deserialize, Serialize};
use streamflow_model::RuleDraft;
use streamflow_proto::{aggregate::Accumulator, batch::DecodeError, filter::Columns};

use super::{
    agents::Agents,
    cells::{Cells, Folded, Input, Scratch, next_start, window_start},
    groups::Groups,
    run::{Limits, Work},
    verdict::{Asks, Closed, Said, Verdicts},
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

    /// Length of a pane.
    pub(super) const fn pane(&self) -> i64 {
        self.cells.size()
    }

    /// Builds what a checkpoint does not hold.
    pub(super) fn reindex(&mut self) {
        self.cells.reindex();
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
        let Work {
            scratch, agents, out, ..
        } = work;
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

    /// The value of a group's window, and when the newest batch behind it was stored.
    fn window_of(&self, group: u32, end: i64) -> Option<(Cow<'_, Accumulator>, i64)> {
        let mut parts = self.cells.parts(group, end.saturating_sub(self.size)..end);
        let (pane, slot) = parts.next()?;
        let (mut whole, mut stored_at) = (pane.accumulator(slot), pane.stored_at(slot));
        for (pane, slot) in parts {
            whole.to_mut().merge(&pane.accumulator(slot));
            stored_at = stored_at.max(pane.stored_at(slot));
        }
        Some((whole, stored_at))
    }

    /// Says anew what late events have changed.
    fn correct(&mut self, asks: &Asks, groups: &mut Groups, scratch: &Scratch, agents: &Agents, out: &mut Verdicts) {
        let mut changed: BTreeSet<(i64, u32)> = BTreeSet::new();
        let over = agents.watermark().saturating_sub(self.lateness).max(self.from_end);
        for part in &scratch.parts {
            let Some(pane) = self.cells.pane(part.start) else {
                continue;
            };
            let first = part.start.saturating_add(self.slide);
            let last = part.start.saturating_add(self.size).min(self.closed_end);
            let mut end = first.max(window_start(over, self.slide).saturating_add(self.slide));
            while end <= last {
                let slots = scratch.touched[part.touched.clone()].iter();
                changed.extend(slots.map(|slot| (end, pane.group(*slot))));
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
            drop(accumulator);
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
        self.forget(groups, watermark);
    }

    fn judge(&mut self, end: i64, asks: &Asks, groups: &mut Groups, agents: &Agents, out: &mut Verdicts) {
        let start = end.saturating_sub(self.size);
        let mut held: Vec<u32> = Vec::new();
        for pane in self.cells.panes(start..end) {
            held.extend(pane.slots().map(|slot| pane.group(slot)));
        }
        held.sort_unstable();
        held.dedup();
        // Group numbers are reused in the order of history; labels order verdicts the same way after a restart from any point.
        let mut ordered = held.clone();
        ordered.sort_by(|a, b| groups.labels(*a).cmp(groups.labels(*b)));
        for group in ordered {
            let mut last = self.cells.parts(group, end.saturating_sub(self.slide)..end);
            let fired = last.any(|(pane, slot)| pane.is_fired(slot));
            let Some((accumulator, stored_at)) = self.window_of(group, end) else {
                continue;
            };
            let closed = Closed {
                start,
                end,
                group,
                accumulator: &accumulator,
                stored_at,
            };
            let said = Said {
                next: u32::from(fired),
                met: fired,
            };
            let said = asks.conclude(groups, closed, said, agents, out);
            drop(accumulator);
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
    fn forget(&mut self, groups: &mut Groups, watermark: i64) {
        let over = watermark.saturating_sub(self.lateness);
        while let Some(start) = self.cells.first_pane(i64::MIN)
            && start.saturating_add(self.size) <= over
        {
            if let Some(pane) = self.cells.take_pane(groups, start) {
                pane.slots().for_each(|slot| groups.release(pane.group(slot)));
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
