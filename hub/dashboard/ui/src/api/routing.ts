/** Who is told: routing, escalation policies, on-call schedules, recurring maintenance windows. */

import { all, call } from "./client";
import type { Matcher } from "./silences";
import type { Level } from "./types";

/** A node of the routing tree. What is null or missing it takes from the node above. */
export interface Route {
  matchers: Matcher[];
  level: Level | null;
  channels: string[] | null;
  escalation: string | null;
  group_by: string[] | null;
  group_wait: string | null;
  group_interval: string | null;
  repeat_interval: string | null;
  continue: boolean;
  routes: Route[];
}

export interface Inhibition {
  source: Matcher[];
  target: Matcher[];
  equal: string[];
}

export interface Routing {
  route: Route;
  inhibit: Inhibition[];
  version: number;
  updated_at: string;
  /** The file that it is kept in; it cannot be changed here then. */
  provisioned?: string;
}

/** Where an alert would go. */
export interface Way {
  route: string;
  channels: string[];
  tells: string[];
  escalation: string | null;
  group: Record<string, string>;
  group_wait: string;
  group_interval: string;
  repeat_interval: string;
}

export interface Escalation {
  name: string;
  steps: { after: string; channels: string[] }[];
  repeat: number;
  resume_after: string | null;
}

export interface Hours {
  time_zone: string;
  spans: { days: string[]; days_of_month: number[]; months: number[]; from: string; to: string }[];
  except: string[];
}

export interface Schedule {
  name: string;
  time_zone: string;
  people: { name: string; channels: string[] }[];
  rotations: { people: string[]; starts_on: string; hand_over: string; every_days: number; hours: Hours | null }[];
  overrides: { person: string; from: string; until: string }[];
}

/** Who is on call by a schedule. */
export interface Oncall {
  schedule: string;
  person: string | null;
  channels: string[];
  why: string;
  until: string | null;
}

export interface Maintenance {
  name: string;
  matchers: Matcher[];
  hours: Hours;
  starts_at: string | null;
  ends_at: string | null;
  comment: string;
  enabled: boolean;
}

export async function routing(): Promise<Routing> {
  return (await call<{ data: Routing }>("GET", "/api/v1/routing")).data;
}

export async function saveRouting(routing: unknown): Promise<void> {
  await call("PUT", "/api/v1/routing", routing);
}

export async function ways(labels: Record<string, string>, level: Level): Promise<Way[]> {
  return (await call<{ data: Way[] }>("POST", "/api/v1/routing/test", { labels, level })).data;
}

export async function oncall(): Promise<Oncall[]> {
  return (await call<{ data: Oncall[] }>("GET", "/api/v1/oncall")).data;
}

/** Documents that are told apart by their name. */
export interface Named<T extends { name: string }> {
  list: () => Promise<T[]>;
  create: (value: unknown) => Promise<void>;
  replace: (name: string, value: unknown) => Promise<void>;
  remove: (name: string) => Promise<void>;
}

function named<T extends { name: string }>(path: string): Named<T> {
  const one = (name: string): string => `${path}/${encodeURIComponent(name)}`;
  return {
    list: () => all<T>(path),
    create: async (value) => void (await call("POST", path, value)),
    replace: async (name, value) => void (await call("PUT", one(name), value)),
    remove: async (name) => void (await call("DELETE", one(name))),
  };
}

export const escalations = named<Escalation>("/api/v1/escalations");
export const schedules = named<Schedule>("/api/v1/oncall/schedules");
export const maintenance = named<Maintenance>("/api/v1/maintenance");
