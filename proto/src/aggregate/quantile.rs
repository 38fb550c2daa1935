//! Quantiles within 1 % of the value, by DDSketch.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sketches_ddsketch::{Config, DDSketch};

use super::sparse::{Sketch, Sparse};

/// Relative error.
const ERROR: f64 = 0.01;
/// Most bins of each sign.
const BINS: u32 = 2048;
/// Smaller values count as zero.
const LEAST: f64 = 1e-9;
/// The key of the largest number is about 35,000.
const MAX_KEY: i32 = 1 << 17;

/// 1 % relative error over 17 decades, in at most 2,048 bins of 8 bytes for each sign.
#[derive(Clone)]
pub(super) struct Quantiles(Sparse<DDSketch>);

impl Sketch for DDSketch {
    type Value = f64;

    fn empty() -> Self {
        Self::new(Config::new(ERROR, BINS, LEAST))
    }

    fn take(&mut self, value: f64) {
        self.add(value);
    }
}

impl Quantiles {
    pub(super) const fn new() -> Self {
        Self(Sparse::new())
    }

    pub(super) fn add(&mut self, value: f64) {
        self.0.add(value);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        match &other.0 {
            Sparse::Few(values) => values.iter().for_each(|value| self.add(*value)),
            Sparse::Many(other) => {
                if self.0.many().merge(other).is_err() {
                    unreachable!("every sketch has the same configuration");
                }
            }
        }
    }

    pub(super) fn value(&self, quantile: f64) -> Option<f64> {
        self.0.sketch().quantile(quantile).ok().flatten()
    }
}

impl Serialize for Quantiles {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.sketch().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Quantiles {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        DDSketch::deserialize(deserializer).map(|sketch| Self(sketch.into()))
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
        let Ok(bytes) = bincode::serde::encode_to_vec(&*self.0.sketch(), config) else {
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
        write!(f, "Quantiles(n={})", self.0.sketch().count())
    }
}
