//! Sums that do not drift, and mean and variance that merge.

use serde::{Deserialize, Serialize};

/// Neumaier's compensated sum: the error stays near one rounding however many values are added.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Total {
    sum: f64,
    lost: f64,
}

impl Total {
    pub(super) fn add(&mut self, value: f64) {
        let next = self.sum + value;
        self.lost += if self.sum.abs() >= value.abs() {
            (self.sum - next) + value
        } else {
            (value - next) + self.sum
        };
        self.sum = next;
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.add(other.sum);
        self.lost += other.lost;
    }

    /// Whether this may be the sum of so many finite values that did not overflow.
    pub(super) fn is_sound(self, values: u64) -> bool {
        let empty = self.sum.abs() + self.lost.abs() == 0.0;
        self.sum.is_finite() && self.lost.is_finite() && (values > 0 || empty)
    }

    pub(super) fn value(self) -> f64 {
        // An overflowing sum makes the correction meaningless (infinity minus infinity).
        if self.sum.is_finite() {
            self.sum + self.lost
        } else {
            self.sum
        }
    }
}

/// Welford's running mean and squared distance, merged by Chan's formula.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Spread {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Spread {
    pub(super) fn add(&mut self, value: f64) {
        self.count += 1.0;
        let delta = value - self.mean;
        self.mean += delta / self.count;
        self.squares += delta * (value - self.mean);
    }

    pub(super) fn merge(&mut self, other: Self) {
        let count = self.count + other.count;
        if other.count == 0.0 {
            return;
        }
        let delta = other.mean - self.mean;
        self.mean += delta * (other.count / count);
        self.squares += other.squares + delta * delta * (self.count * other.count / count);
        self.count = count;
    }

    /// Whether this may be of so many finite values that did not overflow.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    pub(super) fn is_sound(self, values: u64) -> bool {
        let counted = (self.count - values as f64).abs() == 0.0;
        let empty = self.mean.abs() + self.squares == 0.0;
        counted && self.mean.is_finite() && self.squares.is_finite() && self.squares >= 0.0 && (values > 0 || empty)
    }

    pub(super) fn deviation(self) -> f64 {
        (self.squares / self.count).max(0.0).sqrt()
    }
}
