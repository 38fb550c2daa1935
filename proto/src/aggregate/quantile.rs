//! Quantiles within 1 % of the value, by DDSketch.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sketches_ddsketch::{Config, DDSketch};

/// Relative error.
const ERROR: f64 = 0.01;
/// Most bins of each sign.
const BINS: u32 = 2048;
/// Smaller values count as zero.
const LEAST: f64 = 1e-9;
/// The key of the largest number is about 35,000.
const MAX_KEY: i32 = 1 << 17;

/// Values up to which they are kept as they are: most groups have few, and a sketch takes more than a kilobyte.
const FEW: usize = 32;

/// 1 % relative error over 17 decades, in at most 2,048 bins of 8 bytes for each sign. It answers, merges and is written as the sketch of its values, whichever it holds.
#[derive(Clone)]
pub(super) enum Quantiles {
    /// In the order in which they came.
    Few(Vec<f64>),
    Many(Box<DDSketch>),
}

impl Quantiles {
    pub(super) const fn new() -> Self {
        Self::Few(Vec::new())
    }

    pub(super) fn add(&mut self, value: f64) {
        match self {
            Self::Few(values) if values.len() < FEW => values.push(value),
            Self::Few(_) => self.many().add(value),
            Self::Many(sketch) => sketch.add(value),
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        match other {
            Self::Few(values) => values.iter().for_each(|value| self.add(*value)),
            Self::Many(other) => {
                if self.many().merge(other).is_err() {
                    unreachable!("every sketch has the same configuration");
                }
            }
        }
    }

    pub(super) fn value(&self, quantile: f64) -> Option<f64> {
        self.sketch().quantile(quantile).ok().flatten()
    }

    /// Goes over to a sketch.
    fn many(&mut self) -> &mut DDSketch {
        if let Self::Few(values) = self {
            *self = Self::Many(Box::new(sketch_of(values)));
        }
        match self {
            Self::Many(sketch) => sketch,
            Self::Few(_) => unreachable!("it was made a sketch"),
        }
    }

    fn sketch(&self) -> Cow<'_, DDSketch> {
        match self {
            Self::Few(values) => Cow::Owned(sketch_of(values)),
            Self::Many(sketch) => Cow::Borrowed(sketch),
        }
    }
}

fn sketch_of(values: &[f64]) -> DDSketch {
    let mut sketch = DDSketch::new(Config::new(ERROR, BINS, LEAST));
    values.iter().for_each(|value| sketch.add(*value));
    sketch
}

impl Serialize for Quantiles {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.sketch().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Quantiles {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        DDSketch::deserialize(deserializer).map(|sketch| Self::Many(Box::new(sketch)))
    }
}

/// A sketch as it is written, to be looked at.
#[derive(Deserialize)]
struct Written {
    config: Config,
    positive: Bins,
    negative: Bins,
    _min: f64,
    _max: f64,
    _sum: f64,
    zeros: u64,
}

/// One sign's bins as they are written.
#[derive(Deserialize)]
struct Bins {
    bins: Vec<u64>,
    count: u64,
    min_key: i32,
    max_key: i32,
    offset: i32,
    limit: usize,
    _collapsed: bool,
}

impl Quantiles {
    /// Whether it holds so many values in bins that fit together. The library merges whatever it is given, and would read outside of bins that do not.
    pub(super) fn is_sound(&self, values: u64) -> bool {
        let config = bincode::config::standard();
        let Ok(bytes) = bincode::serde::encode_to_vec(&*self.sketch(), config) else {
            return false;
        };
        let Ok((written, _)) = bincode::serde::decode_from_slice::<Written, _>(&bytes, config) else {
            return false;
        };
        let own = Config::new(ERROR, BINS, LEAST);
        let counts = [written.positive.count, written.negative.count, written.zeros];
        let total = counts.into_iter().try_fold(0_u64, u64::checked_add);
        written.config == own && written.positive.is_sound() && written.negative.is_sound() && total == Some(values)
    }
}

impl Bins {
    fn is_sound(&self) -> bool {
        let sum = self.bins.iter().try_fold(0_u64, |sum, bin| sum.checked_add(*bin));
        if self.limit != BINS as usize || self.bins.len() > self.limit || sum != Some(self.count) {
            return false;
        }
        if self.count == 0 {
            return self.bins.is_empty();
        }
        let end = i64::from(self.offset) + self.bins.len() as i64;
        let near = |key: i32| (-MAX_KEY..=MAX_KEY).contains(&key);
        near(self.offset)
            && near(self.max_key)
            && self.offset <= self.min_key
            && self.min_key <= self.max_key
            && i64::from(self.max_key) < end
    }
}

impl fmt::Debug for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Quantiles(n={})", self.sketch().count())
    }
}
