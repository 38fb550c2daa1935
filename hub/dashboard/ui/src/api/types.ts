/** The hub's JSON, as its REST and WebSocket answers hold it. */

export type Role = "ingest" | "viewer" | "editor" | "admin";
export type Level = "info" | "warning" | "error" | "critical";
export type Severity = "low" | "medium" | "high" | "critical";
export type AlertState = "pending" | "firing" | "acknowledged" | "resolved" | "stale";

export interface Page<T> {
  data: T[];
  pagination: { next_cursor: string | null; has_next: boolean };
}

export interface Me {
  name: string;
  role: Role;
}

export interface User {
  username: string;
  role: Role;
  created_at: string;
}

export interface ApiToken {
  name: string;
  role: Role;
  created_at: string;
  expires_at: string | null;
}

export interface Tokens {
  access_token: string;
  token_type: string;
  expires_in: number;
  refresh_token: string;
}

export interface TelemetryEvent {
  id: string;
  type: string;
  source: string;
  timestamp: string;
  severity: Severity;
  data?: Record<string, unknown>;
  metadata?: Record<string, unknown>;
  correlation_id?: string;
  session_id?: string;
  user_id?: string;
  tags?: string[];
}

export interface TimelineEntry {
  at: string;
  what: string;
  by: string;
  value: number | null;
  detail: string;
}

export interface Alert {
  id: string;
  rule_id: string;
  rule_name: string;
  state: AlertState;
  level: Level;
  title: string;
  message: string;
  value: number;
  labels: Record<string, string>;
  group_key: string;
  pending_at: string | null;
  fired_at: string | null;
  acknowledged_at: string | null;
  acknowledged_by: string | null;
  resolved_at: string | null;
  resolved_by: string | null;
  flapping: boolean;
  muted_by: string[];
  annotations: Record<string, string>;
  data: Record<string, unknown>;
  completeness: { complete: boolean; reported: number; missing: string[] };
  timeline: TimelineEntry[];
}

export interface Agent {
  id: string;
  name: string;
  version: string;
  connected: boolean;
  connected_at: string | null;
  last_seen: string | null;
  remote: string | null;
  epoch: number;
  last_seq: number;
  heartbeat_at: string | null;
  clock_skew_ms: number | null;
  lag_ms: number;
  spool_bytes: number;
  spool_events: number;
  events_total: number;
  dropped_total: number;
  revoked: boolean;
}

/** Tumbling, sliding or sessions. */
export type RuleWindow = string | { size: string; slide: string } | { session_gap: string; by?: string[] };

export type RuleKind = "threshold" | "pattern" | "absence" | "anomaly" | "plugin";

export interface PatternSpec {
  steps: { name: string; match: string; count: number; not: boolean }[];
  within: string;
}

export interface AbsenceSpec {
  silent_for: string;
  expect?: Record<string, string>[];
  forget_after: string;
}

export interface AnomalySpec {
  method: "robust" | "seasonal";
  time_zone?: string;
  history: number;
  learning?: string;
  sensitivity: "low" | "medium" | "high";
  deviations?: number;
  direction: "both" | "above" | "below";
  min_change: number;
}

export interface RuleDraft {
  name: string;
  kind: RuleKind;
  match: string;
  aggregate: string;
  window: RuleWindow;
  allowed_lateness?: string;
  max_groups?: number;
  group_by: string[];
  condition: string;
  threshold: number | null;
  for: string;
  evaluate: "auto" | "eager" | "on_close";
  pattern?: PatternSpec;
  absence?: AbsenceSpec;
  anomaly?: AnomalySpec;
  plugin?: string;
  config?: Record<string, unknown>;
  level: Level;
  channels: string[];
  suppression_minutes: number;
  escalation_minutes: number;
  enabled: boolean;
  tags: string[];
  metadata: Record<string, unknown>;
}

/** What says nothing to some kinds of rules; their answers are without. */
export type LeftOut = "aggregate" | "window" | "condition" | "threshold";

/** A rule as the hub answers it. */
export interface Rule extends Omit<RuleDraft, LeftOut>, Partial<Pick<RuleDraft, LeftOut>> {
  id: string;
  version: number;
  created_at: string;
  updated_at: string;
  /** The file that it is kept in; it cannot be changed here then. */
  provisioned?: string;
}

export interface Channel {
  name: string;
  plugin: string;
  config: Record<string, unknown>;
  level: Level;
  active_hours: unknown;
  rate_per_minute: number | null;
  title_template: string | null;
  body_template: string | null;
  enabled: boolean;
  created_at: string;
  updated_at: string;
  health: ChannelHealth;
  /** The file that it is kept in; it cannot be changed here then. */
  provisioned?: string;
}

export interface ChannelHealth {
  breaker: "closed" | "half_open" | "open";
  failures: number;
  paused_until: string | null;
  waiting: number;
  given_up: number;
  failing: boolean | null;
}

/** JSON schema of a plugin's configuration, as far as forms read it. */
export interface ConfigSchema {
  required?: string[];
  properties?: Record<string, { title?: string; description?: string; type?: string; enum?: unknown[]; writeOnly?: boolean }>;
}

export type PluginState = "active" | "disabled" | "awaiting_approval" | "quarantined" | "for_agents" | "failed";

export interface Plugin {
  name: string;
  description: string;
  version: string;
  kind: string;
  state: PluginState;
  reason: string | null;
  /** Rights that it asks for, and those that were approved. */
  capabilities: string[];
  granted: string[];
  /** What it is shown of each event: of what every event has, and besides. */
  envelope: string[];
  fields: { path: string; type: string }[];
  tick_ms: number | null;
  limits: { memory_bytes: number; deadline_ms: number; call_ms: number } | null;
  config_schema?: ConfigSchema;
  calls: number;
  errors: number;
  traps: number;
  cpu_ns_per_event: number | null;
  ns_per_call: number | null;
  memory_bytes: number;
  signature: string;
  previous_version: string | null;
  shadow_version: string | null;
  quarantine_cause: string | null;
  quarantined_since: string | null;
}

export type Point = [time: number, value: number | null];

export interface HostMetric {
  name: string;
  unit: string;
  labels: Record<string, string>;
  points: Point[];
}

export interface Realtime {
  at: number;
  step_ms: number;
  events_per_second: number;
  types: { type: string; points: Point[] }[];
  hosts: { source: string; metrics: HostMetric[] }[];
}

export interface Snapshot extends Realtime {
  alerts: Alert[];
  agents: Agent[];
  events: TelemetryEvent[];
}

export interface HostSample {
  source: string;
  name: string;
  unit: string;
  labels: Record<string, string>;
  value: number;
  at: number;
}

export interface Tick {
  at: number;
  /** Start of the step that `types` counts; the step before `at` when absent. */
  step?: number;
  types: Record<string, number>;
  events_per_second: number;
  hosts: HostSample[];
  alerts?: Alert[];
  agents: Agent[];
  events: TelemetryEvent[];
  events_skipped: number;
}

export type LiveMessage = { type: "snapshot"; data: Snapshot } | { type: "tick"; data: Tick } | { type: "pong" };
