//! The benchmark table: every row prints our figure, a baseline measured in the same run, and the ratio.
//!
//! `streamflow-bench [--quick] [ROW…]`; run through `make bench`, which builds everything in the release profile.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test speaks by failing, and to the person who runs it"
)]

mod agent_load;
mod alert_latency;
mod alert_memory;
mod alert_peers;
mod alert_storm;
mod baseline;
mod edge_load;
mod footprint;
mod generator;
mod http_load;
mod peers;
mod plugins;
mod quic_client;
mod quic_load;
mod report;
mod settled;
mod windows;

use report::Row;

/// Events of the bulk rows; `--quick` divides it.
const EVENTS: usize = 2_000_000;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let quick = arguments.iter().any(|a| a == "--quick");
    let events = if quick { EVENTS / 10 } else { EVENTS };
    let only: Vec<&str> = arguments
        .iter()
        .filter(|a| !a.starts_with("--"))
        .map(String::as_str)
        .collect();
    let wanted = |name: &str| only.is_empty() || only.contains(&name);

    let parse = baseline::parse_rate();
    println!(
        "serde_json borrowed parse: {:.0} events per CPU-second",
        parse.events_per_cpu_second
    );
    let mut rows: Vec<Row> = Vec::new();
    if wanted("codec") {
        rows.extend(baseline::codec(&parse));
    }
    if wanted("quic") {
        rows.extend(quic_load::closed(events, &parse).await);
    }
    if wanted("paced") {
        rows.extend(quic_load::paced(if quick { 3 } else { 15 }).await);
    }
    if wanted("http") {
        rows.extend(http_load::ndjson(events, &parse).await);
    }
    if wanted("agent") {
        rows.extend(agent_load::tail(events / 2, &parse).await);
    }
    if wanted("edge") {
        rows.extend(edge_load::placements(events / 4).await);
    }
    if wanted("windows") {
        rows.extend(windows::engine(quick));
    }
    if wanted("backtest") {
        rows.extend(windows::backtest(quick));
    }
    if wanted("window-peers") {
        rows.extend(windows::peers(quick));
    }
    if wanted("alert") {
        rows.extend(alert_latency::line_to_webhook(if quick { 20 } else { 200 }).await);
    }
    if wanted("alert-peers") {
        let (alerts, beside) = if quick { (20, 5) } else { (200, 40) };
        rows.extend(alert_peers::event_to_webhook(alerts, beside).await);
    }
    if wanted("alert-storm") {
        rows.extend(alert_storm::at_once(10_000).await);
    }
    if wanted("alert-memory") {
        rows.extend(alert_memory::active(100_000).await);
    }
    if wanted("plugins") {
        rows.extend(plugins::rules(quick));
    }
    if wanted("idle") {
        rows.extend(footprint::idle(if quick { 5 } else { 20 }).await);
    }
    let table = report::table(&rows);
    println!("{table}");
    if only.is_empty() && !quick {
        report::write(&table);
    }
}
