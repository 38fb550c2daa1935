//! The rows of a batch that pass a filter, by pane and group: worked out once for all rules that ask the same.

use std::collections::BTreeMap;

use streamflow_proto::{aggregate::Picked, bitmap::Bitmap};

use super::{cells::window_start, grouping::LocalGroups, numbering::Numbering};

/// Selected rows, by pane in the order of time.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    pub(crate) stretches: Vec<Stretch>,
}

/// The rows of one pane.
#[derive(Debug)]
pub(crate) struct Stretch {
    /// Start of the pane.
    pub(crate) start: i64,
    pub(crate) picked: Picked,
    /// The groups that the rows have, in the order of their first rows: their numbers within the batch …
    pub(crate) groups: Vec<u32>,
    /// … and beyond it.
    pub(crate) numbers: Vec<u32>,
}

/// No place yet.
const NONE: u32 = u32::MAX;

impl Selection {
    /// Sorts rows into panes of this size. `places` is room for work, and may be used again.
    pub(crate) fn new(
        (rows, times): (&Bitmap, &[i64]),
        groups: &LocalGroups,
        size: i64,
        numbering: &mut Numbering,
        places: &mut Vec<u32>,
    ) -> Self {
        if places.len() < groups.len() {
            places.resize(groups.len(), NONE);
        }
        let panes = by_pane(rows, times, size).into_iter();
        let stretches = panes.map(|(start, rows)| {
            let mut stretch = Stretch::new(start, rows, groups, places);
            let numbers = stretch.groups.iter();
            stretch.numbers = numbers.map(|group| groups.number(*group as usize, numbering)).collect();
            stretch
        });
        Self {
            stretches: stretches.collect(),
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "rows of a batch are numbered in 32 bits")]
fn by_pane(rows: &Bitmap, times: &[i64], size: i64) -> BTreeMap<i64, Vec<u32>> {
    let mut panes: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
    let (mut start, mut end) = (i64::MAX, i64::MIN);
    // Most batches lie in one pane, so it is looked up when it changes and not for every row.
    let mut list = Vec::with_capacity(rows.count_ones());
    for row in rows.iter_ones() {
        let at = times[row];
        if at < start || at >= end {
            if !list.is_empty() {
                panes.insert(start, std::mem::take(&mut list));
            }
            start = window_start(at, size);
            end = start.saturating_add(size);
            if let Some(known) = panes.remove(&start) {
                list = known;
            }
        }
        list.push(row as u32);
    }
    if !list.is_empty() {
        panes.insert(start, list);
    }
    panes
}

impl Stretch {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a batch has no more groups than rows, and one"
    )]
    fn new(start: i64, rows: Vec<u32>, groups: &LocalGroups, places: &mut [u32]) -> Self {
        let (mut of_rows, mut counts, mut found) = (Vec::with_capacity(rows.len()), Vec::new(), Vec::new());
        for row in &rows {
            let group = groups.of(*row as usize);
            let place = &mut places[group];
            if *place == NONE {
                *place = found.len() as u32;
                found.push(group as u32);
                counts.push(0);
            }
            of_rows.push(*place);
            counts[*place as usize] += 1;
        }
        found.iter().for_each(|group| places[*group as usize] = NONE);
        Self {
            start,
            picked: Picked {
                rows,
                groups: of_rows,
                counts,
            },
            groups: found,
            numbers: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_jump_between_panes_are_together_in_the_order_of_time() {
        let times = [70, 10, 75, 130, 12, 71, -1];
        let rows = Bitmap::from_fn(times.len(), |row| row != 3);
        let panes: Vec<_> = by_pane(&rows, &times, 60).into_iter().collect();
        assert_eq!(panes, [(-60, vec![6]), (0, vec![1, 4]), (60, vec![0, 2, 5])]);
        assert!(by_pane(&Bitmap::new(7, false), &times, 60).is_empty());
    }
}
