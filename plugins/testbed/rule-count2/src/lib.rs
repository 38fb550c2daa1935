//! The next version of `rule-count`, which says it in other words.

#[path = "../../rule-count/src/count.rs"]
mod count;
#[path = "../../rule-count/src/rule.rs"]
mod rule;

use rule::{Config, Count};
use streamflow_sdk::{export_rule, export_schema};

const TITLE: &str = "very many";

export_rule!(Count);
export_schema!(Config);
