//! The optional `/metrics` for Prometheus, filled from the same counters as `status`.

mod transforms;

use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::proto::MetricFamily;
use prometheus::{Encoder, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::status::Observer;

/// Serves until `stop`.
pub async fn serve(listener: TcpListener, observer: Observer, stop: CancellationToken) {
    let router = Router::new().route("/metrics", get(metrics)).with_state(observer);
    let served = axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "the metrics endpoint stopped");
    }
}

/// Binds the address.
pub async fn bind(listen: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(listen).await
}

async fn metrics(State(observer): State<Observer>) -> Response {
    let text = gather(&observer).and_then(|families| TextEncoder::new().encode_to_string(&families));
    match text {
        Ok(text) => (
            [(header::CONTENT_TYPE, TextEncoder::new().format_type().to_owned())],
            text,
        )
            .into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn gather(observer: &Observer) -> Result<Vec<MetricFamily>, prometheus::Error> {
    let status = observer.status();
    let registry = Registry::new();
    let gauge = |name: &str, help: &str, value: i64| -> Result<(), prometheus::Error> {
        let gauge = IntGauge::new(name, help)?;
        gauge.set(value);
        registry.register(Box::new(gauge))
    };
    let clamp = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    gauge(
        "streamflow_agent_connected",
        "1 while a session with the hub is open",
        status.hub.connected.into(),
    )?;
    gauge(
        "streamflow_agent_spool_bytes",
        "bytes that wait for the hub",
        clamp(status.spool.backlog.bytes),
    )?;
    gauge(
        "streamflow_agent_spool_events",
        "events that wait for the hub",
        clamp(status.spool.backlog.events),
    )?;
    gauge(
        "streamflow_agent_spool_max_bytes",
        "size cap of the spool",
        clamp(status.spool.max_bytes),
    )?;
    gauge(
        "streamflow_agent_lag_milliseconds",
        "age of the oldest event that the hub does not have",
        status.lag_ms,
    )?;
    let counters = &observer.counters;
    for (name, help, value) in [
        (
            "streamflow_agent_events_acked_total",
            "events that the hub has stored",
            status.events_acked,
        ),
        (
            "streamflow_agent_frames_sent_total",
            "batches sent, again ones included",
            counters.frames_sent.get(),
        ),
        (
            "streamflow_agent_bytes_sent_total",
            "bytes of batches sent",
            counters.bytes_sent.get(),
        ),
        (
            "streamflow_agent_connections_total",
            "connections to the hub made",
            counters.connections.get(),
        ),
        (
            "streamflow_agent_spool_damaged_total",
            "stretches of the spool that could not be read",
            status.spool.damaged,
        ),
    ] {
        let counter = prometheus::IntCounter::new(name, help)?;
        counter.inc_by(value);
        registry.register(Box::new(counter))?;
    }
    if let Some(edge) = &observer.edge {
        for (name, help, value) in [
            (
                "streamflow_agent_partials_total",
                "partial windows of metrics sent, each an event of its own",
                edge.counters.partials.get(),
            ),
            (
                "streamflow_agent_partials_events_total",
                "events counted in partial windows, once for each metric",
                edge.counters.events.get(),
            ),
            (
                "streamflow_agent_partials_not_kept_total",
                "events that were counted and, as their metric says, not sent",
                edge.counters.not_kept.get(),
            ),
        ] {
            let counter = prometheus::IntCounter::new(name, help)?;
            counter.inc_by(value);
            registry.register(Box::new(counter))?;
        }
        let declined = IntCounterVec::new(
            Opts::new(
                "streamflow_agent_partials_declined_total",
                "batches that a metric left to the hub to count",
            ),
            &["reason"],
        )?;
        for (reason, batches) in edge.counters.declined() {
            declined.with_label_values(&[reason.name()]).inc_by(batches);
        }
        registry.register(Box::new(declined))?;
        let pushed = IntGaugeVec::new(
            Opts::new("streamflow_agent_partials_metrics", "metrics that the hub has pushed"),
            &["state"],
        )?;
        let refused = status.metrics.iter().filter(|metric| metric.refused.is_some()).count();
        let all = [("computed", status.metrics.len() - refused), ("refused", refused)];
        for (state, count) in all {
            pushed
                .with_label_values(&[state])
                .set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        registry.register(Box::new(pushed))?;
    }
    let dropped = IntCounterVec::new(
        Opts::new("streamflow_agent_events_dropped_total", "events given up"),
        &["reason"],
    )?;
    for drop in &status.dropped {
        dropped.with_label_values(&[&drop.reason]).inc_by(drop.events);
    }
    registry.register(Box::new(dropped))?;
    let files = IntGaugeVec::new(Opts::new("streamflow_agent_source_files", "files open"), &["source"])?;
    for source in &status.sources {
        files.with_label_values(&[&source.name]).set(clamp(source.files));
    }
    registry.register(Box::new(files))?;
    type Of = fn(&crate::status::SourceStatus) -> u64;
    let per_source: [(&str, &str, Of); 6] = [
        ("streamflow_agent_source_events_total", "events read", |source| {
            source.events
        }),
        ("streamflow_agent_source_bytes_total", "bytes read", |source| {
            source.bytes
        }),
        (
            "streamflow_agent_source_filtered_total",
            "events that a filter turned away",
            |source| source.filtered,
        ),
        (
            "streamflow_agent_source_errors_total",
            "files or figures that could not be read",
            |source| source.errors,
        ),
        (
            "streamflow_agent_source_malformed_total",
            "lines that are not what the format says",
            |source| source.malformed,
        ),
        (
            "streamflow_agent_source_invalid_utf8_total",
            "lines with bytes that are not UTF-8",
            |source| source.invalid_utf8,
        ),
    ];
    for (name, help, value) in per_source {
        let counter = IntCounterVec::new(Opts::new(name, help), &["source", "kind"])?;
        for source in &status.sources {
            counter
                .with_label_values(&[&source.name, &source.kind])
                .inc_by(value(source));
        }
        registry.register(Box::new(counter))?;
    }
    transforms::register(&registry, &status.transforms)?;
    Ok(registry.gather())
}
