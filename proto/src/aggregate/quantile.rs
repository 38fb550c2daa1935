//! Quantiles within 1 % of the value, by DDSketch.

use std::fmt;

use serde::{Deserialize, Serialize};
use sketches_ddsketch::{Config, DDSketch};

/// 1 % relative error over 17 decades, in at most 2,048 bins of 8 bytes for each sign.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Quantiles(Box<DDSketch>);

impl Quantiles {
    pub(super) fn new() -> Self {
        Self(Box::new(DDSketch::new(Config::new(0.01, 2048, 1e-9))))
    }

    pub(super) fn add(&mut self, value: f64) {
        self.0.add(value);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        if self.0.merge(&other.0).is_err() {
            unreachable!("every sketch has the same configuration");
        }
    }

    pub(super) fn value(&self, quantile: f64) -> Option<f64> {
        self.0.quantile(quantile).ok().flatten()
    }
}

impl fmt::Debug for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Quantiles(n={})", self.0.count())
    }
}
