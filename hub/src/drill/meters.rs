//! What drills count.

use prometheus::{Gauge, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry};
use streamflow_model::{Drill, DrillState, HopName};

/// Bounds of the time that a hop takes, seconds: milliseconds for machines, minutes for people.
const BOUNDS: [f64; 16] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 300.0, 900.0, 3600.0,
];

/// The metrics.
#[derive(Debug, Clone)]
pub struct Meters {
    ended: IntCounterVec,
    lost: IntCounterVec,
    hops: HistogramVec,
    last: Gauge,
    last_passed: Gauge,
    /// Drills under way.
    pub running: IntGauge,
}

impl Meters {
    /// Registers them.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let hops = HistogramOpts::new(
            "streamflow_drill_hop_duration_seconds",
            "Time that each hop of a fire drill took since the hop before it",
        );
        let meters = Self {
            ended: IntCounterVec::new(
                Opts::new("streamflow_drills_total", "Fire drills, by how they ended"),
                &["outcome"],
            )?,
            lost: IntCounterVec::new(
                Opts::new(
                    "streamflow_drill_lost_total",
                    "Fire drills that failed, by the hop that did not happen",
                ),
                &["hop"],
            )?,
            hops: HistogramVec::new(hops.buckets(BOUNDS.to_vec()), &["hop"])?,
            last: Gauge::new(
                "streamflow_drill_delivery_seconds",
                "Time of the last fire drill from the hub's wish to the channels' acceptance",
            )?,
            last_passed: Gauge::new(
                "streamflow_drill_last_passed_timestamp_seconds",
                "When a fire drill last came all the way",
            )?,
            running: IntGauge::new("streamflow_drills_running", "Fire drills under way")?,
        };
        registry.register(Box::new(meters.ended.clone()))?;
        registry.register(Box::new(meters.lost.clone()))?;
        registry.register(Box::new(meters.hops.clone()))?;
        registry.register(Box::new(meters.last.clone()))?;
        registry.register(Box::new(meters.last_passed.clone()))?;
        registry.register(Box::new(meters.running.clone()))?;
        for outcome in [DrillState::Passed, DrillState::Failed] {
            drop(meters.ended.with_label_values(&[outcome.name()]));
        }
        Ok(meters)
    }

    /// A drill is over.
    #[expect(clippy::cast_precision_loss, reason = "times in ms are far below 2^52")]
    pub fn ended(&self, drill: &Drill) {
        self.ended.with_label_values(&[drill.state.name()]).inc();
        for hop in &drill.hops {
            let seconds = hop.took_ms.max(0) as f64 / 1000.0;
            self.hops.with_label_values(&[hop.hop.name()]).observe(seconds);
        }
        if let Some(hop) = drill.lost_at {
            self.lost.with_label_values(&[hop.name()]).inc();
        }
        if let Some(accepted) = drill.at(HopName::Accepted) {
            self.last.set((accepted.0 - drill.started_at.0).max(0) as f64 / 1000.0);
        }
        if let (DrillState::Passed, Some(ended)) = (drill.state, drill.ended_at) {
            self.last_passed.set(ended.0 as f64 / 1000.0);
        }
    }
}
