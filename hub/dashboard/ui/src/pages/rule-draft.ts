/** A rule as its form holds it, and back. Pure. */

import type { Rule, RuleDraft, RuleWindow } from "../api/types";

export function newRule(): RuleDraft {
  return {
    name: "",
    kind: "threshold",
    match: "severity == 'critical'",
    aggregate: "count()",
    window: "1m",
    group_by: ["source"],
    condition: "value > threshold",
    threshold: 0,
    for: "0s",
    evaluate: "auto",
    level: "warning",
    channels: [],
    suppression_minutes: 0,
    escalation_minutes: 0,
    enabled: true,
    tags: [],
    metadata: {},
  };
}

/** A saved rule without what only the hub writes. */
export function draftOf(rule: Rule): RuleDraft {
  const { id: _id, version: _version, created_at: _created, updated_at: _updated, ...draft } = rule;
  return draft;
}

/** `a, b c` → `["a", "b", "c"]`. */
export function words(text: string): string[] {
  return text.split(/[\s,]+/).filter((word) => word !== "");
}

/** A window as people read it: `5m`, `5m every 1m`, `sessions with a gap of 30s by session_id`. */
export function windowText(window: RuleWindow): string {
  if (typeof window === "string") return window;
  if ("size" in window) return `${window.size} every ${window.slide}`;
  const by = window.by ?? [];
  return `sessions with a gap of ${window.session_gap}${by.length > 0 ? ` by ${by.join(" and ")}` : ""}`;
}

/** What is typed as a window: a length, or the JSON of a sliding or session window. */
export function readWindow(text: string): RuleWindow {
  if (!text.trim().startsWith("{")) return text;
  try {
    return JSON.parse(text) as RuleWindow;
  } catch {
    return text;
  }
}

/** The rule in one sentence, so that a mistake is seen before it is saved. */
export function sentence(draft: RuleDraft): string {
  const which = draft.match.trim() === "true" || draft.match.trim() === "" ? "all events" : `events where ${draft.match.trim()}`;
  const group = draft.group_by.length > 0 ? ` for each ${draft.group_by.join(" and ")}` : "";
  const limit = draft.threshold === null ? "threshold" : String(draft.threshold);
  const condition = draft.condition.replace(/\bthreshold\b/g, limit).replace(/\bvalue\b/g, draft.aggregate);
  const hold = draft.for.trim() === "" || /^0\s*[a-z]*$/.test(draft.for.trim()) ? "" : `, and keeps so for ${draft.for}`;
  const who = draft.channels.length > 0 ? `tells ${draft.channels.join(" and ")}` : "goes by the routing tree";
  return `Of ${which}, ${typeof draft.window === "object" && "session_gap" in draft.window ? "in" : "in windows of"} ${windowText(draft.window)}${group}: when ${condition}${hold}, a ${draft.level} alert fires and ${who}.`;
}

/** What makes a rule fire, in one line, and over how long it looks. */
export function summary(draft: RuleDraft): { fires: string; over: string } {
  const over = windowText(draft.window);
  if (draft.kind === "pattern" && draft.pattern !== undefined) {
    const steps = draft.pattern.steps.map((step) => (step.not ? `no ${step.name}` : step.count > 1 ? `${step.count} × ${step.name}` : step.name));
    return { fires: steps.join(", then "), over: draft.pattern.within };
  }
  if (draft.kind === "absence" && draft.absence !== undefined) {
    return { fires: `nothing for ${draft.absence.silent_for}`, over: draft.absence.silent_for };
  }
  if (draft.kind === "anomaly") {
    const anomaly = draft.anomaly;
    const side = anomaly === undefined || anomaly.direction === "both" ? "outside of" : anomaly.direction;
    const season = anomaly?.method === "seasonal" ? " for the hour of the week" : "";
    return { fires: `${draft.aggregate} ${side} what is normal${season}`, over };
  }
  if (draft.kind === "plugin") {
    const config = Object.entries(draft.config ?? {}).map(([name, value]) => `${name} ${typeof value === "string" ? value : JSON.stringify(value)}`);
    return { fires: [`the plugin ${draft.plugin ?? "?"} says so`, ...config].join(" · "), over: "–" };
  }
  const limit = draft.threshold === null ? "threshold" : String(draft.threshold);
  const condition = draft.condition.replace(/^value\s*/, "").replace(/\bthreshold\b/, limit);
  return { fires: `${draft.aggregate} ${condition}`, over };
}

/** Which events a rule looks at, in one line. */
export function looksAt(draft: RuleDraft): string {
  const steps = draft.pattern?.steps.map((step) => `${step.name}: ${step.match}`).join("; ");
  const all = draft.match === "true" ? undefined : draft.match;
  return [all, steps].filter((part) => part !== undefined).join(" · ") || "all events";
}
