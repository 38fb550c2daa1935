//! `plugin bench`: what a rule plugin costs.

use std::{path::Path, time::Duration};

use serde_json::json;
use streamflow_model::Span;
use streamflow_plugin_host::measure::{self, BatchCost};
use streamflow_proto::batch::Batch;

use super::{super::print, events, run};
use crate::cli::Common;

/// Loads from the cache that are measured; their median counts.
const LOADS: usize = 11;

/// What the command line asks for.
pub(super) struct Asked<'a> {
    pub(super) file: &'a Path,
    pub(super) events: Option<&'a Path>,
    pub(super) rule_config: &'a str,
    pub(super) sizes: &'a [u32],
    pub(super) time: Span,
}

/// Measures it.
///
/// # Errors
/// When the file is no rule plugin, the events are none, or the plugin fails.
pub(super) async fn bench(common: &Common, asked: &Asked<'_>) -> anyhow::Result<()> {
    let config = events::config(asked.rule_config, "--rule-config")?;
    let trial = run::open(asked.file).await?;
    let (manifest, rule) = (trial.manifest(), trial.rule());
    let text = asked.events.map(events::read).transpose()?;
    let mut costs = Vec::with_capacity(asked.sizes.len());
    for size in asked.sizes {
        let size = *size as usize;
        let batch = match (&text, asked.events) {
            (Some(text), Some(name)) => repeated(text, name, size)?,
            _ => measure::made_up(manifest, size)?,
        };
        costs.push(measure::batch_cost(&rule, &config, &batch, asked.time.std()).await?);
    }
    let tick = measure::tick_cost(&rule, &config).await?;
    let memory = trial.info().memory_bytes;
    let mut loads = Vec::with_capacity(LOADS);
    for _ in 0..LOADS {
        loads.push(trial.load_again().await?.1);
    }
    loads.sort_unstable();
    let load = loads.get(LOADS / 2).copied().unwrap_or_default();
    let (bytes, compiled) = (std::fs::metadata(asked.file)?.len(), trial.compiled_in);
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let text = format!(
        "{} {}: {} KiB, compiled in {:.1} ms, loaded from the cache in {:.2} ms, {} KiB of memory, a call without events {:.2} us\n{}",
        manifest.name,
        manifest.version,
        bytes >> 10,
        ms(compiled),
        ms(load),
        memory >> 10,
        tick.as_secs_f64() * 1e6,
        table(&costs),
    );
    let json = json!({
        "name": manifest.name, "version": manifest.version, "bytes": bytes, "compile_ms": ms(compiled), "cached_load_ms": ms(load), "memory_bytes": memory,
        "empty_call_ns": u64::try_from(tick.as_nanos()).unwrap_or(u64::MAX), "batches": costs,
    });
    print::done(common.output, &text, &json)
}

/// The events of a file, from the start again when they are too few.
pub(super) fn repeated(text: &str, name: &Path, size: usize) -> anyhow::Result<Batch> {
    let mut repeated = String::new();
    let lines = || text.lines().filter(|line| !line.trim().is_empty());
    let wanted = if lines().next().is_some() { size } else { 0 };
    for line in lines().cycle().take(wanted) {
        repeated.push_str(line);
        repeated.push('\n');
    }
    let mut batches = events::batches(&repeated, name, size)?;
    // Events so large that a batch of the log holds fewer: then those.
    Ok(batches.swap_remove(0).batch)
}

fn table(costs: &[BatchCost]) -> String {
    let row = |cost: &BatchCost| -> Vec<String> {
        #[expect(clippy::cast_precision_loss, reason = "microseconds, for people")]
        let call = cost.call_ns as f64 / 1e3;
        vec![
            cost.events.to_string(),
            cost.calls.to_string(),
            format!("{call:.1}"),
            format!("{:.1}", cost.call_ns_per_event),
            format!("{:.1}", cost.native_ns_per_event),
            format!("{:.1}", cost.columns_ns_per_event),
        ]
    };
    let rows: Vec<Vec<String>> = costs.iter().map(row).collect();
    print::table(
        &["BATCH", "CALLS", "US/CALL", "NS/EVENT", "NATIVE PASS", "COLUMNS"],
        &rows,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_events_are_repeated() {
        let text = "{\"type\":\"a\",\"source\":\"s\"}\n{\"type\":\"b\",\"source\":\"s\"}\n";
        assert_eq!(repeated(text, Path::new("f"), 5).unwrap().len(), 5);
        assert!(repeated("\n", Path::new("f"), 5).is_err());
    }
}
