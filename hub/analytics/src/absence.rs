//! Rules of kind `absence`: groups that have been silent for too long, told apart from hosts that are cut off.
//!
//! Silence is proven, not assumed: a group is absent when each host that lately brought its events has passed the end of the time allowed without one. As long as
//! a host has not, because its link is cut or it is behind, nobody knows; then nothing fires, and an alert that fires already becomes stale.

pub(crate) mod groups;
pub(crate) mod run;

#[cfg(test)]
mod tests;
