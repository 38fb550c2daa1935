//! Session windows: events of one group that are less than the gap apart belong together.
//!
//! A session holds `[first event, last event + gap)`. It closes when the watermark passes its end. A late event within the rule's allowed lateness extends, joins or
//! makes sessions all the same, and what was said of them is corrected.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use streamflow_model::RuleDraft;
use streamflow_proto::{
    aggregate::{self, Accumulator, AggregateSpec},
    batch::DecodeError,
    bitmap::Bitmap,
    filter::Columns,
};

use super::{
    agents::Agents,
    cells::{Folded, Scratch},
    grouping::LocalGroups,
    groups::{Groups, Standing},
    numbering::Numbering,
    run::{Limits, Work},
    table::NONE,
    verdict::{Asks, Closed, Said, Verdict, Verdicts},
};

/// Sessions of one group in progress at a time, on average; bounds memory together with the number of groups.
const SESSIONS_PER_GROUP: usize = 4;

/// Rows to add.
pub(super) struct Rows<'a> {
    pub(super) rows: &'a Bitmap,
    pub(super) times: &'a [i64],
    pub(super) groups: &'a LocalGroups,
    pub(super) numbering: &'a Numbering,
    pub(super) stored_at: i64,
    /// Most groups.
    pub(super) cap: usize,
    /// Most sessions in progress; beyond, new ones go to the group `other`.
    pub(super) max_cells: usize,
}

/// One session.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Session {
    /// Its first event. A session that was joined to another is no longer than nothing: it starts after it ends.
    start: i64,
    /// Its last event.
    last: i64,
    group: u32,
    stored_at: i64,
    /// It was reported as met since it last opened.
    fired: bool,
    /// It has ended, and that was said.
    closed: bool,
    said: Said,
    /// Where it stands in `due`.
    #[serde(skip)]
    due: i64,
}

impl Session {
    const fn is_joined(&self) -> bool {
        self.start > self.last
    }
}

/// A rule's sessions.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Sessions {
    gap: i64,
    lateness: i64,
    /// Sessions that ended by then never counted: the rule or the log had not begun.
    from_end: i64,
    /// Sessions that start earlier may have begun before the rule or the log did, and are left out.
    whole: i64,
    sessions: Vec<Session>,
    /// Beside `sessions`, so that folding sees one plain list.
    accumulators: Vec<Accumulator>,
    free: Vec<u32>,
    /// Sessions of each group in the order of time, by the group's number.
    by_group: Vec<Vec<u32>>,
    /// When each session must be looked at, or earlier; a session's end moves with its events.
    #[serde(skip)]
    due: BTreeSet<(i64, u32)>,
    /// No group that was met has been without a session for a gap before then.
    #[serde(skip, default = "long_ago")]
    next_quiet: i64,
}

const fn long_ago() -> i64 {
    i64::MIN
}

impl Sessions {
    /// Nothing yet. Sessions that ended by `watermark` are left out, and so are those that may have begun before `whole`.
    pub(super) fn new(draft: &RuleDraft, watermark: i64, whole: i64) -> Self {
        let (sessions, accumulators, free, by_group, due) = Default::default();
        let gap = draft.window.size().ms().max(1);
        Self {
            gap,
            lateness: draft.allowed_lateness.ms(),
            from_end: watermark,
            whole: if whole == i64::MIN {
                whole
            } else {
                whole.saturating_add(gap)
            },
            sessions,
            accumulators,
            free,
            by_group,
            due,
            next_quiet: i64::MAX,
        }
    }

    /// Builds what a checkpoint does not hold.
    pub(super) fn reindex(&mut self) {
        for group in &self.by_group {
            for slot in group {
                let session = &mut self.sessions[*slot as usize];
                session.due = session.last.saturating_add(self.gap);
                self.due.insert((session.due, *slot));
            }
        }
    }

    /// When there is something to do if nothing comes.
    pub(super) fn next_close(&self) -> i64 {
        let next = self.due.first().map_or(i64::MAX, |(at, _)| *at);
        next.min(self.next_quiet)
    }

    fn end(&self, slot: u32) -> i64 {
        self.sessions[slot as usize].last.saturating_add(self.gap)
    }

