//! One group's running aggregate.

use serde::{Deserialize, Serialize};

use super::{
    AggregateSpec, Frequent, Func,
    distinct::Distinct,
    frequent::{Hashed, TopValues},
    moments::{Spread, Total},
    quantile::Quantiles,
};

/// The running aggregate of one group and window.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Accumulator {
    pub(super) state: State,
    /// Values that went in.
    samples: u64,
    /// Values left out because they are not finite numbers.
    ignored: u64,
}

/// What each function keeps.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum State {
    Count,
    Rate,
    Sum {
        total: Total,
        negative: bool,
    },
    Avg(Total),
    Min(f64),
    Max(f64),
    /// Boxed, because no other is as large: all of them fit half a line of memory.
    Stddev(Box<Spread>),
    Percentile {
        quantile: f64,
        sketch: Quantiles,
    },
    Distinct(Distinct),
    First {
        at: i64,
        value: f64,
    },
    Last {
        at: i64,
        value: f64,
    },
    Top {
        k: u32,
        values: Box<TopValues>,
    },
}

impl AsMut<Self> for Accumulator {
    fn as_mut(&mut self) -> &mut Self {
        self
    }
}

impl Accumulator {
    /// An empty one.
    #[must_use]
    pub fn new(spec: &AggregateSpec) -> Self {
        let state = match spec.func {
            Func::Count => State::Count,
            Func::Rate => State::Rate,
            Func::Sum => State::Sum {
                total: Total::default(),
                negative: false,
            },
            Func::Avg => State::Avg(Total::default()),
            Func::Min => State::Min(f64::INFINITY),
            Func::Max => State::Max(f64::NEG_INFINITY),
            Func::Stddev => State::Stddev(Box::default()),
            Func::Percentile(quantile) => State::Percentile {
                quantile,
                sketch: Quantiles::new(),
            },
            Func::Distinct => State::Distinct(Distinct::new()),
            Func::First => State::First {
                at: i64::MAX,
                value: f64::INFINITY,
            },
            Func::Last => State::Last {
                at: i64::MIN,
                value: f64::NEG_INFINITY,
            },
            Func::TopK(k) => State::Top {
                k,
                values: Box::new(TopValues::new(k)),
            },
        };
        Self {
            state,
            samples: 0,
            ignored: 0,
        }
    }

    /// One of which this is known.
    pub(super) const fn of(state: State, samples: u64, ignored: u64) -> Self {
        Self {
            state,
            samples,
            ignored,
        }
    }

    /// Adds events that carry no value of their own: `count()` and `rate()`.
    pub(super) const fn add_events(&mut self, count: u64) {
        self.samples += count;
    }

    /// Adds a value with its event time.
    pub(super) fn add_number(&mut self, at: i64, number: f64) {
        if !number.is_finite() {
            self.ignored += 1;
            return;
        }
        self.samples += 1;
        match &mut self.state {
            State::Count | State::Rate | State::Distinct(_) | State::Top { .. } => {}
            State::Sum { total, negative } => {
                *negative |= number < 0.0;
                total.add(number);
            }
            State::Avg(total) => total.add(number),
            State::Min(least) => *least = least.min(number),
            State::Max(most) => *most = most.max(number),
            State::Stddev(spread) => spread.add(number),
            State::Percentile { sketch, .. } => sketch.add(number),
            State::First { at: first, value } => {
                if (at, number) < (*first, *value) {
                    (*first, *value) = (at, number);
                }
            }
            State::Last { at: last, value } => {
                if (at, number) > (*last, *value) {
                    (*last, *value) = (at, number);
                }
            }
        }
    }

    /// Adds one value of a distinct count.
    pub(super) fn add_coupon(&mut self, coupon: datasketches::hll::Coupon) {
        self.samples += 1;
        if let State::Distinct(distinct) = &mut self.state {
            distinct.add(coupon);
        }
    }

    /// Adds one value of a top-k.
    pub(super) fn add_value(&mut self, value: &Hashed<'_>) {
        self.samples += 1;
        if let State::Top { values, .. } = &mut self.state {
            values.add(value);
        }
    }

    /// Takes in another part of the same aggregate. A part of another aggregate changes nothing.
    pub fn merge(&mut self, other: &Self) {
        match (&mut self.state, &other.state) {
            (State::Count, State::Count) | (State::Rate, State::Rate) => {}
            (
                State::Sum { total, negative },
                State::Sum {
                    total: more,
                    negative: also,
                },
            ) => {
                total.merge(*more);
                *negative |= also;
            }
            (State::Avg(total), State::Avg(more)) => total.merge(*more),
            (State::Min(least), State::Min(value)) => *least = least.min(*value),
            (State::Max(most), State::Max(value)) => *most = most.max(*value),
            (State::Stddev(spread), State::Stddev(more)) => spread.merge(**more),
            (State::Percentile { sketch, .. }, State::Percentile { sketch: more, .. }) => sketch.merge(more),
            (State::Distinct(distinct), State::Distinct(more)) => distinct.merge(more),
            (State::Top { values, .. }, State::Top { values: more, .. }) => values.merge(more),
            (
                State::First { at, value },
                State::First {
                    at: more,
                    value: theirs,
                },
            ) => {
                if (*more, *theirs) < (*at, *value) {
                    (*at, *value) = (*more, *theirs);
                }
            }
            (
                State::Last { at, value },
                State::Last {
                    at: more,
                    value: theirs,
                },
            ) => {
                if (*more, *theirs) > (*at, *value) {
                    (*at, *value) = (*more, *theirs);
                }
            }
            _ => return,
        }
        self.samples += other.samples;
        self.ignored += other.ignored;
    }

