/** A silence as its form holds it. Pure. */

import type { Matcher } from "../api/silences";

const HOUR = 3_600_000;

/** How long a silence may last, as the form offers it. */
export const LENGTHS = [
  { name: "30 minutes", value: HOUR / 2 },
  { name: "2 hours", value: 2 * HOUR },
  { name: "8 hours", value: 8 * HOUR },
  { name: "1 day", value: 24 * HOUR },
  { name: "1 week", value: 7 * 24 * HOUR },
];

/** The labels that were not left out, each with its value. */
export function matchersOf(labels: Record<string, string>, left: ReadonlySet<string>): Matcher[] {
  return Object.entries(labels)
    .filter(([name]) => !left.has(name))
    .map(([name, value]) => ({ name, op: "=", value }));
}

/** `silence:0199…` → `a silence`, for people. */
export function reason(mutedBy: string): string {
  const [kind = "", name = ""] = mutedBy.split(/:(.*)/s);
  if (kind === "silence") return "a silence";
  if (kind === "maintenance") return `the maintenance window ${name}`;
  if (kind === "inhibition") return "another alert that inhibits it";
  return mutedBy;
}
