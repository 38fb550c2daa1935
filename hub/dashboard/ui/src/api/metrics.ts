/** Metrics that the hub keeps: declared ones, and those that come with it. */

import { all, call } from "./client";

export type Placement = "auto" | "hub" | "edge";

export interface MetricDraft {
  name: string;
  description: string;
  match: string;
  aggregate: string;
  group_by: string[];
  window: string;
  placement: Placement;
  keep_events: boolean;
}

export interface Metric extends MetricDraft {
  /** The name as in PromQL; what the API's paths call it. */
  id: string;
  builtin: boolean;
  since: string;
  version: number;
  placed: Placed;
}

/** Where a metric is computed now, and why. */
export interface Placed {
  at: "edge" | "hub";
  reason: string;
  edge_agents: number;
}

export interface Values {
  data: { group: Record<string, string>; points: [start: number, value: number, complete: boolean][] }[];
  metric: string;
  step_ms: number;
}

export async function metrics(): Promise<Metric[]> {
  return all<Metric>("/api/v1/metrics");
}

export async function values(id: string, hours: number): Promise<Values> {
  return call<Values>("GET", `/api/v1/metrics/historical?metric=${encodeURIComponent(id)}&from=${Math.round(Date.now() - hours * 3_600_000)}`);
}

export async function declare(draft: MetricDraft): Promise<Metric> {
  return (await call<{ data: Metric }>("POST", "/api/v1/metrics", draft)).data;
}

export async function remove(id: string): Promise<void> {
  await call("DELETE", `/api/v1/metrics/${encodeURIComponent(id)}`);
}
