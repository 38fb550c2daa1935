/** A rule as its form holds it, and back. Pure. */

import type { Rule, RuleDraft } from "../api/types";

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

/** The rule in one sentence, so that a mistake is seen before it is saved. */
export function sentence(draft: RuleDraft): string {
  const which = draft.match.trim() === "true" || draft.match.trim() === "" ? "all events" : `events where ${draft.match.trim()}`;
  const group = draft.group_by.length > 0 ? ` for each ${draft.group_by.join(" and ")}` : "";
  const limit = draft.threshold === null ? "threshold" : String(draft.threshold);
  const condition = draft.condition.replace(/\bthreshold\b/g, limit).replace(/\bvalue\b/g, draft.aggregate);
  const hold = draft.for.trim() === "" || /^0\s*[a-z]*$/.test(draft.for.trim()) ? "" : `, and keeps so for ${draft.for}`;
  const who = draft.channels.length > 0 ? `tells ${draft.channels.join(" and ")}` : "goes by the routing tree";
  return `Of ${which}, in windows of ${draft.window}${group}: when ${condition}${hold}, a ${draft.level} alert fires and ${who}.`;
}
