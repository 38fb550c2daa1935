//! One part of the log with what was worked out of it once for all rules and spans.

use std::{collections::BTreeMap, rc::Rc};

use streamflow_proto::{
    batch::{DecodeError, Dict},
    bitmap::Bitmap,
    filter::Columns,
    path::Path,
};

use super::{
    Late,
    grouping::LocalGroups,
    index::{Distinct, Entry, Index, Plan},
    numbering::Numbering,
    run::Run,
    selection::Selection,
    watch::Sight,
};

/// A batch of the log while rules read it.
pub(super) struct Part<'a> {
    pub(super) columns: Columns<'a>,
    pub(super) times: Rc<Vec<i64>>,
    /// Rows with what hosts counted for metrics: no events of anybody, but they tell how far a host has come.
    pub(super) carriers: Option<Bitmap>,
    /// Rows that match, by the number of the filter.
    matches: Vec<Option<Rc<Bitmap>>>,
    /// The rows of each value of the attributes by which rules are filed.
    by_value: Vec<Option<Rc<RowsOfValues>>>,
    /// Groups of the rows, by the number of the list of attributes.
    groups: Vec<Option<Rc<LocalGroups>>>,
    /// Of the span under way: the rows that match, by the number of the filter …
    rows: Vec<Option<Rc<Bitmap>>>,
    /// … and the same by pane and group, by the number of the selection.
    selections: Vec<Option<Rc<Selection>>>,
    /// What rules without windows have worked out.
    pub(super) sight: Sight,
}

/// The rows of a batch sorted by the value that they have.
#[derive(Debug)]
struct RowsOfValues {
    rows: Vec<u32>,
    /// Where the rows of each value end.
    ends: Vec<u32>,
}

impl RowsOfValues {
    fn new(dict: &Dict) -> Self {
        let mut ends = vec![0_u32; dict.values.len()];
        for id in &dict.ids {
            if let Some(count) = ends.get_mut(*id as usize) {
                *count += 1;
            }
        }
        let mut total = 0;
        for end in &mut ends {
            // For now where they begin.
            total += std::mem::replace(end, total);
        }
        let mut rows = vec![0; total as usize];
        for (row, id) in (0..).zip(&dict.ids) {
            if let Some(next) = ends.get_mut(*id as usize) {
                rows[*next as usize] = row;
                *next += 1;
            }
        }
        Self { rows, ends }
    }

    fn of(&self, id: u32) -> &[u32] {
        let end_of = |id: usize| self.ends.get(id).map_or(0, |end| *end as usize);
        let begin = (id as usize).checked_sub(1).map_or(0, end_of);
        self.rows.get(begin..end_of(id as usize)).unwrap_or_default()
    }
}

/// What outlives a part of the log.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Of groups, by the number of the list of attributes.
    pub(super) numberings: Vec<Numbering>,
    /// Room for work.
    places: Vec<u32>,
}

impl Shared {
    /// For rules that differ in so many ways.
    pub(super) fn new(distinct: Distinct) -> Self {
        Self {
            numberings: (0..distinct.groupings).map(|_| Numbering::new()).collect(),
            places: Vec::new(),
        }
    }
}

/// What a rule adds of a span.
pub(super) struct Chosen {
    pub(super) rows: Rc<Bitmap>,
    pub(super) groups: Rc<LocalGroups>,
    /// The rows by pane; of a rule without panes nothing.
    pub(super) selection: Rc<Selection>,
}

impl<'a> Part<'a> {
    pub(super) fn new(columns: Columns<'a>, times: Rc<Vec<i64>>, index: &Index) -> Self {
        let distinct = index.distinct();
        Self {
            columns,
            times,
            carriers: None,
            matches: vec![None; distinct.filters],
            by_value: vec![None; index.paths()],
            groups: vec![None; distinct.groupings],
            rows: vec![None; distinct.filters],
            selections: vec![None; distinct.selections],
            sight: Sight::default(),
        }
    }

    /// Forgets what it knows of the span before.
    pub(super) fn begin_span(&mut self) {
        self.rows.fill(None);
        self.selections.fill(None);
    }

