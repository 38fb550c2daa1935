//! Rules of kind `pattern`: events of one key in an order, within a time.
//!
//! Events wait in order of event time until the watermark has passed them ([`keys`]); then an automaton of each key takes them one by one ([`automaton`]).
//! What events mean to a pattern is compiled once ([`program`]); [`run`] ties this to a rule, the watermark and verdicts. All of it is pure and bounded.

mod account;
pub(crate) mod automaton;
pub(crate) mod keys;
pub(crate) mod program;
pub(crate) mod run;

#[cfg(test)]
pub(crate) mod tests;
