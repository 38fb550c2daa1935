//! What `/metrics` says about plugins.

use prometheus::{
    Counter, CounterVec, Error, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry,
};

use crate::sandbox::Cause;

/// All plugins' series.
#[derive(Debug, Clone)]
pub(crate) struct Meters {
    calls: IntCounterVec,
    events: IntCounterVec,
    cpu: CounterVec,
    quarantines: IntCounterVec,
    errors: IntCounterVec,
    traps: IntCounterVec,
    seconds: HistogramVec,
    memory: IntGaugeVec,
    active: IntGaugeVec,
    quarantined: IntGaugeVec,
    http: IntCounterVec,
    mail: IntCounterVec,
    lines_dropped: IntCounterVec,
}

/// One plugin's series.
#[derive(Debug)]
pub(crate) struct PluginMeters {
    pub(crate) calls: IntCounter,
    pub(crate) events: IntCounter,
    pub(crate) cpu: Counter,
    pub(crate) quarantines: IntCounter,
    pub(crate) transient: IntCounter,
    pub(crate) permanent: IntCounter,
    pub(crate) seconds: Histogram,
    pub(crate) memory: IntGauge,
    pub(crate) active: IntGauge,
    quarantined: IntGaugeVec,
    plugin: String,
    traps: [IntCounter; Cause::ALL.len()],
}

/// One plugin's requests, or messages, by outcome.
#[derive(Debug)]
pub(crate) struct Outcomes {
    counts: IntCounterVec,
    plugin: String,
}

impl Meters {
    pub(crate) fn register(registry: &Registry) -> Result<Self, Error> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let made = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(made.clone()))?;
            Ok::<_, Error>(made)
        };
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            let made = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(made.clone()))?;
            Ok::<_, Error>(made)
        };
        let seconds = HistogramVec::new(
            HistogramOpts::new(
                "streamflow_plugin_call_seconds",
                "Time of calls, with what the plugin waited for",
            )
            .buckets(vec![
                0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0,
            ]),
            &["plugin"],
        )?;
        registry.register(Box::new(seconds.clone()))?;
        let cpu = CounterVec::new(
            Opts::new("streamflow_plugin_cpu_seconds_total", "Computing time of plugins"),
            &["plugin"],
        )?;
        registry.register(Box::new(cpu.clone()))?;
        Ok(Self {
            cpu,
            events: counter(
                "streamflow_plugin_events_total",
                "Events shown to rule plugins, and notifications given to channel plugins",
                &["plugin"],
            )?,
            quarantines: counter(
                "streamflow_plugin_quarantines_total",
                "How often a plugin was put into quarantine",
                &["plugin"],
            )?,
            calls: counter("streamflow_plugin_calls_total", "Calls of plugins", &["plugin"])?,
            errors: counter(
                "streamflow_plugin_errors_total",
                "Calls that a plugin answered with a failure",
                &["plugin", "kind"],
            )?,
            traps: counter(
                "streamflow_plugin_traps_total",
                "Calls that the sandbox ended",
                &["plugin", "cause"],
            )?,
            seconds,
            memory: gauge(
                "streamflow_plugin_memory_bytes",
                "Memory of the instance that was called last",
                &["plugin"],
            )?,
            active: gauge(
                "streamflow_plugin_active",
                "1 when the plugin runs, 0 when it failed to load, is disabled or is in quarantine",
                &["plugin"],
            )?,
            quarantined: gauge(
                "streamflow_plugin_quarantined",
                "1 while a plugin is in quarantine, by the cause of its last fault",
                &["plugin", "cause"],
            )?,
            http: counter(
                "streamflow_plugin_http_requests_total",
                "HTTP requests of plugins",
                &["plugin", "outcome"],
            )?,
            mail: counter(
                "streamflow_plugin_mails_total",
                "Mail messages of plugins",
                &["plugin", "outcome"],
            )?,
            lines_dropped: counter(
                "streamflow_plugin_log_lines_dropped_total",
                "Log lines above the limit",
                &["plugin"],
            )?,
        })
    }

    pub(crate) fn plugin(&self, name: &str) -> PluginMeters {
        PluginMeters {
            calls: self.calls.with_label_values(&[name]),
            events: self.events.with_label_values(&[name]),
            cpu: self.cpu.with_label_values(&[name]),
            quarantines: self.quarantines.with_label_values(&[name]),
            transient: self.errors.with_label_values(&[name, "transient"]),
            permanent: self.errors.with_label_values(&[name, "permanent"]),
            seconds: self.seconds.with_label_values(&[name]),
            memory: self.memory.with_label_values(&[name]),
            active: self.active.with_label_values(&[name]),
            quarantined: self.quarantined.clone(),
            plugin: name.to_owned(),
            traps: Cause::ALL.map(|cause| self.traps.with_label_values(&[name, cause.name()])),
        }
    }

    pub(crate) fn http(&self, plugin: &str) -> Outcomes {
        Outcomes {
            counts: self.http.clone(),
            plugin: plugin.to_owned(),
        }
    }

    pub(crate) fn mail(&self, plugin: &str) -> Outcomes {
        Outcomes {
            counts: self.mail.clone(),
            plugin: plugin.to_owned(),
        }
    }

    pub(crate) fn lines_dropped(&self, plugin: &str) -> IntCounter {
        self.lines_dropped.with_label_values(&[plugin])
    }

    /// A plugin that is there and does not run.
    pub(crate) fn failed(&self, plugin: &str) {
        self.active.with_label_values(&[plugin]).set(0);
    }

    /// A plugin that is gone.
    pub(crate) fn removed(&self, plugin: &str) {
        // Of a plugin that never ran there is no series.
        drop(self.active.remove_label_values(&[plugin]));
        leave_quarantine(&self.quarantined, plugin);
        drop(self.memory.remove_label_values(&[plugin]));
    }
}

/// Of a plugin that is not in quarantine there is no series.
fn leave_quarantine(quarantined: &IntGaugeVec, plugin: &str) {
    for cause in Cause::ALL {
        drop(quarantined.remove_label_values(&[plugin, cause.name()]));
    }
}

impl PluginMeters {
    /// The plugin is not called any more, for this cause.
    pub(crate) fn enter_quarantine(&self, cause: &str) {
        self.quarantined
            .with_label_values(&[self.plugin.as_str(), cause])
            .set(1);
    }

    /// It is called again, or gone.
    pub(crate) fn leave_quarantine(&self) {
        leave_quarantine(&self.quarantined, &self.plugin);
    }

    /// Mean computing time of an event, once there was one.
    pub(crate) fn cpu_ns_per_event(&self) -> Option<u64> {
        let events = self.events.get();
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a mean of nanoseconds, for people"
        )]
        (events > 0).then(|| (self.cpu.get() * 1e9 / events as f64) as u64)
    }

    /// Mean time of a call with all its waiting, once there was one.
    pub(crate) fn ns_per_call(&self) -> Option<u64> {
        let calls = self.seconds.get_sample_count();
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a mean of nanoseconds, for people"
        )]
        (calls > 0).then(|| (self.seconds.get_sample_sum() * 1e9 / calls as f64) as u64)
    }

    pub(crate) fn trap(&self, cause: Cause) {
        if let Some(index) = Cause::ALL.iter().position(|own| *own == cause) {
            self.traps[index].inc();
        }
    }

    pub(crate) fn traps(&self) -> u64 {
        self.traps.iter().map(IntCounter::get).sum()
    }
}

impl Outcomes {
    pub(crate) fn count(&self, outcome: &str) {
        self.counts.with_label_values(&[self.plugin.as_str(), outcome]).inc();
    }
}
