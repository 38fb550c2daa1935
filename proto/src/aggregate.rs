//! Mergeable aggregates over one attribute: the same kernel on a host, in the hub's windows and in a query.
//!
//! Invariants: `merge` of two parts equals the whole (exactly for counts, extremes, first and last; within rounding for sums; within the sketch's error for
//! percentiles, distinct counts and the most frequent values). A value that is not a finite number is left out and counted. An accumulator's size is bounded whatever it sees.

mod accumulators;
mod distinct;
mod fold;
mod frequent;
mod lean;
mod moments;
mod quantile;
mod sparse;
mod spec;
mod state;

pub use accumulators::{Accumulators, Picked};
pub use fold::fold;
pub use frequent::Frequent;
pub use lean::push_lean;
pub use spec::{AggregateError, AggregateSpec, Func, MAX_TOP};
pub use state::Accumulator;

#[cfg(test)]
mod tests;
