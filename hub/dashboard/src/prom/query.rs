//! PromQL for others than HTTP: alerting rules that are written for Prometheus.

use std::{collections::BTreeMap, sync::Arc};

use promql_parser::parser::value::ValueType;
use streamflow_analytics::History;
use streamflow_storage::Store;

use super::{
    eval::Value,
    labels::NAME,
    plan::{Plan, Times},
    routes::evaluate,
    source::Source,
};

/// Evaluates expressions over what the hub keeps. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PromQl(Source);

impl PromQl {
    /// Over this log, and these metrics.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, history: History) -> Self {
        Self(Source { store, history })
    }

    /// Whether an expression can be evaluated to one value for each series.
    ///
    /// # Errors
    /// What is wrong with it, or not supported.
    pub fn check(expr: &str) -> Result<(), String> {
        let plan = Plan::new(expr, Times::at(0)).map_err(|error| error.to_string())?;
        match plan.expr.value_type() {
            ValueType::Vector | ValueType::Scalar => Ok(()),
            other => Err(format!("is a {other}; an alert needs one value for each series")),
        }
    }

    /// Labels, without the metric's name, and value of each series at a point in time, ms.
    ///
    /// # Errors
    /// What is wrong with it, or why it cannot be computed.
    pub async fn instant(&self, expr: &str, at: i64) -> Result<Vec<(BTreeMap<String, String>, f64)>, String> {
        let plan = Plan::new(expr, Times::at(at)).map_err(|error| error.to_string())?;
        let value = evaluate(&self.0, plan, at, |evaluator| evaluator.instant()).await;
        match value.map_err(|error| error.to_string())? {
            Value::Vector(points) => Ok(points
                .into_iter()
                .map(|mut point| {
                    point.labels.remove(NAME);
                    (point.labels, point.value)
                })
                .collect()),
            Value::Scalar(value) => Ok(vec![(BTreeMap::new(), value)]),
            Value::Text(_) | Value::Matrix(_) => Err("is not one value for each series".to_owned()),
        }
    }
}
