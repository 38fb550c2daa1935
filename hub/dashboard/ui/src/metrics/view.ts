/** Metrics as the page draws them and tells of them. Pure. */

import type { Metric, MetricDraft, Values } from "../api/metrics";

/** Lines of a chart that can be told apart. */
export const MOST_SERIES = 8;

export const RANGES = [
  { name: "15 min", hours: 0.25 },
  { name: "1 hour", hours: 1 },
  { name: "6 hours", hours: 6 },
  { name: "1 day", hours: 24 },
  { name: "1 week", hours: 168 },
  { name: "30 days", hours: 720 },
];

export interface Line {
  name: string;
  /** By the chart's times; null where there is none. */
  values: (number | null)[];
  latest: number | null;
  largest: number;
}

export interface Chart {
  /** Unix seconds. */
  times: number[];
  lines: Line[];
  /** Series beyond those that are drawn. */
  more: number;
  /** From this place in `times` on not all hosts have reported; equal to its length when all have. */
  completeUntil: number;
}

/**
 * Series over their common times, those with the largest values first. A step without a value is a gap, and so is what lies before the metric was declared: the hub
 * has counted nothing there, which is not the same as zero. A step that is not over by `now` has no value yet.
 */
export function chartOf({ data: all, step_ms }: Values, since: number, now: number): Chart {
  const data = all.map(({ group, points }) => ({ group, points: points.filter(([start]) => start + step_ms > since && start + step_ms <= now) }));
  const starts = new Set<number>();
  let incomplete = Number.POSITIVE_INFINITY;
  for (const { points } of data) {
    for (const [start, , complete] of points) {
      starts.add(start);
      if (!complete) incomplete = Math.min(incomplete, start);
    }
  }
  const found = [...starts].sort((a, b) => a - b);
  const first = found[0];
  const last = found.at(-1);
  if (first === undefined || last === undefined) return { times: [], lines: [], more: 0, completeUntil: 0 };
  // Also the steps that no series has: they are gaps, and not straight lines over them.
  const times: number[] = [];
  for (let at = first; at <= last; at += step_ms) times.push(at);
  const place = new Map(times.map((at, i) => [at, i]));
  const lines = data.map(({ group, points }): Line => {
    const values = new Array<number | null>(times.length).fill(null);
    for (const [start, value] of points) {
      const at = place.get(start);
      if (at !== undefined) values[at] = value;
    }
    const known = points.map(([, value]) => value);
    return { name: groupText(group), values, latest: known.at(-1) ?? null, largest: Math.max(...known.map(Math.abs), 0) };
  });
  lines.sort((a, b) => b.largest - a.largest || a.name.localeCompare(b.name));
  const completeUntil = times.findIndex((at) => at >= incomplete);
  return {
    times: times.map((at) => at / 1000),
    lines: lines.slice(0, MOST_SERIES),
    more: Math.max(0, lines.length - MOST_SERIES),
    completeUntil: completeUntil < 0 ? times.length : completeUntil,
  };
}

/** `shop.order`, or `de, web-1`; the metric itself when it has one series. */
export function groupText(group: Record<string, string>): string {
  const values = Object.values(group);
  return values.length === 0 ? "all" : values.map((value) => (value === "" ? "(none)" : value)).join(", ");
}

/** What it computes, in a line. */
export function asksText({ aggregate, match, group_by, window }: MetricDraft): string {
  const of = match === "true" ? "all events" : match;
  return `${aggregate} of ${of}${group_by.length === 0 ? "" : ` by ${group_by.join(", ")}`}, each ${window}`;
}

export function placedText({ builtin, placement, placed }: Metric): string {
  if (placed.at === "hub") return `Computed at the hub${builtin || placed.reason === "" ? "" : `: ${placed.reason}`}.`;
  return `Computed on ${placed.edge_agents} ${placed.edge_agents === 1 ? "host" : "hosts"}${placement === "auto" ? ", as all that are connected can" : ""}${placed.reason === "" ? "" : `: ${placed.reason}`}.`;
}

export function newMetric(): MetricDraft {
  return { name: "", description: "", match: "true", aggregate: "count()", group_by: [], window: "1m", placement: "auto", keep_events: true };
}

/** Distances of a time axis' marks, seconds, and whether a mark needs its day. */
export function axisSteps(rangeSeconds: number): { incrs: number[]; days: boolean } {
  const HOUR = 3600;
  if (rangeSeconds < HOUR) return { incrs: [60, 120, 180, 300], days: false };
  if (rangeSeconds <= 2 * HOUR) return { incrs: [300, 600, 900, 1800], days: false };
  if (rangeSeconds <= 36 * HOUR) return { incrs: [1800, HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR], days: false };
  return { incrs: [6 * HOUR, 12 * HOUR, 24 * HOUR, 48 * HOUR, 96 * HOUR, 168 * HOUR], days: true };
}
