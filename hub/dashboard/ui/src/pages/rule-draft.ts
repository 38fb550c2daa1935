/** A rule as its form holds it, and back. Pure. */

import type { AbsenceSpec, AnomalySpec, LeftOut, PatternSpec, Rule, RuleDraft, RuleKind, RuleWindow } from "../api/types";

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

export const KINDS: [kind: RuleKind, name: string][] = [
  ["threshold", "threshold: a number over a window"],
  ["pattern", "pattern: events in an order"],
  ["absence", "absence: silence for too long"],
  ["anomaly", "anomaly: unlike what is normal"],
  ["plugin", "plugin: code decides"],
];

export const NEW_PATTERN: PatternSpec = { within: "5m", steps: [{ name: "first", match: "", count: 1, not: false }] };
export const NEW_ABSENCE: AbsenceSpec = { silent_for: "5m", forget_after: "1d" };
export const NEW_ANOMALY: AnomalySpec = { method: "robust", history: 120, sensitivity: "medium", direction: "both", min_change: 0 };

/** What the hub takes, and leaves out of its answers, where a rule's kind says nothing of it. */
const UNSAID: Pick<RuleDraft, LeftOut> = { aggregate: "count()", window: "5m", condition: "value > threshold", threshold: null };

/** The same rule as another kind: what says nothing to that kind is what it is by default, because the hub refuses anything else. */
export function asKind(draft: RuleDraft, kind: RuleKind): RuleDraft {
  const { pattern, absence, anomaly, plugin, config, ...rest } = draft;
  const windows = kind === "threshold" || kind === "anomaly";
  const same: RuleDraft = {
    ...rest,
    kind,
    aggregate: windows ? rest.aggregate : UNSAID.aggregate,
    window: windows ? rest.window : UNSAID.window,
    condition: kind === "threshold" ? rest.condition : UNSAID.condition,
    threshold: kind === "threshold" ? (rest.threshold ?? 0) : UNSAID.threshold,
    evaluate: kind === "threshold" || kind === "pattern" || rest.evaluate !== "eager" ? rest.evaluate : "auto",
    group_by: kind === "plugin" ? [] : rest.group_by,
  };
  switch (kind) {
    case "pattern":
      return { ...same, pattern: pattern ?? NEW_PATTERN };
    case "absence":
      return { ...same, absence: absence ?? NEW_ABSENCE };
    case "anomaly":
      return { ...same, anomaly: anomaly ?? NEW_ANOMALY };
    case "plugin":
      return { ...same, plugin: plugin ?? "", config: config ?? {} };
    case "threshold":
      return same;
  }
}

/** A setting of a plugin as it is typed. */
export function settingText(value: unknown): string {
  if (value === undefined) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** Expected groups as lines of values, in the order of the attributes. */
export function expectedText(groups: Record<string, string>[], by: string[]): string {
  return groups.map((group) => by.map((name) => group[name] ?? "").join(", ")).join("\n");
}

/** Lines of values as expected groups. */
export function expectedGroups(text: string, by: string[]): Record<string, string>[] {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  return lines.map((line) => {
    const values = line.split(",").map((value) => value.trim());
    return Object.fromEntries(by.map((name, i) => [name, values[i] ?? ""]));
  });
}

/** A saved rule without what only the hub writes. */
export function draftOf(rule: Rule): RuleDraft {
  const { id: _id, version: _version, created_at: _created, updated_at: _updated, provisioned: _file, ...draft } = rule;
  return { ...UNSAID, ...draft };
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
  const threshold = draft.kind === "threshold";
  const condition = threshold ? draft.condition.replace(/\bthreshold\b/g, limit).replace(/\bvalue\b/g, draft.aggregate) : summary(draft).fires;
  const hold = draft.for.trim() === "" || /^0\s*[a-z]*$/.test(draft.for.trim()) ? "" : `, and keeps so for ${draft.for}`;
  const who = draft.channels.length > 0 ? `tells ${draft.channels.join(" and ")}` : "goes by the routing tree";
  if (draft.kind === "pattern" || draft.kind === "absence" || draft.kind === "plugin") {
    const within = draft.kind === "pattern" ? ` within ${draft.pattern?.within ?? ""}` : "";
    const says = draft.kind === "plugin" ? `when ${condition}` : `when there is ${condition}`;
    return `Of ${which}${group}: ${says}${within}${hold}, a ${draft.level} alert fires and ${who}.`;
  }
  const when = threshold ? condition : condition.replace(/ (outside of|above|below) /, " is $1 ");
  return `Of ${which}, ${typeof draft.window === "object" && "session_gap" in draft.window ? "in" : "in windows of"} ${windowText(draft.window)}${group}: when ${when}${hold}, a ${draft.level} alert fires and ${who}.`;
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
