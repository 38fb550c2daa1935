//! This machine's own figures as `metric` events, one event for each figure and interval.

mod sample;

use std::io;
use std::sync::Arc;
use std::time::Instant;

use procfs::{Current, CurrentSI};
use serde::{Deserialize, Serialize};
use streamflow_proto::build::Head;
use streamflow_proto::event::Severity;

use super::file::Waker;
use crate::batch::Batcher;
use crate::clock;
use crate::config::units::Span;
use crate::counters::SourceCounters;
use crate::spool::inbox::Closed;
use sample::{Disk, Figures, Interface, Mount, samples};

/// `[[sources]]` with `kind = "host"`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HostOptions {
    /// Name in messages and counters.
    pub name: String,
    /// Time between two samples.
    pub interval: Span,
    /// `source` of the events; the agent's name unless set.
    pub source: Option<String>,
}

impl Default for HostOptions {
    fn default() -> Self {
        Self {
            name: "host".into(),
            interval: Span::secs(10),
            source: None,
        }
    }
}

/// A host source before it runs.
pub struct HostSource {
    options: HostOptions,
    source: String,
    batcher: Batcher,
    counters: Arc<SourceCounters>,
    waker: Waker,
    data: Vec<u8>,
}

impl HostSource {
    /// Nothing is read yet. `agent` is the default of `source`.
    pub fn build(options: &HostOptions, agent: &str, batcher: Batcher, counters: Arc<SourceCounters>) -> Self {
        Self {
            source: options.source.clone().unwrap_or_else(|| agent.to_owned()),
            options: options.clone(),
            batcher,
            counters,
            waker: Waker::default(),
            data: Vec::new(),
        }
    }

    /// Stops the source.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Samples until the waker says stop. Blocks its thread.
    pub fn run(mut self) {
        let mut before = None;
        let mut due = Instant::now();
        while !self.waker.is_stopped() {
            let now = Instant::now();
            if now < due {
                self.waker.wait(due - now);
                continue;
            }
            // After a pause of the machine one sample is enough.
            due = (due + self.options.interval.0).max(now);
            match read(now) {
                Ok(figures) => {
                    if self.pass_on(before.as_ref(), &figures).is_err() {
                        return;
                    }
                    before = Some(figures);
                }
                Err(error) => {
                    self.counters.error(error.to_string());
                    tracing::warn!(%error, "cannot read the figures of this host");
                }
            }
        }
    }

    fn pass_on(&mut self, before: Option<&Figures>, now: &Figures) -> Result<(), Closed> {
        let head = Head {
            kind: "metric",
            source: &self.source,
            timestamp_ms: clock::now_ms(),
            severity: Severity::Medium,
            id: None,
            metadata: None,
        };
        for sample in samples(before, now) {
            self.data.clear();
            let written = serde_json::to_writer(&mut self.data, &sample).map_err(|error| error.to_string());
            let pushed = written.and_then(|()| {
                self.batcher
                    .builder()
                    .push_log(&head, &self.data)
                    .map_err(|rejection| rejection.to_string())
            });
            if let Err(reason) = pushed {
                self.counters.error(format!("{}: {reason}", sample.name));
            }
            if self.batcher.is_full() {
                self.batcher.flush()?;
            }
        }
        self.batcher.flush()
    }
}

fn read(now: Instant) -> Result<Figures, procfs::ProcError> {
    let cpu = procfs::KernelStats::current()?.total;
    let idle = cpu.idle + cpu.iowait.unwrap_or(0);
    let busy =
        cpu.user + cpu.nice + cpu.system + cpu.irq.unwrap_or(0) + cpu.softirq.unwrap_or(0) + cpu.steal.unwrap_or(0);
    let memory = procfs::Meminfo::current()?;
    let load = procfs::LoadAverage::current()?;
    let blocks = block_devices().unwrap_or_default();
    let disks = procfs::diskstats()?
        .into_iter()
        .filter(|disk| blocks.contains(&disk.name))
        .map(|disk| Disk {
            read_bytes: disk.sectors_read * 512,
            written_bytes: disk.sectors_written * 512,
            device: disk.name,
        })
        .collect();
    let interfaces = procfs::net::dev_status()?
        .into_values()
        .filter(|interface| interface.name != "lo")
        .map(|interface| Interface {
            received_bytes: interface.recv_bytes,
            sent_bytes: interface.sent_bytes,
            name: interface.name,
        })
        .collect();
    Ok(Figures {
        at: now,
        cpu_busy: busy,
        cpu_total: busy + idle,
        memory_total: memory.mem_total,
        memory_available: memory.mem_available.unwrap_or(memory.mem_free),
        load: [load.one, load.five, load.fifteen],
        mounts: mounts()?,
        disks,
        interfaces,
    })
}

/// Whole disks that are not made of memory or files.
fn block_devices() -> io::Result<Vec<String>> {
    let made_up = ["loop", "ram", "zram", "fd", "sr"];
    let names = std::fs::read_dir("/sys/block")?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names
        .filter(|name| !made_up.iter().any(|prefix| name.starts_with(prefix)))
        .collect())
}

/// File systems on disks, each once, and `/` whatever it is on. Network file systems are left out, as asking a dead one hangs.
fn mounts() -> Result<Vec<Mount>, procfs::ProcError> {
    let mut found: Vec<(String, Mount)> = Vec::new();
    for entry in procfs::mounts()? {
        if !(entry.fs_spec.starts_with("/dev/") || entry.fs_vfstype == "zfs" || entry.fs_file == "/") {
            continue;
        }
        if found
            .iter()
            .any(|(device, mount)| *device == entry.fs_spec || mount.path == entry.fs_file)
        {
            continue;
        }
        let Ok(stat) = rustix::fs::statvfs(entry.fs_file.as_str()) else {
            continue;
        };
        let mount = Mount {
            path: entry.fs_file,
            total: stat.f_blocks * stat.f_frsize,
            free: stat.f_bfree * stat.f_frsize,
            available: stat.f_bavail * stat.f_frsize,
        };
        if mount.total > 0 {
            found.push((entry.fs_spec, mount));
        }
    }
    Ok(found.into_iter().map(|(_, mount)| mount).collect())
}