    /// Adds rows; says at once what more rows cannot make untrue, and what late ones change.
    pub(super) fn add(
        &mut self,
        asks: &Asks,
        groups: &mut Groups,
        columns: &mut Columns<'_>,
        input: &Rows<'_>,
        work: &mut Work<'_>,
    ) -> Result<Folded, DecodeError> {
        let Work {
            scratch, agents, out, ..
        } = work;
        let mut joined: Vec<(u32, u32)> = Vec::new();
        let watermark = agents.watermark();
        let folded = self.place(asks, groups, input, scratch, watermark, &mut joined);
        let in_time = folded.late.as_ref().map(|late| input.rows.and_not(late));
        let rows = in_time.as_ref().unwrap_or(input.rows);
        let spec = &asks.compiled.aggregate;
        let added = aggregate::fold(spec, columns, rows, &scratch.slot_of_row, &mut self.accumulators);
        for (from, into) in &joined {
            let part = std::mem::replace(&mut self.accumulators[*from as usize], Accumulator::new(spec));
            self.accumulators[*into as usize].merge(&part);
            self.remove(groups, *from);
        }
        added?;
        let touched = &mut scratch.touched;
        touched.retain(|slot| !joined.iter().any(|(from, _)| from == slot));
        touched.sort_by(|a, b| self.order(groups, *a).cmp(&self.order(groups, *b)));
        for slot in touched.iter() {
            if self.end(*slot) <= watermark {
                self.conclude(*slot, asks, groups, agents, out);
                out.corrections += 1;
            } else if asks.eager {
                self.judge_early(*slot, asks, groups, agents, out);
            }
        }
        Ok(folded)
    }

