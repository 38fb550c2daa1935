//! Metric families that several rooms share. Prometheus wants one help text and one set of labels for a name, so they are made here.

use prometheus::{IntCounter, IntGauge, Opts, Registry};

/// `streamflow_events_total{stage=…}`: events that reached a stage, such as `accepted`, `stored` or `analysed`.
///
/// # Errors
/// When the stage is registered already.
pub fn events_total(registry: &Registry, stage: &str) -> prometheus::Result<IntCounter> {
    let counter = IntCounter::with_opts(
        Opts::new("streamflow_events_total", "Events that reached a stage").const_label("stage", stage),
    )?;
    registry.register(Box::new(counter.clone()))?;
    Ok(counter)
}

/// `streamflow_queue_depth{queue=…}`: what waits in a bounded queue.
///
/// # Errors
/// When the queue is registered already.
pub fn queue_depth(registry: &Registry, queue: &str) -> prometheus::Result<IntGauge> {
    let gauge = IntGauge::with_opts(
        Opts::new("streamflow_queue_depth", "Items waiting in a bounded queue").const_label("queue", queue),
    )?;
    registry.register(Box::new(gauge.clone()))?;
    Ok(gauge)
}
