/** Silences as the page tells of them. Pure. */

import type { Matcher, Silence } from "../api/silences";
import { dateTime, span } from "../lib/format";

export const VIEWS = ["active", "pending", "expired", "all"] as const;
export type View = (typeof VIEWS)[number];

export function shownSilences(list: readonly Silence[], view: View, words: string): Silence[] {
  const wanted = words.toLowerCase();
  return list.filter((silence) => (view === "all" || silence.state === view) && `${silence.matchers.map(matcherText).join(" ")} ${silence.comment} ${silence.created_by}`.toLowerCase().includes(wanted));
}

export function counts(list: readonly Silence[]): Record<View, number> {
  const of = (state: Silence["state"]): number => list.filter((silence) => silence.state === state).length;
  return { active: of("active"), pending: of("pending"), expired: of("expired"), all: list.length };
}

export function matcherText({ name, op, value }: Matcher): string {
  return `${name} ${op} ${value}`;
}

/** When it is, as somebody asks: how long yet, from when, since when no more. */
export function whenText({ state, starts_at, ends_at }: Silence, now: number): string {
  if (state === "pending") return `begins in ${span(Date.parse(starts_at) - now)}, ${dateTime(starts_at)} to ${dateTime(ends_at)}`;
  if (state === "active") return `${span(Date.parse(ends_at) - now)} more, until ${dateTime(ends_at)}`;
  return `over since ${dateTime(ends_at)}`;
}

/** Matchers as typed: rows without a name are left out. */
export function typed(rows: readonly Matcher[]): Matcher[] {
  return rows.filter(({ name }) => name.trim() !== "").map(({ name, op, value }) => ({ name: name.trim(), op, value }));
}

/** The time in an `<input type="datetime-local">`, which is the browser's own; null when it is none. */
export function localTime(text: string): number | null {
  const at = new Date(text).getTime();
  return text === "" || Number.isNaN(at) ? null : at;
}

/** The other way. */
export function localText(at: number): string {
  return dateTime(at).slice(0, 16).replace(" ", "T");
}