    /// What a rule adds of the span under way, of which `counted` are rows; nothing when no row matches.
    pub(super) fn chosen(
        &mut self,
        (plan, entries): (Plan, impl Iterator<Item = Entry> + Clone),
        run: &Run,
        counted: &Bitmap,
        index: &Index,
        shared: &mut Shared,
    ) -> Result<Option<Chosen>, DecodeError> {
        let rows = self.rows((plan, entries), run, counted, index)?;
        if rows.is_empty() {
            return Ok(None);
        }
        let numbering = &mut shared.numberings[plan.grouping];
        let groups = match &self.groups[plan.grouping] {
            Some(known) => Rc::clone(known),
            None => {
                let fresh = LocalGroups::new(&mut self.columns, &run.asks.compiled.group_by)?;
                let fresh = Rc::new(fresh.numbered(numbering));
                self.groups[plan.grouping] = Some(Rc::clone(&fresh));
                fresh
            }
        };
        let selection = match &self.selections[plan.selection] {
            Some(known) => Rc::clone(known),
            None => {
                let fresh = match plan.pane {
                    Some(pane) => Selection::new((&rows, &self.times), &groups, pane, numbering, &mut shared.places),
                    None => {
                        // Sessions keep labels, too.
                        for row in rows.iter_ones() {
                            groups.number(groups.of(row), numbering);
                        }
                        Selection::default()
                    }
                };
                let fresh = Rc::new(fresh);
                self.selections[plan.selection] = Some(Rc::clone(&fresh));
                fresh
            }
        };
        Ok(Some(Chosen {
            rows,
            groups,
            selection,
        }))
    }

    fn rows(
        &mut self,
        (plan, entries): (Plan, impl Iterator<Item = Entry> + Clone),
        run: &Run,
        counted: &Bitmap,
        index: &Index,
    ) -> Result<Rc<Bitmap>, DecodeError> {
        if let Some(known) = &self.rows[plan.filter] {
            return Ok(Rc::clone(known));
        }
        let matches = match &self.matches[plan.filter] {
            Some(known) => Rc::clone(known),
            None => {
                let (among, filter) = (self.among(entries, index)?, &run.asks.compiled.filter);
                let fresh = Rc::new(match among {
                    Some(among) => filter.eval_among(&mut self.columns, &among)?,
                    None => filter.eval_columns(&mut self.columns)?,
                });
                self.matches[plan.filter] = Some(Rc::clone(&fresh));
                fresh
            }
        };
        let rows = Rc::new(matches.and(counted));
        self.rows[plan.filter] = Some(Rc::clone(&rows));
        Ok(rows)
    }

    /// The rows that have one of these values; `None` when there are no values to ask for.
    fn among(
        &mut self,
        entries: impl Iterator<Item = Entry> + Clone,
        index: &Index,
    ) -> Result<Option<Bitmap>, DecodeError> {
        let Some(Entry { path, .. }) = entries.clone().next() else {
            return Ok(None);
        };
        let rows = match &self.by_value[path] {
            Some(known) => Rc::clone(known),
            None => {
                let dict = index.path(path).map(|path| self.columns.strings(path)).transpose()?;
                let Some(dict) = dict.flatten() else {
                    return Ok(None);
                };
                let fresh = Rc::new(RowsOfValues::new(&dict));
                self.by_value[path] = Some(Rc::clone(&fresh));
                fresh
            }
        };
        let mut among = Bitmap::new(self.times.len(), false);
        for entry in entries {
            rows.of(entry.id).iter().for_each(|row| among.set(*row as usize, true));
        }
        Ok(Some(among))
    }

    /// Rows that came too late, by their source.
    pub(super) fn late(&mut self, agent: &str, rows: &Bitmap) -> Vec<Late> {
        let sources = Path::parse("source")
            .ok()
            .and_then(|path| self.columns.strings(&path).ok())
            .flatten();
        let mut by_source: BTreeMap<&str, u64> = BTreeMap::new();
        for row in rows.iter_ones() {
            let source = sources.as_ref().and_then(|dict: &Rc<Dict>| dict.get(row));
            *by_source.entry(source.unwrap_or("")).or_default() += 1;
        }
        let late = by_source.into_iter().map(|(source, events)| Late {
            agent: agent.to_owned(),
            source: source.to_owned(),
            events,
        });
        late.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_by_their_value() {
        let dict = Dict {
            values: ["a", "b", "c"].map(str::to_owned).to_vec(),
            ids: vec![2, 0, Dict::ABSENT, 2, 0, 2],
        };
        let rows = RowsOfValues::new(&dict);
        assert_eq!([0, 1, 2, 3].map(|id| rows.of(id)), [&[1, 4][..], &[], &[0, 3, 5], &[]]);
    }
}
