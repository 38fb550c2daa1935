//! PromQL over what the hub keeps, so that Grafana can read it as a Prometheus data source.
//!
//! The parser is the crate `promql-parser`; the evaluation here is pure: series in, values out. It follows Prometheus 3: a range `[5m]` at `t` holds the samples
//! in `(t - 5m, t]`, and an instant selector takes the newest sample of the last five minutes. What is not supported is refused by name.

mod aggregate;
mod binary;
mod eval;
mod functions;
mod histogram;
mod labels;
mod over_time;
mod plan;
mod query;
mod routes;
mod samples;
mod source;
mod wire;

pub use query::PromQl;

use std::sync::Arc;

use streamflow_analytics::History;
use streamflow_storage::Store;
use utoipa_axum::router::OpenApiRouter;

/// The routes under `/prometheus`.
#[must_use]
pub fn prometheus(store: Arc<dyn Store>, history: History) -> OpenApiRouter {
    routes::routes(source::Source { store, history })
}

#[cfg(test)]
mod tests;
