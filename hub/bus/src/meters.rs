//! Metric families that several rooms share. Prometheus wants one help text and one set of labels for a name, so they are made here.

use prometheus::{IntGauge, Opts, Registry};

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
