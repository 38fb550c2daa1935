//! Rules of kind `anomaly`: what is normal for a value, learned from the values before it.
//!
//! [`robust`] holds the statistics, [`model`] what is remembered of one group, [`models`] of all groups of a rule. Pure and bounded.

pub(crate) mod model;
pub(crate) mod models;
pub(crate) mod review;
pub(crate) mod robust;
pub(crate) mod series;

#[cfg(test)]
mod tests;
