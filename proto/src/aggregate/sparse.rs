//! Sketches that are kept as their values while these are few.

use std::borrow::Cow;

/// Values up to which they are kept as they are: most groups have few, a look at them takes one place in memory, and a sketch takes kilobytes.
const FEW: usize = 32;

/// What remembers of values only what is asked of them.
pub(super) trait Sketch: Clone {
    /// What goes in.
    type Value: Copy;

    /// One of no values.
    fn empty() -> Self;

    /// One value more.
    fn take(&mut self, value: Self::Value);
}

/// It answers, merges and is written as the sketch of its values, whichever it holds.
#[derive(Clone)]
pub(super) enum Sparse<S: Sketch> {
    /// In the order in which they came.
    Few(Vec<S::Value>),
    Many(Box<S>),
}

impl<S: Sketch> Sparse<S> {
    pub(super) const fn new() -> Self {
        Self::Few(Vec::new())
    }

    pub(super) fn add(&mut self, value: S::Value) {
        match self {
            Self::Few(values) if values.len() < FEW => values.push(value),
            Self::Few(_) => self.many().take(value),
            Self::Many(sketch) => sketch.take(value),
        }
    }

    /// The values, while they are few.
    pub(super) fn few(&self) -> Option<&[S::Value]> {
        match self {
            Self::Few(values) => Some(values),
            Self::Many(_) => None,
        }
    }

    /// Goes over to a sketch.
    pub(super) fn many(&mut self) -> &mut S {
        if let Self::Few(values) = self {
            let sketch: S = of(values);
            *self = sketch.into();
        }
        match self {
            Self::Many(sketch) => sketch,
            Self::Few(_) => unreachable!("it was made a sketch"),
        }
    }

    /// The sketch of its values.
    pub(super) fn sketch(&self) -> Cow<'_, S> {
        match self {
            Self::Few(values) => Cow::Owned(of(values)),
            Self::Many(sketch) => Cow::Borrowed(sketch),
        }
    }
}

impl<S: Sketch> From<S> for Sparse<S> {
    fn from(sketch: S) -> Self {
        Self::Many(Box::new(sketch))
    }
}

fn of<S: Sketch>(values: &[S::Value]) -> S {
    let mut sketch = S::empty();
    values.iter().for_each(|value| sketch.take(*value));
    sketch
}
