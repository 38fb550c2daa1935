//! What analytics tells alerting: one verdict of one rule for one group.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use streamflow_proto::aggregate::Frequent;

use crate::Completeness;

/// A rule's verdict on one window of one group. Signals of one group arrive in the order of their windows; the same
/// signal may arrive again after a restart, so a receiver must be idempotent over `(rule_id, group, window_end, revision)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    /// The rule.
    pub rule_id: String,
    /// Version of the rule that was evaluated.
    pub rule_version: i64,
    /// Group-by attributes and their values.
    pub labels: BTreeMap<String, String>,
    /// Value of the aggregate; `None` when the group's windows have emptied.
    pub value: Option<f64>,
    /// The most frequent values, when the aggregate is a top-k.
    pub top: Vec<Frequent>,
    /// Whether the condition holds.
    pub met: bool,
    /// `true` when the window may still change (eager evaluation).
    pub running: bool,
    /// Window bounds in event time, ms.
    pub window_start: i64,
    /// Exclusive end.
    pub window_end: i64,
    /// 0 first, then one more for each correction.
    pub revision: u32,
    /// Engine's watermark when it was evaluated, ms.
    pub watermark: i64,
    /// What the value rests on.
    pub completeness: Completeness,
    /// When the newest event behind the verdict was stored, wall clock ms; for latency metrics.
    pub stored_at: i64,
    /// What happened in the rule's own words, where value and condition do not say it.
    pub account: Option<Box<Account>>,
}

/// What a verdict rests on, for people and programs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Account {
    /// In a few words: what follows the rule's name in the alert's title, or why the alert is over.
    pub summary: String,
    /// Some lines.
    pub message: String,
    /// Added to the alert's `data`.
    pub data: Map<String, Value>,
}

/// A group whose alert is open while the hub starts: alerting waits for a verdict that ends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenGroup {
    /// The rule.
    pub rule_id: String,
    /// The alert's labels, those of the group among them.
    pub labels: BTreeMap<String, String>,
    /// End of the newest window of which alerting knows, in event time, ms.
    pub told_until: i64,
}
