//! Label sets and series.

use std::collections::BTreeMap;

use promql_parser::parser::LabelModifier;

/// The label that holds a metric's name.
pub(super) const NAME: &str = "__name__";

/// Labels by name.
pub(super) type Labels = BTreeMap<String, String>;

/// One series of samples.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Series {
    pub(super) labels: Labels,
    /// Time in ms and value, oldest first, one for each time.
    pub(super) samples: Vec<(i64, f64)>,
}

/// One value of an instant vector.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Point {
    pub(super) labels: Labels,
    pub(super) value: f64,
    /// Time of the sample behind it, ms.
    pub(super) at: i64,
}

impl Point {
    /// The value in place of this one; the name goes, since it is no longer that metric.
    pub(super) fn become_unnamed(mut self, value: f64) -> Self {
        self.labels.remove(NAME);
        self.value = value;
        self
    }
}

/// The labels that a `by`, `without`, `on` or `ignoring` keeps; without any, `none`.
pub(super) fn keep(labels: &Labels, modifier: Option<&LabelModifier>, none: bool) -> Labels {
    let listed = |name: &str, list: &[String]| list.iter().any(|one| one == name);
    let kept = labels.iter().filter(|(name, _)| match modifier {
        Some(LabelModifier::Include(list)) => listed(name, &list.labels),
        Some(LabelModifier::Exclude(list)) => *name != NAME && !listed(name, &list.labels),
        None => none && *name != NAME,
    });
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}