    fn order<'a>(&self, groups: &'a Groups, slot: u32) -> (i64, &'a [String]) {
        (self.end(slot), groups.labels(self.sessions[slot as usize].group))
    }

    /// Finds or makes the session of each row.
    fn place(
        &mut self,
        asks: &Asks,
        groups: &mut Groups,
        input: &Rows<'_>,
        scratch: &mut Scratch,
        watermark: i64,
        joined: &mut Vec<(u32, u32)>,
    ) -> Folded {
        let mut folded = Folded::default();
        scratch.clear();
        let known = scratch.slot_of_row.len();
        scratch.slot_of_row.resize(input.times.len().max(known), NONE);
        let over = watermark.saturating_sub(self.lateness).max(self.from_end);
        let mut table = vec![NONE; input.groups.len()];
        let mut interned = vec![NONE; input.groups.len()];
        for row in input.rows.iter_ones() {
            let (at, local) = (input.times[row], input.groups.of(row));
            let known = self.sessions.get(table[local] as usize);
            if known.is_some_and(|session| session.start <= at && at <= session.last) {
                scratch.slot_of_row[row] = table[local];
                continue;
            }
            if interned[local] == NONE {
                let labels = || input.groups.kept_labels(local, input.numbering);
                let (group, surplus) = groups.intern(input.groups.fingerprint(local), labels, input.cap);
                interned[local] = group;
                folded.surplus += u64::from(surplus);
            }
            let mut group = interned[local];
            let mut found = self.extended(group, at, joined);
            if found.is_none() && at.saturating_add(self.gap) <= over {
                let late = folded.late.get_or_insert_with(|| Bitmap::new(input.rows.len(), false));
                late.set(row, true);
                continue;
            }
            if found.is_none() && self.sessions.len() - self.free.len() >= input.max_cells {
                let other = groups.other(input.groups.labels(local).count());
                folded.surplus += u64::from(group != other);
                group = other;
                found = self.extended(other, at, joined);
            }
            let slot = found.unwrap_or_else(|| self.open(groups, &asks.compiled.aggregate, group, at));
            let end = self.end(slot);
            let session = &mut self.sessions[slot as usize];
            session.stored_at = session.stored_at.max(input.stored_at);
            if end > watermark {
                if session.closed {
                    (session.closed, session.fired) = (false, false);
                }
                // One that was closed waits for the end of its lateness, which may come after its new end.
                if session.due > end {
                    self.due.remove(&(session.due, slot));
                    session.due = end;
                    self.due.insert((end, slot));
                }
            }
            table[local] = slot;
            scratch.slot_of_row[row] = slot;
            scratch.touched.push(slot);
        }
        // A row within a session of which another row was pushed before needs no push of its own; those that were extended again and again are pushed once.
        scratch.touched.sort_unstable();
        scratch.touched.dedup();
        for group in interned {
            groups.release(group);
        }
        folded
    }

    /// The session of a group that an event at this time belongs to, made longer by it; two that it bridges become one.
    fn extended(&mut self, group: u32, at: i64, joined: &mut Vec<(u32, u32)>) -> Option<u32> {
        let gap = self.gap;
        let near = |session: &Session| at > session.start.saturating_sub(gap) && at < session.last.saturating_add(gap);
        let list = self.by_group.get_mut(group as usize)?;
        let first = list.iter().position(|slot| near(&self.sessions[*slot as usize]))?;
        let slot = list[first];
        let second = list
            .get(first + 1)
            .copied()
            .filter(|slot| near(&self.sessions[*slot as usize]));
        if let Some(second) = second {
            list.remove(first + 1);
            joined.push((second, slot));
            let gone = &mut self.sessions[second as usize];
            let (last, stored_at, fired, closed, said) =
                (gone.last, gone.stored_at, gone.fired, gone.closed, gone.said);
            (gone.start, gone.last) = (i64::MAX, i64::MIN);
            let session = &mut self.sessions[slot as usize];
            session.last = last;
            session.stored_at = session.stored_at.max(stored_at);
            // Of a joined session nothing has been said, unless of the part that it ends with.
            (session.fired, session.closed) = (fired, closed);
            session.said = Said {
                next: session.said.next.max(said.next),
                met: session.said.met || said.met,
            };
        }
        let session = &mut self.sessions[slot as usize];
        session.start = session.start.min(at);
        session.last = session.last.max(at);
        Some(slot)
    }

    fn open(&mut self, groups: &mut Groups, spec: &AggregateSpec, group: u32, at: i64) -> u32 {
        let due = at.saturating_add(self.gap);
        let session = Session {
            start: at,
            last: at,
            group,
            stored_at: i64::MIN,
            fired: false,
            closed: false,
            said: Said::default(),
            due,
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.sessions[slot as usize] = session;
                slot
            }
            None => {
                self.sessions.push(session);
                self.accumulators.push(Accumulator::new(spec));
                u32::try_from(self.sessions.len() - 1).unwrap_or(NONE)
            }
        };
        self.due.insert((due, slot));
        if self.by_group.len() <= group as usize {
            self.by_group.resize_with(group as usize + 1, Vec::new);
        }
        let (list, sessions) = (&mut self.by_group[group as usize], &self.sessions);
        let place = list.partition_point(|slot| sessions[*slot as usize].start < at);
        list.insert(place, slot);
        groups.hold(group);
        slot
    }

    /// Gives up a session whose value has been taken.
    fn remove(&mut self, groups: &mut Groups, slot: u32) {
        let session = &self.sessions[slot as usize];
        self.due.remove(&(session.due, slot));
        let group = session.group;
        if !session.is_joined()
            && let Some(list) = self.by_group.get_mut(group as usize)
        {
            list.retain(|other| *other != slot);
        }
        self.free.push(slot);
        groups.let_go(group);
    }

    fn judge_early(&mut self, slot: u32, asks: &Asks, groups: &mut Groups, agents: &Agents, out: &mut Verdicts) {
        let (session, accumulator) = (&self.sessions[slot as usize], &self.accumulators[slot as usize]);
        let end = session.last.saturating_add(self.gap);
        let value = accumulator.value(end.saturating_sub(session.start));
        if session.fired || !asks.may_judge_early(accumulator) || !asks.is_met(groups, session.group, value, out) {
            return;
        }
        let verdict = Verdict {
            start: session.start,
            end,
            group: session.group,
            value,
            top: accumulator.top(),
            met: true,
            running: true,
            revision: session.said.next,
            stored_at: session.stored_at,
        };
        asks.tell(groups, verdict, agents, out);
        let session = &mut self.sessions[slot as usize];
        session.fired = true;
        session.said = Said {
            next: session.said.next.saturating_add(1),
            met: true,
        };
    }

    fn conclude(&mut self, slot: u32, asks: &Asks, groups: &mut Groups, agents: &Agents, out: &mut Verdicts) {
        let session = &mut self.sessions[slot as usize];
        if session.start < self.whole {
            session.closed = true;
            return;
        }
        let said = session.said;
        let closed = Closed {
            start: session.start,
            end: session.last.saturating_add(self.gap),
            group: session.group,
            accumulator: &self.accumulators[slot as usize],
            stored_at: session.stored_at,
        };
        let (group, quiet) = (closed.group, closed.end.saturating_add(self.gap));
        let said = asks.conclude(groups, closed, said, agents, out);
        let session = &mut self.sessions[slot as usize];
        (session.closed, session.said) = (true, said);
        if is_owed(groups, group) {
            self.next_quiet = self.next_quiet.min(quiet);
        }
    }

    /// Closes every session whose end the watermark has passed.
    pub(super) fn close(&mut self, asks: &Asks, groups: &mut Groups, agents: &Agents, out: &mut Verdicts) {
        let watermark = agents.watermark();
        let mut ended: Vec<u32> = Vec::new();
        let mut over: Vec<u32> = Vec::new();
        while let Some((at, slot)) = self.due.first().copied()
            && at <= watermark
        {
            self.due.pop_first();
            let end = self.end(slot);
            let session = &mut self.sessions[slot as usize];
            if end <= watermark && !session.closed {
                ended.push(slot);
            }
            session.due = if end > watermark {
                end
            } else {
                end.saturating_add(self.lateness)
            };
            if session.due > watermark {
                self.due.insert((session.due, slot));
            } else {
                over.push(slot);
            }
        }
        ended.sort_by(|a, b| self.order(groups, *a).cmp(&self.order(groups, *b)));
        for slot in ended {
            self.end_before(slot, asks, groups, agents, out);
            self.conclude(slot, asks, groups, agents, out);
        }
        // `due` may hold an earlier time than a restart finds; slots and groups become free in the same order all the same.
        over.sort_unstable();
        for slot in over {
            let fresh = Accumulator::new(&asks.compiled.aggregate);
            self.accumulators[slot as usize] = fresh;
            let group = self.sessions[slot as usize].group;
            self.remove(groups, slot);
            groups.release(group);
        }
        if self.next_quiet <= watermark {
            self.judge_quiet(asks, groups, agents, out);
        }
    }

    /// When time has leapt over a session and the pause before it, the pause is told first.
    fn end_before(&self, slot: u32, asks: &Asks, groups: &mut Groups, agents: &Agents, out: &mut Verdicts) {
        let session = &self.sessions[slot as usize];
        let Some(told_until) = groups.get(session.group).map(|group| group.told_until) else {
            return;
        };
        let end = told_until.saturating_add(self.gap);
        if told_until > i64::MIN && end <= session.start && is_owed(groups, session.group) {
            asks.tell_empty(groups, session.group, told_until, end, agents, out);
        }
    }

    /// Tells of groups that were met that they have had no session for a gap.
    fn judge_quiet(&mut self, asks: &Asks, groups: &mut Groups, agents: &Agents, out: &mut Verdicts) {
        let watermark = agents.watermark();
        self.next_quiet = i64::MAX;
        for group in groups.met() {
            let told_until = groups.get(group).map_or(i64::MIN, |group| group.told_until);
            let end = told_until.saturating_add(self.gap);
            let mut sessions = self.by_group.get(group as usize).into_iter().flatten();
            // One that begins later does not make the gap before it shorter: it may be known already, and is in a replay.
            let under_way = |slot: &u32| {
                let session = &self.sessions[*slot as usize];
                !session.closed && session.start < end
            };
            if sessions.any(under_way) {
                continue;
            }
            if end <= watermark {
                asks.tell_empty(groups, group, told_until, end, agents, out);
            }
            // Told while data is missing, it is told again.
            if is_owed(groups, group) {
                let told_until = groups.get(group).map_or(i64::MIN, |group| group.told_until);
                self.next_quiet = self.next_quiet.min(told_until.saturating_add(self.gap));
            }
        }
    }

    /// A group is owed a verdict.
    pub(super) const fn owe(&mut self) {
        self.next_quiet = i64::MIN;
    }

    /// Sessions in progress that a rule may have.
    pub(super) fn max_cells(limits: &Limits) -> usize {
        limits.groups.saturating_mul(SESSIONS_PER_GROUP).min(limits.cells)
    }
}

/// Whether alerting may hold the group's alert open.
fn is_owed(groups: &Groups, group: u32) -> bool {
    groups.get(group).is_some_and(|group| group.standing == Standing::Met)
}
