//! Verdicts on windows that still run: what more events cannot make untrue is said at once.

use std::borrow::Cow;

use streamflow_proto::aggregate::{Accumulator, AggregateSpec, Func};

use super::Aligned;
use crate::engine::{
    agents::Agents,
    cells::{Scratch, TouchedPane},
    groups::Groups,
    verdict::{Asks, Verdict, Verdicts},
};

/// A window that runs and of which something is to be said.
struct Running {
    /// Its newest pane, and the slot of the group in it.
    pane: i64,
    slot: u32,
    group: u32,
    /// When the batch was stored that made it true.
    stored_at: i64,
}

impl Aligned {
    /// Length by which values of panes are compared while a sliding window runs.
    pub(super) fn watched(&self, asks: &Asks) -> Option<i64> {
        let sums_up = asks.eager && self.size > self.slide && asks.compiled.aggregate.is_scalar_growth();
        sums_up.then_some(self.size)
    }

    pub(super) fn judge_early(
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
        for part in &scratch.parts {
            let touched = &scratch.touched[part.touched.clone()];
            if self.size == self.slide {
                self.judge_tumbling(part, touched, &mut scratch.work, (asks, agents), groups, out);
                continue;
            }
            for slot in touched {
                if let Some(running) = self.running(part.start, *slot, watched, asks, groups, out) {
                    self.judge_running(&running, asks, groups, agents, out);
                }
            }
        }
    }

    /// Judges windows that are one pane each, without looking for them.
    fn judge_tumbling(
        &mut self,
        part: &TouchedPane,
        touched: &[u32],
        met: &mut Vec<u32>,
        (asks, agents): (&Asks, &Agents),
        groups: &mut Groups,
        out: &mut Verdicts,
    ) {
        let end = part.start.saturating_add(self.slide);
        let Some(pane) = self.cells.pane(part.start).filter(|_| end > self.closed_end) else {
            return;
        };
        let always = asks.judges_all_early();
        met.clear();
        for slot in touched {
            if (always || pane.only_grows(*slot))
                && !pane.is_fired(*slot)
                && asks.is_met(groups, pane.group(*slot), pane.value(*slot, self.size), out)
            {
                met.push(*slot);
            }
        }
        for slot in met.iter() {
            let Some(pane) = self.cells.pane_mut(part.start) else {
                return;
            };
            // Groups of the batch may be one: without the attribute, and with an empty one.
            if pane.is_fired(*slot) {
                continue;
            }
            pane.fire(*slot);
            let Some(pane) = self.cells.pane(part.start) else {
                return;
            };
            let (group, stored_at) = (pane.group(*slot), pane.stored_at(*slot));
            let verdict = self.verdict((end, group), &pane.accumulator(*slot), stored_at);
            asks.tell(groups, verdict, agents, out);
        }
    }

    /// The newest window of a sliding rule that a touched value is in, when it may be worth a look.
    fn running(
        &self,
        start: i64,
        slot: u32,
        watched: bool,
        asks: &Asks,
        groups: &Groups,
        out: &mut Verdicts,
    ) -> Option<Running> {
        let pane = self.cells.pane(start)?;
        let (group, stored_at) = (pane.group(slot), pane.stored_at(slot));
        let touched = Running {
            pane: start,
            slot,
            group,
            stored_at,
        };
        if !watched {
            return Some(touched);
        }
        let (newest, sum) = groups.get(group).map_or((i64::MIN, 0.0), |group| group.running);
        // What the panes add up to may be off by a rounding, so it only says where to look.
        if !asks.is_met(groups, group, Some(sum), out) {
            return None;
        }
        let slot = self.cells.pane(newest)?.slot(group)?;
        Some(Running {
            pane: newest,
            slot,
            ..touched
        })
    }

    fn judge_running(
        &mut self,
        running: &Running,
        asks: &Asks,
        groups: &mut Groups,
        agents: &Agents,
        out: &mut Verdicts,
    ) {
        let end = running.pane.saturating_add(self.slide);
        let fired = self
            .cells
            .pane(running.pane)
            .is_none_or(|pane| pane.is_fired(running.slot));
        if fired || end <= self.closed_end {
            return;
        }
        let Some(accumulator) = self
            .window_of(running.group, end)
            .map(|(whole, _)| Cow::into_owned(whole))
        else {
            return;
        };
        let value = accumulator.value(self.size);
        if !asks.may_judge_early(&accumulator) || !asks.is_met(groups, running.group, value, out) {
            return;
        }
        let verdict = self.verdict((end, running.group), &accumulator, running.stored_at);
        if let Some(pane) = self.cells.pane_mut(running.pane) {
            pane.fire(running.slot);
        }
        asks.tell(groups, verdict, agents, out);
    }

    fn verdict(&self, (end, group): (i64, u32), accumulator: &Accumulator, stored_at: i64) -> Verdict {
        Verdict {
            start: end.saturating_sub(self.size),
            end,
            group,
            value: accumulator.value(self.size),
            top: accumulator.top(),
            met: true,
            running: true,
            revision: 0,
            stored_at,
        }
    }

    /// Brings up to date what the panes of each group's newest window add up to: by the difference, or anew when the window has moved on.
    fn keep_running(&self, spec: &AggregateSpec, groups: &mut Groups, scratch: &mut Scratch) {
        let moved = &mut scratch.work;
        moved.clear();
        for part in &scratch.parts {
            let Some(pane) = self.cells.pane(part.start) else {
                continue;
            };
            for slot in &scratch.touched[part.touched.clone()] {
                let id = pane.group(*slot);
                if let Some(group) = groups.get_mut(id)
                    && part.start > group.running.0
                {
                    group.running.0 = part.start;
                    moved.push(id);
                }
            }
        }
        moved.sort_unstable();
        moved.dedup();
        for id in moved.iter() {
            let newest = groups.get(*id).map_or(i64::MIN, |group| group.running.0);
            let end = newest.saturating_add(self.slide);
            let parts = self.cells.parts(*id, end.saturating_sub(self.size)..end);
            let values = parts.filter_map(|(pane, slot)| pane.value(slot, self.size));
            let sum = values.fold(nothing(spec), |sum, value| grown(spec, sum, 0.0, value));
            if let Some(group) = groups.get_mut(*id) {
                group.running.1 = sum;
            }
        }
        for part in &scratch.parts {
            let Some(pane) = self.cells.pane(part.start) else {
                continue;
            };
            let slots = scratch.touched[part.touched.clone()].iter();
            for (slot, before) in slots.zip(&scratch.before[part.touched.clone()]) {
                let id = pane.group(*slot);
                if moved.binary_search(&id).is_ok() {
                    continue;
                }
                if let (Some(group), Some(after)) = (groups.get_mut(id), pane.value(*slot, self.size))
                    && part.start.saturating_add(self.size) > group.running.0
                {
                    group.running.1 = grown(spec, group.running.1, *before, after);
                }
            }
        }
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