    /// The aggregate's value over a window of this length; `None` when nothing went in and the function has no value then.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts and window lengths stay far below 2^53"
    )]
    pub fn value(&self, window_ms: i64) -> Option<f64> {
        let count = self.samples as f64;
        match &self.state {
            State::Count => Some(count),
            State::Rate => Some(count / (window_ms.max(1) as f64 / 1000.0)),
            State::Distinct(distinct) => Some(distinct.estimate()),
            _ if self.samples == 0 => None,
            State::Sum { total, .. } => Some(total.value()),
            State::Avg(total) => Some(total.value() / count),
            State::Min(value) | State::Max(value) | State::First { value, .. } | State::Last { value, .. } => {
                Some(*value)
            }
            State::Stddev(spread) => Some(spread.deviation()),
            State::Percentile { quantile, sketch } => sketch.value(*quantile),
            State::Top { values, .. } => values.most().map(|count| count as f64),
        }
    }

    /// The most frequent values of a top-k; empty for every other function.
    #[must_use]
    pub fn top(&self) -> Vec<Frequent> {
        match &self.state {
            State::Top { k, values } => values.top(*k),
            _ => Vec::new(),
        }
    }

    /// How often a value that is not in [`Self::top`] may have occurred without a counter of its own; 0 for every other function.
    #[must_use]
    pub fn unseen(&self) -> u64 {
        match &self.state {
            State::Top { values, .. } => values.unseen(),
            _ => 0,
        }
    }

    /// Whether this may be what so many events of these times added to such an aggregate, without an overflow: for a state that comes from another machine, before
    /// it is merged. The most frequent values never are.
    #[must_use]
    pub fn is_sound(&self, spec: &AggregateSpec, events: u64, (first, last): (i64, i64)) -> bool {
        let (values, empty) = (self.samples, self.samples == 0);
        let at_some = |at: i64, value: f64| value.is_finite() && (first..=last).contains(&at);
        let fits = match (&self.state, spec.func) {
            (State::Count, Func::Count) | (State::Rate, Func::Rate) => true,
            (State::Sum { total, .. }, Func::Sum) | (State::Avg(total), Func::Avg) => total.is_sound(values),
            (State::Min(least), Func::Min) => least.is_finite() != empty && (!empty || *least > 0.0),
            (State::Max(most), Func::Max) => most.is_finite() != empty && (!empty || *most < 0.0),
            (State::Stddev(spread), Func::Stddev) => spread.is_sound(values),
            (State::First { at, value }, Func::First) => {
                if empty {
                    *at == i64::MAX
                } else {
                    at_some(*at, *value)
                }
            }
            (State::Last { at, value }, Func::Last) => {
                if empty {
                    *at == i64::MIN
                } else {
                    at_some(*at, *value)
                }
            }
            (State::Percentile { quantile, sketch }, Func::Percentile(wanted)) => {
                (*quantile - wanted).abs() < f64::EPSILON && sketch.is_sound(self.samples)
            }
            (State::Distinct(distinct), Func::Distinct) => distinct.is_sound(values),
            _ => false,
        };
        let values = self.samples.checked_add(self.ignored);
        fits && values.is_some_and(|values| values <= events)
    }

    /// Whether it holds a number that is none because it was too large: parts of such a state do not add up.
    pub(crate) fn overflowed(&self) -> bool {
        match &self.state {
            State::Sum { total, .. } | State::Avg(total) => !total.is_sound(1),
            State::Stddev(spread) => !spread.is_sound(self.samples),
            _ => false,
        }
    }

    /// Values that went in.
    #[must_use]
    pub const fn samples(&self) -> u64 {
        self.samples
    }

    /// Values that were left out because they are not finite numbers.
    #[must_use]
    pub const fn ignored(&self) -> u64 {
        self.ignored
    }

    /// Whether, judging by what went in so far, more values can only make the result larger.
    #[must_use]
    pub const fn only_grows(&self) -> bool {
        match &self.state {
            State::Count | State::Rate | State::Max(_) | State::Distinct(_) => true,
            State::Sum { negative, .. } => !*negative,
            _ => false,
        }
    }
}
