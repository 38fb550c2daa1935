/** Host metrics of the last minutes, and the few curves that the overview draws of each host. Pure. */

import type { HostSample, Realtime } from "../api/types";

interface Track {
  name: string;
  labels: Record<string, string>;
  times: number[];
  values: number[];
}

export interface Curve {
  label: string;
  /** Unix seconds. */
  times: number[];
  values: (number | null)[];
  latest: number;
}

export interface Host {
  source: string;
  newest: number;
  cpu: Curve[];
  memory: Curve[];
  load: Curve[];
  disk: Curve[];
  network: Curve[];
  mounts: { mount: string; used: number }[];
  memoryTotal: number;
}

const PREFIX = "host.";

export class HostWindow {
  private hosts = new Map<string, Map<string, Track>>();

  constructor(readonly windowMs = 300_000) {}

  load(hosts: Realtime["hosts"], at: number): void {
    this.hosts.clear();
    for (const { source, metrics } of hosts) {
      for (const metric of metrics) {
        for (const [time, value] of metric.points) if (value !== null) this.add(source, metric.name, metric.labels, time, value);
      }
    }
    this.trim(at);
  }

  push(samples: HostSample[], at: number): void {
    for (const sample of samples) this.add(sample.source, sample.name, sample.labels, sample.at, sample.value);
    this.trim(at);
  }

  view(): Host[] {
    return [...this.hosts].sort(([a], [b]) => a.localeCompare(b)).map(([source, tracks]) => describe(source, [...tracks.values()]));
  }

  private add(source: string, name: string, labels: Record<string, string>, time: number, value: number): void {
    if (!name.startsWith(PREFIX) || !Number.isFinite(value)) return;
    let tracks = this.hosts.get(source);
    if (tracks === undefined) this.hosts.set(source, (tracks = new Map()));
    const key = `${name} ${JSON.stringify(labels)}`;
    let track = tracks.get(key);
    if (track === undefined) tracks.set(key, (track = { name, labels, times: [], values: [] }));
    const newest = track.times.at(-1);
    if (newest !== undefined && time <= newest) return;
    track.times.push(time);
    track.values.push(value);
  }

  private trim(at: number): void {
    const oldest = at - this.windowMs;
    for (const [source, tracks] of this.hosts) {
      for (const [key, track] of tracks) {
        const keep = track.times.findIndex((time) => time >= oldest);
        if (keep === -1) tracks.delete(key);
        else if (keep > 0) {
          track.times.splice(0, keep);
          track.values.splice(0, keep);
        }
      }
      if (tracks.size === 0) this.hosts.delete(source);
    }
  }
}

function describe(source: string, tracks: Track[]): Host {
  const named = (name: string): Track[] => tracks.filter((track) => track.name === PREFIX + name);
  const curve = (label: string, name: string, how: "sum" | "mean" = "sum"): Curve[] => {
    const found = combine(label, named(name), how);
    return found === null ? [] : [found];
  };
  // Loopback counts every local byte twice and hides the real link.
  const wired = (name: string): Track[] => {
    const all = named(name);
    const real = all.filter((track) => track.labels["interface"] !== "lo");
    return real.length > 0 ? real : all;
  };
  const flow = (label: string, list: Track[]): Curve[] => {
    const found = combine(label, list, "sum");
    return found === null ? [] : [found];
  };
  return {
    source,
    newest: Math.max(...tracks.map((track) => track.times.at(-1) ?? 0)),
    cpu: curve("used", "cpu.utilization", "mean"),
    memory: curve("used", "memory.used_percent", "mean"),
    load: [...curve("1 min", "load.1"), ...curve("5", "load.5"), ...curve("15", "load.15")],
    disk: [...curve("read", "disk.read_bytes_per_second"), ...curve("write", "disk.write_bytes_per_second")],
    network: [
      ...flow("in", wired("network.receive_bytes_per_second")),
      ...flow("out", wired("network.transmit_bytes_per_second")),
    ],
    mounts: named("disk.used_percent")
      .map((track) => ({ mount: track.labels["mount"] ?? "", used: track.values.at(-1) ?? 0 }))
      .sort((a, b) => b.used - a.used),
    memoryTotal: named("memory.total_bytes")[0]?.values.at(-1) ?? 0,
  };
}

/** Several label sets of one metric as one curve. Samples of one collection fall into the same second. */
export function combine(label: string, tracks: { times: number[]; values: number[] }[], how: "sum" | "mean"): Curve | null {
  const seconds = new Map<number, { sum: number; n: number }>();
  for (const { times, values } of tracks) {
    times.forEach((time, i) => {
      const second = Math.round(time / 1000);
      const cell = seconds.get(second) ?? { sum: 0, n: 0 };
      cell.sum += values[i] ?? 0;
      cell.n += 1;
      seconds.set(second, cell);
    });
  }
  if (seconds.size === 0) return null;
  const ordered = [...seconds].sort(([a], [b]) => a - b);
  const gap = Math.max(3, 3 * median(ordered.slice(1).map(([second], i) => second - (ordered[i]?.[0] ?? second))));
  const times: number[] = [];
  const values: (number | null)[] = [];
  for (const [second, { sum, n }] of ordered) {
    const before = times.at(-1);
    if (before !== undefined && second - before > gap) {
      times.push(before + 1);
      values.push(null);
    }
    times.push(second);
    values.push(how === "mean" ? sum / n : sum);
  }
  return { label, times, values, latest: values.at(-1) ?? 0 };
}

function median(list: number[]): number {
  const sorted = [...list].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
