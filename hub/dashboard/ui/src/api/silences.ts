/** Silences: nobody is told of alerts that match, for a time. */

import { all, call } from "./client";
import type { Level } from "./types";

export interface Matcher {
  name: string;
  op: "=" | "!=" | "=~" | "!~";
  value: string;
}

/** An open alert that a silence means. */
export interface Meant {
  id: string;
  title: string;
  level: Level;
}

export interface Silence {
  id: string;
  matchers: Matcher[];
  state: "pending" | "active" | "expired";
  starts_at: string;
  ends_at: string;
  comment: string;
  created_by: string;
  alerts: Meant[];
}

export async function preview(matchers: Matcher[]): Promise<Meant[]> {
  return (await call<{ data: Meant[] }>("POST", "/api/v1/silences/preview", { matchers })).data;
}

export async function silences(): Promise<Silence[]> {
  return all<Silence>("/api/v1/silences");
}

const path = (id: string): string => `/api/v1/silences/${encodeURIComponent(id)}`;

/** Ends it now. */
export async function expire(id: string): Promise<void> {
  await call("DELETE", path(id));
}

/** A silence as it is written. */
export interface SilenceDraft {
  matchers: Matcher[];
  starts_at?: number;
  ends_at: number;
  comment: string;
}

export async function create(draft: SilenceDraft): Promise<Silence> {
  return (await call<{ data: Silence }>("POST", "/api/v1/silences", draft)).data;
}

export async function change(id: string, draft: SilenceDraft): Promise<Silence> {
  return (await call<{ data: Silence }>("PUT", path(id), draft)).data;
}
