/** Fire drills: a marked event from an agent to a person's acknowledgement. */

import { call } from "./client";
import type { Page } from "./types";

export type DrillState = "running" | "passed" | "failed";

export interface Hop {
  hop: string;
  at: string;
  took_ms: number;
  detail?: string;
}

export interface Drill {
  id: string;
  state: DrillState;
  by: string;
  schedule?: string;
  target: string;
  agent: string;
  event_id?: string;
  alert_id?: string;
  channels: string[];
  would_tell: string[];
  started_at: string;
  ended_at?: string;
  hops: Hop[];
  lost_at?: string;
  reason?: string;
  notes: string[];
  request: { from_hub?: boolean; page?: boolean; acknowledge?: boolean };
}

export interface DrillRequest {
  rule: string;
  from_hub: boolean;
  page: boolean;
  agent?: string;
  channels?: string[];
  acknowledge: boolean;
}

export async function drills(): Promise<Drill[]> {
  return (await call<Page<Drill>>("GET", "/api/v1/drills?limit=100")).data;
}

export async function drill(request: DrillRequest): Promise<Drill> {
  return (await call<{ data: Drill }>("POST", "/api/v1/drills", request)).data;
}
