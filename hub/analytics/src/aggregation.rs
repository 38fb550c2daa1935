//! Aggregates over stored events by group and step of time: the same cells as a rule's windows, filled from a scan.

use std::{
    collections::{BTreeMap, HashMap},
    ops::ControlFlow,
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
};

use serde::Serialize;
use streamflow_proto::{
    aggregate::{AggregateSpec, Frequent, Func},
    batch::{Batch, DecodeError},
    bitmap::Bitmap,
    filter::{Columns, Filter},
    path::Path,
};
use streamflow_storage::{StoreError, store::Store};

use crate::engine::{
    cells::{Cells, Input, Scratch, window_start},
    grouping::LocalGroups,
    groups::Groups,
    numbering::Numbering,
    selection::Selection,
};

/// Most points of an answer.
pub const MAX_POINTS: i64 = 100_000;
/// Most points of an answer made of sketches, which take kilobytes each while they are filled.
pub const MAX_SKETCHES: i64 = 10_000;

/// What to compute.
#[derive(Debug, Clone)]
pub struct AggregationQuery {
    /// The aggregate.
    pub spec: AggregateSpec,
    /// Which events count.
    pub filter: Arc<Filter>,
    /// One series for each combination of these attributes.
    pub group_by: Vec<Path>,
    /// Only the combination with these values, by attribute.
    pub only: Option<BTreeMap<String, String>>,
    /// Event time from, inclusive.
    pub from: i64,
    /// Event time to, exclusive.
    pub to: i64,
    /// Length of a step, ms.
    pub step: i64,
}

