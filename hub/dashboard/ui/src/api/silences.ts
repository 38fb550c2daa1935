/** Silences: nobody is told of alerts that match, for a time. */

import { call } from "./client";
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

export async function silence(matchers: Matcher[], ends_at: number, comment: string): Promise<Silence> {
  return (await call<{ data: Silence }>("POST", "/api/v1/silences", { matchers, ends_at, comment })).data;
}
