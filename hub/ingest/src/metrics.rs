//! What this room counts.

use prometheus::{
    Counter, Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};

/// The counters, registered once.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    events: IntCounterVec,
    pub(crate) rejected: IntCounterVec,
    pub(crate) duplicates: IntCounterVec,
    pub(crate) dedup_evicted: IntCounter,
    pub(crate) commit_seconds: Histogram,
    pub(crate) queue_depth: IntGauge,
    pub(crate) websockets: IntGauge,
    pub(crate) websockets_cut: IntCounter,
    pub(crate) agents: IntGauge,
    pub(crate) agent_lag: Gauge,
    pub(crate) agent_skew: GaugeVec,
    pub(crate) agent_frames: IntCounter,
    pub(crate) agent_bytes: IntCounter,
    pub(crate) agent_nacks: IntCounterVec,
    pub(crate) agent_closed: IntCounterVec,
    pub(crate) agent_dropped: IntCounter,
    pub(crate) agent_check_seconds: Counter,
    pub(crate) enrolments: IntCounterVec,
}

/// Where events come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum DoorKind {
    Quic,
    Http,
    WebSocket,
}

impl DoorKind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Quic => "quic",
            Self::Http => "http",
            Self::WebSocket => "ws",
        }
    }
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let register = Registering(registry);
        Ok(Self {
            events: register.counters(
                "streamflow_events_total",
                "Events that passed a stage",
                &["stage", "door"],
            )?,
            rejected: register.counters(
                "streamflow_events_rejected_total",
                "Events refused, by reason",
                &["door", "reason"],
            )?,
            duplicates: register.counters(
                "streamflow_events_duplicate_total",
                "Events that had been stored before",
                &["door"],
            )?,
            dedup_evicted: register.counter(
                "streamflow_dedup_evicted_total",
                "Ids forgotten before their time, for want of room",
            )?,
            commit_seconds: register.add(Histogram::with_opts(
                HistogramOpts::new(
                    "streamflow_ingest_commit_seconds",
                    "From a frame's hand-over to the store until it is durable",
                )
                .buckets(prometheus::exponential_buckets(0.000_5, 2.0, 14)?),
            )?)?,
            queue_depth: streamflow_bus::meters::queue_depth(registry, "http_writer")?,
            websockets: register.gauge(
                "streamflow_websocket_connections",
                "Open WebSocket connections of the event door",
            )?,
            websockets_cut: register.counter(
                "streamflow_websocket_cut_total",
                "WebSocket clients cut because they read too slowly",
            )?,
            agents: register.gauge("streamflow_agent_connected", "Agents connected now")?,
            agent_lag: register.add(Gauge::new(
                "streamflow_agent_lag_seconds",
                "Age of the oldest unacknowledged event of any connected agent",
            )?)?,
            agent_skew: register.add(GaugeVec::new(
                Opts::new(
                    "streamflow_agent_clock_skew_seconds",
                    "How far a connected agent's clock is ahead of the hub's",
                ),
                &["agent"],
            )?)?,
            agent_frames: register.counter("streamflow_agent_frames_total", "Frames received from agents")?,
            agent_bytes: register.counter(
                "streamflow_agent_frame_bytes_total",
                "Bytes of frames received from agents",
            )?,
            agent_nacks: register.counters("streamflow_agent_nacks_total", "Frames refused, by code", &["code"])?,
            agent_closed: register.counters(
                "streamflow_agent_connections_closed_total",
                "Connections closed by the hub, by reason",
                &["reason"],
            )?,
            agent_dropped: register.counter(
                "streamflow_agent_dropped_events_total",
                "Events that agents report as dropped by policy",
            )?,
            agent_check_seconds: register.add(Counter::new(
                "streamflow_agent_check_seconds_total",
                "Time spent checking that frames decode",
            )?)?,
            enrolments: register.counters(
                "streamflow_agent_enrolments_total",
                "Enrolments, by outcome",
                &["outcome"],
            )?,
        })
    }

    /// Events became durable.
    pub(crate) fn accepted(&self, door: DoorKind, events: usize) {
        self.events
            .with_label_values(&["accepted", door.name()])
            .inc_by(events as u64);
    }
}

struct Registering<'a>(&'a Registry);

impl Registering<'_> {
    fn add<C: prometheus::core::Collector + Clone + 'static>(&self, collector: C) -> Result<C, prometheus::Error> {
        self.0.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        self.add(IntCounter::new(name, help)?)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        self.add(IntGauge::new(name, help)?)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
        self.add(IntCounterVec::new(Opts::new(name, help), labels)?)
    }
}
