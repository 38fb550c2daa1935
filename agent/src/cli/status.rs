//! `status`

use super::output::{self, Failure};
use super::{Common, Output};
use crate::clock;
use crate::config::units::{ByteSize, Span};
use crate::status::{self, Status};
use crate::transform::TransformStatus;

/// Asks the running agent.
pub fn status(args: &Common) -> Result<(), Failure> {
    let config = args.load()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asked = runtime.block_on(status::ask(&config.data_dir));
    let folder = config.data_dir.display();
    let status = asked
        .map_err(|error| Failure::Failed(format!("cannot ask the agent with data_dir {folder}: {error}")))?
        .ok_or_else(|| {
            Failure::Failed(format!(
                "no agent runs with data_dir {folder}; start it with `streamflow-agent run`"
            ))
        })?;
    match args.output {
        Output::Json => output::json(&status),
        Output::Text => Ok(output::line(text(&status).trim_end())?),
    }
}

fn transform_text(transform: &TransformStatus) -> String {
    let failures: u64 = transform.failures.iter().map(|(_, count)| count).sum();
    let mut text = format!(
        "transform {}: {} {}, {}, {} events",
        transform.name, transform.plugin, transform.version, transform.state, transform.events
    );
    for (what, count) in [
        ("turned away", transform.turned_away),
        ("failures", failures),
        ("events dropped for them", transform.dropped),
        ("events passed on as they were", transform.passed),
    ] {
        if count > 0 {
            text += &format!(", {count} {what}");
        }
    }
    for (what, words) in [("quarantine", &transform.reason), ("last error", &transform.last_error)] {
        if let Some(words) = words {
            text += &format!("\n         {what}: {words}");
        }
    }
    text + "\n"
}

fn text(status: &Status) -> String {
    let span = |ms: i64| Span::millis(u64::try_from(ms).unwrap_or(0) / 1_000 * 1_000);
    let hub = match (&status.hub.since_ms, &status.hub.last_error) {
        (Some(since), _) => format!(
            "connected to {} for {}",
            status.hub.endpoint,
            span(clock::now_ms() - since)
        ),
        (None, Some(error)) => format!("not connected, {}: {error}", status.hub.endpoint),
        (None, None) => format!("connecting to {}", status.hub.endpoint),
    };
    let spool = &status.spool;
    let mut text = format!(
        "agent    {} {} (process {}, up {})\nhub      {hub}\nspool    {} events, {} of {}, lag {} ms\nsent     {} events acknowledged\n",
        status.name,
        status.version,
        status.pid,
        span(clock::now_ms() - status.started_ms),
        spool.backlog.events,
        ByteSize(spool.backlog.bytes),
        ByteSize(spool.max_bytes),
        status.lag_ms,
        status.events_acked,
    );
    let drops: Vec<String> = status
        .dropped
        .iter()
        .filter(|drop| drop.events > 0)
        .map(|drop| format!("{} {}", drop.events, drop.reason))
        .collect();
    text += &format!(
        "dropped  {}\n",
        if drops.is_empty() {
            "nothing".into()
        } else {
            drops.join(", ")
        }
    );
    for source in &status.sources {
        text += &format!("source   {}: {} events", source.name, source.events);
        for (what, count) in [
            ("files open", source.files),
            ("filtered", source.filtered),
            ("counted for metrics and not sent", source.not_kept),
            ("malformed", source.malformed),
            ("not UTF-8", source.invalid_utf8),
            ("cut", source.truncated),
            ("errors", source.errors),
        ] {
            if count > 0 {
                text += &format!(", {count} {what}");
            }
        }
        text += &source
            .last_error
            .as_ref()
            .map_or("\n".into(), |error| format!("\n         last error: {error}\n"));
    }
    for metric in &status.metrics {
        let what = format!("metric   {}: {} of {}", metric.name, metric.aggregate, metric.matches);
        text += &match &metric.refused {
            Some(reason) => format!("{what}, left to the hub: {reason}\n"),
            None if metric.keep_events => format!("{what}, {} events counted here\n", metric.events),
            None => format!("{what}, {} events counted here and not sent\n", metric.events),
        };
    }
    for transform in &status.transforms {
        text += &transform_text(transform);
    }
    text
}
