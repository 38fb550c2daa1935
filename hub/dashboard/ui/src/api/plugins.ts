/** Plugins: what there is, and what an administrator does with it. */

import { call } from "./client";
import type { Level, Page, Plugin } from "./types";

export type Act = "approve" | "enable" | "disable" | "rollback" | "promote" | "discard";

export type LineLevel = "debug" | "info" | "warn" | "error";

export interface Line {
  seq: number;
  at: string;
  level: LineLevel;
  version: string;
  used_by: string;
  instance: number | null;
  line: string;
}

export interface Logs {
  lines: Line[];
  last: number;
  dropped: number;
}

export interface Verdict {
  key: string;
  resolved: boolean;
  level: Level | null;
  title: string;
  body: string;
  value: number | null;
  labels: Record<string, string>;
}

export interface Cost {
  cpu_ns_per_event: number | null;
  memory_bytes: number;
  errors: number;
  traps: number;
}

export interface Shadow {
  version: string;
  active_version: string;
  state: "waiting" | "running" | "stopped";
  reason: string | null;
  signature: string;
  since: string;
  rules: string[];
  calls: number;
  events: number;
  passed_over_calls: number;
  verdicts: { same: number; changed: number; only_active: number; only_shadow: number };
  active: Cost;
  shadow: Cost;
  examples: { kind: "only_active" | "only_shadow" | "changed"; rule: string; at: string; active: Verdict | null; shadow: Verdict | null }[];
}

const path = (name: string): string => `/api/v1/plugins/${encodeURIComponent(name)}`;

export async function plugins(): Promise<Plugin[]> {
  return (await call<Page<Plugin>>("GET", "/api/v1/plugins")).data;
}

export async function act(name: string, what: Act): Promise<Plugin> {
  return (await call<{ data: Plugin }>("POST", `${path(name)}/${what}`)).data;
}

/** With `force` also one that rules or channels use. */
export async function remove(name: string, force: boolean): Promise<void> {
  await call("DELETE", `${path(name)}?force=${force}`);
}

export async function install(file: Blob, how: { approve: boolean; shadow: boolean }): Promise<Plugin> {
  return (await call<{ data: Plugin }>("POST", `/api/v1/plugins?approve=${how.approve}&shadow=${how.shadow}`, file)).data;
}

export async function logs(name: string, after: number, level: LineLevel): Promise<Logs> {
  return (await call<{ data: Logs }>("GET", `${path(name)}/logs?after=${after}&level=${level}&limit=500`)).data;
}

export async function shadow(name: string): Promise<Shadow> {
  return (await call<{ data: Shadow }>("GET", `${path(name)}/shadow`)).data;
}