/// One group's values over time.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct GroupSeries {
    /// Attributes and their values; all `other` for the groups beyond the limit.
    pub group: BTreeMap<String, String>,
    /// Begin of each step, its value, and whether all hosts have reported past its end.
    #[schema(value_type = Vec<Vec<Object>>)]
    pub points: Vec<(i64, f64, bool)>,
    /// Of a top-k: begin of each step and its most frequent values, each with its count and by how much that may be too large.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Vec<Object>>)]
    pub top: Vec<(i64, Vec<Frequent>)>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AggregationError {
    /// `from` is not before `to`.
    #[error("must be before `to`")]
    Range,
    /// The step is too short.
    #[error("must be at least 1s")]
    Step,
    /// Too many steps.
    #[error("{steps} steps are too many, at most {max} are allowed; take a longer `step` or a shorter range")]
    TooManySteps {
        /// Steps asked for.
        steps: i64,
        /// Steps allowed.
        max: i64,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored batch does not decode.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

impl AggregationQuery {
    /// Number of steps that the range touches, when that is allowed.
    fn steps(&self) -> Result<i64, AggregationError> {
        if self.step < 1000 {
            return Err(AggregationError::Step);
        }
        if self.from >= self.to {
            return Err(AggregationError::Range);
        }
        let steps = (self.to - 1).div_euclid(self.step) - self.from.div_euclid(self.step) + 1;
        let max = self.max_points();
        if steps > max {
            Err(AggregationError::TooManySteps { steps, max })
        } else {
            Ok(steps)
        }
    }

    const fn max_points(&self) -> i64 {
        if self.spec.is_sketch() {
            MAX_SKETCHES
        } else {
            MAX_POINTS
        }
    }

    /// Computes it over the store. Steps that end after `complete_until` are marked incomplete. At most `max_groups` groups are told apart.
    ///
    /// # Errors
    /// When the range or step is not allowed, or the store fails.
    pub async fn run(
        &self,
        store: &dyn Store,
        max_groups: usize,
        complete_until: i64,
    ) -> Result<Vec<GroupSeries>, AggregationError> {
        let steps = self.steps()?;
        let room = usize::try_from(self.max_points() / steps).unwrap_or(1);
        let collector = Collector {
            query: self.clone(),
            cap: max_groups.min(room).max(1),
            groups: Groups::default(),
            cells: Cells::new(self.step),
            numbering: Numbering::new(),
            places: Vec::new(),
            scratch: Scratch::default(),
            failed: None,
        };
        // The store calls the visitor from a thread of its own and drops it before the scan answers; the lock is never waited for.
        let shared = Arc::new(Mutex::new(collector));
        let visitor = Arc::clone(&shared);
        let visit = Box::new(move |batch: &Batch, rows: &Bitmap| {
            let mut collector = visitor.lock().unwrap_or_else(PoisonError::into_inner);
            match collector.add(batch, rows) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    collector.failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        });
        store
            .scan(Some(self.from), Some(self.to), Some(Arc::clone(&self.filter)), visit)
            .await?;
        let mut collector = shared.lock().unwrap_or_else(PoisonError::into_inner);
        match collector.failed.take() {
            Some(error) => Err(error.into()),
            None => Ok(collector.finish(complete_until)),
        }
    }
}

/// Cells that a scan fills.
struct Collector {
    query: AggregationQuery,
    cap: usize,
    groups: Groups,
    cells: Cells,
    numbering: Numbering,
    places: Vec<u32>,
    scratch: Scratch,
    failed: Option<DecodeError>,
}

impl Collector {
    fn add(&mut self, batch: &Batch, rows: &Bitmap) -> Result<(), DecodeError> {
        let mut columns = Columns::new(batch);
        let times: Rc<Vec<i64>> = columns.timestamps()?;
        let groups = LocalGroups::new(&mut columns, &self.query.group_by)?.numbered(&mut self.numbering);
        let chosen = self.query.only.as_ref().map(|only| {
            let names = || self.query.group_by.iter().map(ToString::to_string);
            let wanted: Vec<String> = names()
                .map(|name| only.get(&name).cloned().unwrap_or_default())
                .collect();
            let wanted: Vec<bool> = (0..groups.len())
                .map(|group| groups.labels(group).eq(&wanted))
                .collect();
            Bitmap::from_fn(rows.len(), |row| rows.get(row) && wanted[groups.of(row)])
        });
        let rows = chosen.as_ref().unwrap_or(rows);
        let pane = self.cells.size();
        let selection = Selection::new((rows, &times), &groups, pane, &mut self.numbering, &mut self.places);
        let input = Input {
            selection: &selection,
            groups: &groups,
            numbering: &self.numbering,
            rows: times.len(),
            floor: i64::MIN,
            stored_at: 0,
            cap: self.cap,
            max_cells: usize::MAX,
            watch: None,
        };
        self.cells
            .fold(
                &mut self.groups,
                &self.query.spec,
                &mut columns,
                &input,
                &mut self.scratch,
            )
            .map(|_| ())
    }

    /// Counts have a value, zero, in every step; other aggregates only where there were events.
    fn finish(&mut self, complete_until: i64) -> Vec<GroupSeries> {
        let (query, step) = (self.query.clone(), self.query.step);
        let names: Vec<String> = query.group_by.iter().map(ToString::to_string).collect();
        let mut by_group: BTreeMap<Vec<String>, HashMap<i64, f64>> = BTreeMap::new();
        let mut tops: HashMap<Vec<String>, Vec<(i64, Vec<Frequent>)>> = HashMap::new();
        while let Some(start) = self.cells.first_pane(i64::MIN) {
            let Some(pane) = self.cells.take_pane(&mut self.groups, start) else {
                break;
            };
            for slot in pane.slots() {
                let (group, accumulator) = (pane.group(slot), pane.accumulator(slot));
                let points = by_group.entry(self.groups.labels(group).to_vec()).or_default();
                points.extend(accumulator.value(step).map(|value| (start, value)));
                let top = accumulator.top();
                if !top.is_empty() {
                    let labels = self.groups.labels(group).to_vec();
                    tops.entry(labels).or_default().push((start, top));
                }
            }
        }
        let zero = matches!(query.spec.func, Func::Count | Func::Rate).then_some(0.0);
        if zero.is_some() && names.is_empty() {
            by_group.entry(Vec::new()).or_default();
        }
        let first = window_start(query.from, step);
        let starts = || {
            std::iter::successors(Some(first), |start| start.checked_add(step)).take_while(|start| *start < query.to)
        };
        by_group
            .into_iter()
            .map(|(labels, values)| {
                let value = |start: i64| {
                    values
                        .get(&start)
                        .copied()
                        .or(zero)
                        .map(|value| (start, value, start.saturating_add(step) <= complete_until))
                };
                GroupSeries {
                    top: tops.remove(&labels).unwrap_or_default(),
                    group: names.iter().cloned().zip(labels).collect(),
                    points: starts().filter_map(value).collect(),
                }
            })
            // A group whose events lack what is aggregated has nothing to show.
            .filter(|series| !series.points.is_empty())
            .collect()
    }
}
