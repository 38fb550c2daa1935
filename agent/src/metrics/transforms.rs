//! What transforms do, as series with the name of their processor.

use prometheus::{CounterVec, Error, IntCounterVec, IntGaugeVec, Opts, Registry};

use crate::transform::TransformStatus;

type Of = fn(&TransformStatus) -> u64;

/// Registers the series of these transforms; none when there are none.
pub(super) fn register(registry: &Registry, transforms: &[TransformStatus]) -> Result<(), Error> {
    if transforms.is_empty() {
        return Ok(());
    }
    let counters: [(&str, &str, Of); 5] = [
        (
            "streamflow_agent_transform_calls_total",
            "batches that a transform was given and did",
            |one| one.calls,
        ),
        (
            "streamflow_agent_transform_events_total",
            "events of these batches",
            |one| one.events,
        ),
        (
            "streamflow_agent_transform_turned_away_total",
            "events that a transform turned away",
            |one| one.turned_away,
        ),
        (
            "streamflow_agent_transform_events_dropped_total",
            "events given up because a transform failed",
            |one| one.dropped,
        ),
        (
            "streamflow_agent_transform_events_passed_total",
            "events that went on as they were although a transform failed",
            |one| one.passed,
        ),
    ];
    for (name, help, value) in counters {
        let counter = IntCounterVec::new(Opts::new(name, help), &["transform"])?;
        for one in transforms {
            counter.with_label_values(&[&one.name]).inc_by(value(one));
        }
        registry.register(Box::new(counter))?;
    }
    let failures = IntCounterVec::new(
        Opts::new(
            "streamflow_agent_transform_failures_total",
            "calls of a transform that failed",
        ),
        &["transform", "cause"],
    )?;
    let seconds = CounterVec::new(
        Opts::new(
            "streamflow_agent_transform_seconds_total",
            "time of a transform's calls",
        ),
        &["transform"],
    )?;
    let quarantined = IntGaugeVec::new(
        Opts::new(
            "streamflow_agent_transform_quarantined",
            "1 while a transform is in quarantine",
        ),
        &["transform"],
    )?;
    let memory = IntGaugeVec::new(
        Opts::new(
            "streamflow_agent_transform_memory_bytes",
            "memory of the instance that was called last",
        ),
        &["transform"],
    )?;
    for one in transforms {
        for (cause, count) in &one.failures {
            failures.with_label_values(&[&one.name, cause]).inc_by(*count);
        }
        seconds.with_label_values(&[&one.name]).inc_by(one.seconds);
        quarantined
            .with_label_values(&[&one.name])
            .set((one.state == "quarantined").into());
        memory
            .with_label_values(&[&one.name])
            .set(i64::try_from(one.memory_bytes).unwrap_or(i64::MAX));
    }
    registry.register(Box::new(failures))?;
    registry.register(Box::new(seconds))?;
    registry.register(Box::new(quarantined))?;
    registry.register(Box::new(memory))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transform::OnError;

    #[test]
    fn each_transform_has_its_series() {
        let one = |name: &str, state: &str| TransformStatus {
            name: name.to_owned(),
            plugin: "redact-pii".to_owned(),
            version: "1.0.0".to_owned(),
            signature: "shipped".to_owned(),
            on_error: OnError::Drop,
            state: state.to_owned(),
            reason: None,
            calls: 2,
            events: 2000,
            seconds: 0.25,
            turned_away: 3,
            dropped: 4,
            passed: 0,
            failures: vec![("deadline".to_owned(), 1), ("trap".to_owned(), 0)],
            memory_bytes: 1 << 20,
            last_error: None,
        };
        let registry = Registry::new();
        register(&registry, &[one("a", "active"), one("b", "quarantined")]).unwrap();
        let text = prometheus::TextEncoder::new()
            .encode_to_string(&registry.gather())
            .unwrap();
        for line in [
            "streamflow_agent_transform_calls_total{transform=\"a\"} 2",
            "streamflow_agent_transform_events_dropped_total{transform=\"b\"} 4",
            "streamflow_agent_transform_failures_total{cause=\"deadline\",transform=\"a\"} 1",
            "streamflow_agent_transform_seconds_total{transform=\"a\"} 0.25",
            "streamflow_agent_transform_quarantined{transform=\"a\"} 0",
            "streamflow_agent_transform_quarantined{transform=\"b\"} 1",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        let none = Registry::new();
        register(&none, &[]).unwrap();
        assert!(none.gather().is_empty());
    }
}
