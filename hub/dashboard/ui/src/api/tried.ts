/** What a backtest asks. Pure. */

import type { RuleDraft } from "./types";

/** What is tried: a rule that is saved, or one that need not be. */
export type Tried = { id: string } | { draft: RuleDraft };

/** Where a backtest is asked for, and with what. */
export function question(of: Tried, from: Date): { path: string; body: Record<string, unknown> } {
  const range = { from: from.toISOString() };
  if ("id" in of) return { path: `/api/v1/rules/${encodeURIComponent(of.id)}/backtest`, body: range };
  return { path: "/api/v1/rules/backtest", body: { rule: of.draft, ...range } };
}
