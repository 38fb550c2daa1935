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
    index::{Index, Plan},
    numbering::Numbering,
    run::Run,
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
    /// Groups of the rows, by the number of the list of attributes.
    groups: Vec<Option<Rc<LocalGroups>>>,
    /// What rules without windows have worked out.
    pub(super) sight: Sight,
}

impl<'a> Part<'a> {
    pub(super) fn new(columns: Columns<'a>, times: Rc<Vec<i64>>, index: &Index) -> Self {
        let (filters, groupings) = index.distinct();
        Self {
            columns,
            times,
            carriers: None,
            matches: vec![None; filters],
            groups: vec![None; groupings],
            sight: Sight::default(),
        }
    }

    pub(super) fn rows_and_groups(
        &mut self,
        plan: Plan,
        run: &Run,
        numberings: &mut [Numbering],
    ) -> Result<(Rc<Bitmap>, Rc<LocalGroups>), DecodeError> {
        let compiled = &run.asks.compiled;
        let matches = match &self.matches[plan.filter] {
            Some(known) => Rc::clone(known),
            None => {
                let fresh = Rc::new(compiled.filter.eval_columns(&mut self.columns)?);
                self.matches[plan.filter] = Some(Rc::clone(&fresh));
                fresh
            }
        };
        let groups = match &self.groups[plan.grouping] {
            Some(known) => Rc::clone(known),
            None => {
                let fresh = LocalGroups::new(&mut self.columns, &compiled.group_by)?;
                let fresh = Rc::new(match numberings.get_mut(plan.grouping) {
                    Some(numbering) => fresh.numbered(numbering),
                    None => fresh,
                });
                self.groups[plan.grouping] = Some(Rc::clone(&fresh));
                fresh
            }
        };
        Ok((matches, groups))
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
