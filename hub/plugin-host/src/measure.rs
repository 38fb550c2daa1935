//! What a rule plugin costs, beside a native pass over the same columns.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use serde::Serialize;
use serde_json::{Map, Value, json};
use streamflow_component::{FieldType, Manifest};
use streamflow_proto::{
    batch::{Batch, DecodeError},
    build::BatchBuilder,
    filter::Columns,
};

use crate::{RuleError, RulePlugin, RuleRows};

/// Time of the first event that is made up, ms since 1970; one each 10 ms follows.
const FROM: i64 = 1_700_000_000_000;

/// Cost of batches of one size. Times are medians over the calls.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BatchCost {
    /// Events of a call.
    pub events: usize,
    /// Calls that were measured.
    pub calls: usize,
    /// One call, with all that the sandbox does for it.
    pub call_ns: u64,
    /// The same for one event.
    pub call_ns_per_event: f64,
    /// Reading every value of the same columns natively, once, and nothing else: the least that any rule could cost.
    pub native_ns_per_event: f64,
    /// Making these columns out of a batch of the log, which is done for every rule that reads them.
    pub columns_ns_per_event: f64,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// The plugin failed.
    #[error(transparent)]
    Plugin(#[from] RuleError),
    /// There is nothing to show it.
    #[error("the events have no columns that can be read: {0}")]
    Columns(#[from] DecodeError),
}

/// Shows the rule this batch again and again, for at least this long and at least 10 times.
///
/// # Errors
/// When the plugin fails.
pub async fn batch_cost(
    plugin: &RulePlugin,
    config: &Map<String, Value>,
    batch: &Batch,
    at_least: Duration,
) -> Result<BatchCost, MeasureError> {
    let rows: Vec<u32> = (0..u32::try_from(batch.len()).unwrap_or(u32::MAX)).collect();
    let mut run = plugin.start("bench", config, None).await?;
    let (mut calls, mut native, mut columns) = (Vec::new(), Vec::new(), Vec::new());
    let mut parts = plugin.project(&mut Columns::new(batch), &rows)?;
    // Caches warm up.
    for part in &parts {
        run.on_events(part).await?;
    }
    let began = Instant::now();
    while began.elapsed() < at_least || calls.len() < 10 {
        let at = Instant::now();
        parts = plugin.project(&mut Columns::new(batch), &rows)?;
        columns.push(at.elapsed());
        let at = Instant::now();
        for part in &parts {
            black_box(run.on_events(part).await?);
        }
        calls.push(at.elapsed());
        let at = Instant::now();
        black_box(parts.iter().map(RuleRows::walk).fold(0_u64, u64::wrapping_add));
        native.push(at.elapsed());
    }
    let per_event = |ns: u64| to_f64(ns) / to_f64(batch.len().max(1) as u64);
    let call_ns = median(&mut calls);
    Ok(BatchCost {
        events: batch.len(),
        calls: calls.len(),
        call_ns,
        call_ns_per_event: per_event(call_ns),
        native_ns_per_event: per_event(median(&mut native)),
        columns_ns_per_event: per_event(median(&mut columns)),
    })
}

/// A call that shows nothing: median time of telling the rule of the same moment again and again.
///
/// # Errors
/// When the plugin fails.
pub async fn tick_cost(plugin: &RulePlugin, config: &Map<String, Value>) -> Result<Duration, RuleError> {
    let mut run = plugin.start("bench", config, None).await?;
    let mut times = Vec::with_capacity(10_000);
    for _ in 0..10_000 {
        let at = Instant::now();
        black_box(run.on_tick(FROM).await?);
        times.push(at.elapsed());
    }
    Ok(Duration::from_nanos(median(&mut times)))
}

/// Events with every field that a manifest names, from twenty sources, one each 10 ms.
///
/// # Errors
/// None that should happen: what was encoded is decoded.
pub fn made_up(manifest: &Manifest, events: usize) -> Result<Batch, DecodeError> {
    let mut builder = BatchBuilder::new();
    for n in 0..events {
        let mut event = json!({
            "type": if n % 10 == 0 { "error" } else { "reading" },
            "source": format!("source-{}", n % 20),
            "severity": if n % 10 == 0 { "high" } else { "low" },
            "timestamp": FROM + 10 * i64::try_from(n).unwrap_or(0),
            "data": {},
        });
        let plain = event.clone();
        for field in &manifest.input.fields {
            let value = match field.kind {
                FieldType::Boolean => json!(n % 2 == 0),
                FieldType::Integer => json!(n % 1_000),
                FieldType::Float => json!(to_f64((n % 1_000) as u64) / 8.0),
                FieldType::Text => json!(format!("text {}", n % 50)),
            };
            put(&mut event, &field.path, value);
        }
        let taken = builder.push_json(event.to_string().as_bytes(), FROM);
        if taken.is_err() && builder.push_json(plain.to_string().as_bytes(), FROM).is_err() {
            break;
        }
    }
    builder.finish(1).decode()
}

fn put(event: &mut Value, path: &str, value: Value) {
    let mut place = event;
    for key in path.split('.') {
        if !place.is_object() {
            *place = json!({});
        }
        place = &mut place[key];
    }
    *place = value;
}

pub(crate) fn median(times: &mut [Duration]) -> u64 {
    times.sort_unstable();
    let middle = times.get(times.len() / 2).copied().unwrap_or_default();
    u64::try_from(middle.as_nanos()).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "times and counts, for people")]
pub(crate) const fn to_f64(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_made_up_with_the_fields_of_the_manifest() {
        let text = "[plugin]\nname = \"a\"\nversion = \"1\"\nkind = \"rule\"\napi = \"0.1\"\n[input]\nfields = [{ path = \"data.value\", type = \"float\" }, \
                    { path = \"data.deep.text\", type = \"text\" }, { path = \"user_id\", type = \"text\" }]\n";
        let batch = made_up(&Manifest::parse(text).unwrap(), 100).unwrap();
        assert_eq!(batch.len(), 100);
        let mut columns = Columns::new(&batch);
        let path = |path: &str| streamflow_proto::path::Path::parse(path).unwrap();
        let numbers = columns.numbers(&path("data.value")).unwrap().unwrap();
        assert_eq!((numbers.values[8], numbers.present.get(99)), (1.0, true));
        for text in ["data.deep.text", "user_id"] {
            assert!(columns.strings(&path(text)).unwrap().is_some(), "{text}");
        }
    }

    #[test]
    fn the_middle_one_counts() {
        let mut times = [9, 1, 5].map(Duration::from_nanos);
        assert_eq!((median(&mut times), median(&mut [])), (5, 0));
    }
}
