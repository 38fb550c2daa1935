//! Behaves: counts, for each source, the events whose number is above a threshold, and alerts when there are many. What plugins cost is measured with it.

mod count;
mod rule;

use rule::{Config, Count};
use streamflow_sdk::{export_rule, export_schema};

const TITLE: &str = "many";

export_rule!(Count);
export_schema!(Config);
