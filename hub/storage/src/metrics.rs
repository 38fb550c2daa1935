//! The store's own figures for Prometheus.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntGauge, Registry};
use streamflow_bus::meters;

use crate::{StoreError, store::StoreStats};

/// All figures of one store.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Seconds from the begin of a transaction to the end of its sync.
    pub commit_seconds: Histogram,
    /// Frames that shared a transaction.
    pub commit_frames: Histogram,
    /// Commands waiting for the writer.
    pub queue_depth: IntGauge,
    /// Events that became durable.
    pub stored: IntCounter,
    /// Frames known already.
    pub duplicates: IntCounter,
    /// Events set aside because their frame does not decode.
    pub set_aside: IntCounter,
    /// Events removed by retention.
    pub expired: IntCounter,
    /// Age of the oldest frame not merged yet.
    pub merge_lag: IntGauge,
    inbox_frames: IntGauge,
    chunks: IntGauge,
    bytes: IntGauge,
}

impl Metrics {
    /// Makes and registers them.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn register(registry: &Registry) -> Result<Self, StoreError> {
        Self::try_register(registry).map_err(|error| StoreError::Unsupported(format!("metrics: {error}")))
    }

    fn try_register(registry: &Registry) -> prometheus::Result<Self> {
        let seconds = prometheus::exponential_buckets(0.0005, 2.0, 14)?;
        let frames = prometheus::exponential_buckets(1.0, 2.0, 9)?;
        let histogram = |name: &str, help: &str, buckets| -> prometheus::Result<Histogram> {
            let histogram = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))?;
            registry.register(Box::new(histogram.clone()))?;
            Ok(histogram)
        };
        let gauge = |name: &str, help: &str| -> prometheus::Result<IntGauge> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let counter = |name: &str, help: &str| -> prometheus::Result<IntCounter> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        Ok(Self {
            commit_seconds: histogram(
                "streamflow_store_commit_seconds",
                "Time of a transaction with its sync",
                seconds,
            )?,
            commit_frames: histogram(
                "streamflow_store_commit_frames",
                "Frames that shared a transaction",
                frames,
            )?,
            queue_depth: meters::queue_depth(registry, "store")?,
            stored: counter("streamflow_store_events_total", "Events that became durable")?,
            duplicates: counter(
                "streamflow_store_duplicate_frames_total",
                "Frames that had been stored before",
            )?,
            set_aside: counter(
                "streamflow_store_set_aside_events_total",
                "Events whose frame does not decode",
            )?,
            expired: counter("streamflow_store_expired_events_total", "Events removed by retention")?,
            merge_lag: gauge(
                "streamflow_store_merge_lag_seconds",
                "Age of the oldest frame not yet merged",
            )?,
            inbox_frames: gauge("streamflow_store_inbox_frames", "Frames not yet merged")?,
            chunks: gauge("streamflow_store_chunks", "Stored chunks")?,
            bytes: gauge("streamflow_store_bytes", "Bytes of the database on disk")?,
        })
    }

    /// Shows the totals.
    pub fn show(&self, stats: &StoreStats) {
        self.inbox_frames.set(stats.inbox_frames.cast_signed());
        self.chunks.set(stats.chunks.cast_signed());
        self.bytes.set(stats.bytes.cast_signed());
    }
}
