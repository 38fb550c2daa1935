//! From the kernel's figures to samples with a name, a value and a unit. Pure.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Serialize;

/// What the kernel says at one moment; counters grow since the machine was started.
#[derive(Clone, Debug)]
pub struct Figures {
    /// When.
    pub at: Instant,
    /// Ticks in which a processor worked.
    pub cpu_busy: u64,
    /// All ticks.
    pub cpu_total: u64,
    /// Bytes of memory.
    pub memory_total: u64,
    /// Bytes that programs could have.
    pub memory_available: u64,
    /// Over 1, 5 and 15 minutes.
    pub load: [f32; 3],
    /// File systems.
    pub mounts: Vec<Mount>,
    /// Disks.
    pub disks: Vec<Disk>,
    /// Network interfaces.
    pub interfaces: Vec<Interface>,
}

/// Bytes of a file system.
#[derive(Clone, Debug)]
pub struct Mount {
    /// Where it is mounted.
    pub path: String,
    /// All.
    pub total: u64,
    /// Not used, those reserved for root included.
    pub free: u64,
    /// Not used and free for everyone.
    pub available: u64,
}

/// Traffic of a disk.
#[derive(Clone, Debug)]
pub struct Disk {
    /// Kernel name.
    pub device: String,
    /// Since the machine was started.
    pub read_bytes: u64,
    /// Since the machine was started.
    pub written_bytes: u64,
}

/// Traffic of a network interface.
#[derive(Clone, Debug)]
pub struct Interface {
    /// Kernel name.
    pub name: String,
    /// Since the machine was started.
    pub received_bytes: u64,
    /// Since the machine was started.
    pub sent_bytes: u64,
}

/// `data` of one event.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sample<'a> {
    /// Dotted name.
    pub name: &'static str,
    /// The figure.
    pub value: f64,
    /// What it counts.
    pub unit: &'static str,
    /// Which one of several.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<&'static str, &'a str>,
}

const PERCENT: &str = "percent";
const BYTES: &str = "bytes";
const RATE: &str = "bytes_per_second";

/// The samples of one moment. Rates need the moment before.
pub fn samples<'a>(before: Option<&Figures>, now: &'a Figures) -> Vec<Sample<'a>> {
    let mut found = Vec::new();
    let mut add = |name, value: f64, unit, label: Option<(&'static str, &'a str)>| {
        // Two decimals are more than these figures mean, and short numbers compress.
        found.push(Sample {
            name,
            value: (value * 100.0).round() / 100.0,
            unit,
            labels: label.into_iter().collect(),
        });
    };
    let before = before.filter(|before| now.at > before.at);
    if let Some(before) = before {
        let total = now.cpu_total.saturating_sub(before.cpu_total);
        let busy = now.cpu_busy.saturating_sub(before.cpu_busy);
        if total > 0 {
            add("host.cpu.utilization", percent(busy, total), PERCENT, None);
        }
    }
    let used = now.memory_total.saturating_sub(now.memory_available);
    add(
        "host.memory.used_percent",
        percent(used, now.memory_total),
        PERCENT,
        None,
    );
    add("host.memory.used_bytes", used as f64, BYTES, None);
    add("host.memory.total_bytes", now.memory_total as f64, BYTES, None);
    for (name, load) in ["host.load.1", "host.load.5", "host.load.15"].into_iter().zip(now.load) {
        add(name, f64::from(load), "1", None);
    }
    for mount in &now.mounts {
        let used = mount.total.saturating_sub(mount.free);
        // As `df` says it: of what ordinary programs can reach.
        let value = percent(used, used + mount.available);
        add("host.disk.used_percent", value, PERCENT, Some(("mount", &mount.path)));
    }
    let Some(before) = before else { return found };
    let seconds = (now.at - before.at).as_secs_f64();
    let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
    for disk in &now.disks {
        let Some(then) = before.disks.iter().find(|then| then.device == disk.device) else {
            continue;
        };
        let label = Some(("device", disk.device.as_str()));
        add(
            "host.disk.read_bytes_per_second",
            rate(disk.read_bytes, then.read_bytes),
            RATE,
            label,
        );
        add(
            "host.disk.write_bytes_per_second",
            rate(disk.written_bytes, then.written_bytes),
            RATE,
            label,
        );
    }
    for interface in &now.interfaces {
        let Some(then) = before.interfaces.iter().find(|then| then.name == interface.name) else {
            continue;
        };
        let label = Some(("interface", interface.name.as_str()));
        add(
            "host.network.receive_bytes_per_second",
            rate(interface.received_bytes, then.received_bytes),
            RATE,
            label,
        );
        add(
            "host.network.transmit_bytes_per_second",
            rate(interface.sent_bytes, then.sent_bytes),
            RATE,
            label,
        );
    }
    found
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 * 100.0 / whole as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn figures(at: Instant, scale: u64) -> Figures {
        Figures {
            at,
            cpu_busy: 100 * scale,
            cpu_total: 400 * scale,
            memory_total: 1_000,
            memory_available: 250,
            load: [0.5, 1.0, 1.5],
            mounts: vec![Mount {
                path: "/".into(),
                total: 1_000,
                free: 600,
                available: 400,
            }],
            disks: vec![Disk {
                device: "sda".into(),
                read_bytes: 2_000 * scale,
                written_bytes: 0,
            }],
            interfaces: vec![Interface {
                name: "eth0".into(),
                received_bytes: 500 * scale,
                sent_bytes: 10 * scale,
            }],
        }
    }

    fn value(samples: &[Sample<'_>], name: &str) -> Option<f64> {
        samples
            .iter()
            .find(|sample| sample.name == name)
            .map(|sample| sample.value)
    }

    #[test]
    fn rates_and_shares() {
        let start = Instant::now();
        let (before, now) = (figures(start, 1), figures(start + Duration::from_secs(2), 2));
        let found = samples(Some(&before), &now);
        for (name, expected) in [
            ("host.cpu.utilization", 25.0),
            ("host.memory.used_percent", 75.0),
            ("host.memory.used_bytes", 750.0),
            ("host.load.5", 1.0),
            ("host.disk.used_percent", 50.0),
            ("host.disk.read_bytes_per_second", 1_000.0),
            ("host.network.receive_bytes_per_second", 250.0),
            ("host.network.transmit_bytes_per_second", 5.0),
        ] {
            assert_eq!(value(&found, name), Some(expected), "{name}");
        }
        let json = serde_json::to_string(&found[found.len() - 1]).unwrap();
        assert_eq!(
            json,
            r#"{"name":"host.network.transmit_bytes_per_second","value":5.0,"unit":"bytes_per_second","labels":{"interface":"eth0"}}"#
        );
    }

    #[test]
    fn the_first_moment_has_no_rates_and_a_counter_that_starts_again_gives_zero() {
        let start = Instant::now();
        let now = figures(start, 1);
        assert_eq!(value(&samples(None, &now), "host.cpu.utilization"), None);
        let later = figures(start + Duration::from_secs(1), 0);
        let found = samples(Some(&now), &later);
        assert_eq!(value(&found, "host.network.receive_bytes_per_second"), Some(0.0));
    }
}
