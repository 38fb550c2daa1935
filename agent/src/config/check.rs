//! What a value must be beyond its type. Pure: nothing is opened, bound or connected.

use std::collections::HashSet;
use std::net::SocketAddr;

use streamflow_plugin_host::signature::check_key;
use streamflow_proto::filter::Filter;

use super::{Config, ProcessorOptions, SourceOptions};
use crate::source::file::FileOptions;
use crate::transform::{MAX_DEADLINE_MS, PluginsOptions};

const MIN_SPOOL: u64 = 8 << 20;
const MIN_SEGMENT: u64 = 2 << 20;
const MAX_SEGMENT: u64 = 1 << 30;

/// All mistakes, as dotted key and message.
pub fn check(config: &Config) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut fault = |key: &str, message: String| found.push((key.to_owned(), message));
    if config.data_dir.as_os_str().is_empty() {
        fault("data_dir", "is empty, name a folder that only the agent uses".into());
    }
    if !(1..=256).contains(&config.name.len()) {
        fault(
            "name",
            "must have 1 to 256 bytes, as it becomes the `source` of events".into(),
        );
    }
    for endpoint in &config.hub.endpoints {
        if let Err(reason) = check_endpoint(endpoint) {
            fault("hub.endpoints", format!("`{endpoint}` {reason}"));
        }
    }
    if config.hub.reconnect_min > config.hub.reconnect_max {
        fault(
            "hub.reconnect_min",
            format!("is longer than reconnect_max ({})", config.hub.reconnect_max),
        );
    }
    if config.hub.reconnect_min.0.is_zero() {
        fault("hub.reconnect_min", "must be longer than zero".into());
    }
    if config.hub.heartbeat.0.is_zero() {
        fault("hub.heartbeat", "must be longer than zero".into());
    }
    if config.spool.max_bytes.0 < MIN_SPOOL {
        fault("spool.max_bytes", "must be at least 8MiB".into());
    }
    if !(MIN_SEGMENT..=MAX_SEGMENT).contains(&config.spool.segment_bytes.0) {
        fault("spool.segment_bytes", "must be between 2MiB and 1GiB".into());
    }
    if !(1..=65_536).contains(&config.batch.max_events) {
        fault("batch.max_events", "must be between 1 and 65536".into());
    }
    if config.edge.max_metrics > 1000 {
        fault("edge.max_metrics", "must be at most 1000".into());
    }
    if !(1..=10_000).contains(&config.edge.max_groups) {
        fault("edge.max_groups", "must be between 1 and 10000".into());
    }
    if !config.metrics.listen.is_empty() && config.metrics.listen.parse::<SocketAddr>().is_err() {
        fault(
            "metrics.listen",
            format!(
                "`{}` is not an address such as \"127.0.0.1:9464\"",
                config.metrics.listen
            ),
        );
    }
    if let Err(error) = config.log.level.parse::<tracing_subscriber::filter::Targets>() {
        fault("log.level", format!("{error}; write error, warn, info, debug or trace"));
    }
    if config.sources.is_empty() {
        fault(
            "sources",
            "none is configured, add [[sources]] with kind = \"file\" or kind = \"host\"".into(),
        );
    }
    let (mut names, mut plugins) = (HashSet::new(), HashSet::new());
    for (index, source) in config.sources.iter().enumerate() {
        let at = format!("sources[{index}]");
        if !names.insert(source.name()) {
            fault(
                &format!("{at}.name"),
                format!(
                    "another source is already called `{}`, give each its own name",
                    source.name()
                ),
            );
        }
        match source {
            SourceOptions::File(file) => check_file(file, &at, &mut fault),
            SourceOptions::Host(host) if host.interval.0 < std::time::Duration::from_millis(100) => {
                fault(&format!("{at}.interval"), "must be at least 100ms".into());
            }
            SourceOptions::Host(_) => {}
        }
    }
    for (index, processor) in config.processors.iter().enumerate() {
        let at = format!("processors[{index}]");
        match processor {
            ProcessorOptions::Filter(filter) => {
                if let Err(error) = Filter::compile(&filter.expression) {
                    fault(&format!("{at}.match"), format!("does not parse: {error}"));
                }
            }
            ProcessorOptions::Plugin(plugin) => {
                if let Some(mistake) = plugin.mistake() {
                    fault(&format!("{at}.plugin"), format!("`{}` {mistake}", plugin.plugin));
                }
                let name = plugin.name();
                if !plugins.insert(name.clone()) {
                    fault(
                        &format!("{at}.name"),
                        format!("another processor is already called `{name}`, give each its own name"),
                    );
                }
            }
        }
    }
    check_plugins(&config.plugins, &mut fault);
    found
}

fn check_plugins(plugins: &PluginsOptions, fault: &mut impl FnMut(&str, String)) {
    for key in &plugins.trusted_keys {
        if let Err(error) = check_key(key) {
            fault("plugins.trusted_keys", error.to_string());
        }
    }
    let limits = &plugins.limits;
    for (key, value, most) in [
        ("memory_mib", limits.memory_mib, 4096),
        ("transform_deadline_ms", limits.transform_deadline_ms, MAX_DEADLINE_MS),
        ("compile_ms", limits.compile_ms, 600_000),
    ] {
        if !(1..=most).contains(&value) {
            fault(
                &format!("plugins.limits.{key}"),
                format!("must be between 1 and {most}"),
            );
        }
    }
}

fn check_file(file: &FileOptions, at: &str, fault: &mut impl FnMut(&str, String)) {
    if file.paths.is_empty() {
        fault(
            &format!("{at}.paths"),
            "is empty, name at least one file: paths = [\"/var/log/*.log\"]".into(),
        );
    }
    for (key, patterns) in [("paths", &file.paths), ("exclude", &file.exclude)] {
        for pattern in patterns {
            if let Err(error) = glob::Pattern::new(pattern) {
                fault(&format!("{at}.{key}"), format!("`{pattern}` is not a pattern: {error}"));
            }
        }
    }
    for path in file.paths.iter().filter(|path| !path.starts_with('/')) {
        fault(&format!("{at}.paths"), format!("`{path}` must be an absolute path"));
    }
    if !(64..=64 << 10).contains(&file.max_line_bytes.0) {
        fault(
            &format!("{at}.max_line_bytes"),
            "must be between 64B and 64KiB, the limit of an event's data".into(),
        );
    }
    if !(1..=128).contains(&file.event_type.len()) {
        fault(&format!("{at}.type"), "must have 1 to 128 bytes".into());
    }
    if file
        .source
        .as_ref()
        .is_some_and(|source| !(1..=256).contains(&source.len()))
    {
        fault(&format!("{at}.source"), "must have 1 to 256 bytes".into());
    }
    if file.poll_interval.0.is_zero() {
        fault(&format!("{at}.poll_interval"), "must be longer than zero".into());
    }
}

/// Whether a text is `HOST:PORT`, and what it lacks.
pub fn check_endpoint(endpoint: &str) -> Result<(), &'static str> {
    let (host, port) = endpoint
        .rsplit_once(':')
        .ok_or("has no port, write HOST:PORT, such as hub.example:4433")?;
    if host.is_empty() {
        return Err("has no host, write HOST:PORT");
    }
    match port.parse::<u16>() {
        Ok(0) | Err(_) => Err("has no valid port, write a number from 1 to 65535"),
        Ok(_) => Ok(()),
    }
}
