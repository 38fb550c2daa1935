//! Number of different values, by HyperLogLog.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

use datasketches::hll::{Coupon, HllSketch, HllType, HllUnion};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::sparse::{Sketch, Sparse};

/// 4,096 registers of a byte: 1.6 % standard error, and exact in practice below 500 values, in at most 4 KiB.
const LG_REGISTERS: u8 = 12;

/// A set that remembers only how large it is.
#[derive(Clone)]
pub(super) struct Distinct(Sparse<HllSketch>);

impl Sketch for HllSketch {
    type Value = Coupon;

    fn empty() -> Self {
        match Self::new(LG_REGISTERS, HllType::Hll8) {
            Ok(sketch) => sketch,
            Err(_) => unreachable!("the register count is within the library's bounds"),
        }
    }

    fn take(&mut self, coupon: Coupon) {
        self.update_with_coupon(coupon);
    }
}

impl Distinct {
    pub(super) const fn new() -> Self {
        Self(Sparse::new())
    }

    /// What a value adds; computed once for each entry of a dictionary.
    pub(super) fn coupon(value: &str) -> Coupon {
        Coupon::from_value(value)
    }

    pub(super) fn add(&mut self, coupon: Coupon) {
        if self.0.few().is_none_or(|coupons| !coupons.contains(&coupon)) {
            self.0.add(coupon);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        if let Sparse::Few(_) = self.0
            && let Sparse::Few(coupons) = &other.0
        {
            coupons.iter().for_each(|coupon| self.add(*coupon));
            return;
        }
        // What a large sketch answers depends a little on the order in which values came: as sketches both ways, so that one that was read back answers the same.
        let mut union = union();
        union.update(&self.0.sketch());
        union.update(&other.0.sketch());
        self.0 = union.to_sketch(HllType::Hll8).into();
    }

    /// Whether so many values can have made it, and it can be merged: one from another machine may be anything, and the library trusts what it is given.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    pub(super) fn is_sound(&self, values: u64) -> bool {
        let tried = catch_unwind(AssertUnwindSafe(|| {
            let sketch = self.0.sketch();
            // Whatever it says besides what it writes down, such as a length that its entries do not have, would be lost.
            let whole = HllSketch::deserialize(&sketch.serialize()).is_ok_and(|read| read == *sketch);
            let mut union = union();
            union.update(&sketch);
            union.update(&sketch);
            (whole, union.to_sketch(HllType::Hll8).estimate(), sketch.estimate())
        }));
        let most = if values == 0 { 0.0 } else { 1.1 * values as f64 + 10.0 };
        let fits = |estimate: f64| (0.0..=most).contains(&estimate.round());
        tried.is_ok_and(|(whole, merged, own)| whole && fits(merged) && fits(own))
    }

    /// Never falls while values are added.
    #[expect(clippy::cast_precision_loss, reason = "there are few")]
    pub(super) fn estimate(&self) -> f64 {
        match &self.0 {
            // Of so few the sketch says the same but for its rounding.
            Sparse::Few(coupons) => coupons.len() as f64,
            Sparse::Many(sketch) => sketch.estimate().round(),
        }
    }
}

fn union() -> HllUnion {
    match HllUnion::new(LG_REGISTERS) {
        Ok(union) => union,
        Err(_) => unreachable!("the register count is within the library's bounds"),
    }
}

impl fmt::Debug for Distinct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Distinct(~{})", self.estimate())
    }
}

impl Serialize for Distinct {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.sketch().serialize().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Distinct {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = Vec::<u8>::deserialize(deserializer)?;
        let sketch = catch_unwind(|| HllSketch::deserialize(&bytes))
            .map_err(|_| D::Error::custom("not a sketch"))?
            .map_err(D::Error::custom)?;
        if sketch.lg_config_k() == LG_REGISTERS {
            Ok(Self(sketch.into()))
        } else {
            Err(D::Error::custom("a sketch of another size"))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(numbers: &[u32]) -> Distinct {
        let mut set = Distinct::new();
        for number in numbers {
            set.add(Distinct::coupon(&number.to_string()));
        }
        set
    }

    proptest! {
        #[test]
        fn it_says_what_a_sketch_of_its_values_says(
            numbers in prop::collection::vec(0_u32..300, 0..200), cut in any::<prop::sample::Index>(),
        ) {
            let of = |numbers: &[u32]| {
                let coupons: Vec<Coupon> = numbers.iter().map(|number| Distinct::coupon(&number.to_string())).collect();
                let mut sketch = HllSketch::empty();
                coupons.iter().for_each(|coupon| sketch.take(*coupon));
                sketch.estimate().round()
            };
            let whole = set(&numbers);
            prop_assert_eq!(whole.estimate(), of(&numbers));
            let (left, right) = numbers.split_at(cut.index(numbers.len() + 1));
            let mut merged = set(left);
            merged.merge(&set(right));
            prop_assert_eq!(merged.estimate(), whole.estimate());
            let bytes = bincode::serde::encode_to_vec(&merged, bincode::config::standard()).unwrap();
            let (read, _): (Distinct, _) = bincode::serde::decode_from_slice(&bytes, bincode::config::standard()).unwrap();
            prop_assert_eq!(read.estimate(), whole.estimate());
            let mut after = read;
            after.merge(&whole);
            prop_assert_eq!(after.estimate(), whole.estimate());
            prop_assert!(after.is_sound(numbers.len() as u64));
        }
    }
}
