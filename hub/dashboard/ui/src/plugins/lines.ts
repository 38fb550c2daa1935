/** The lines of a plugin that the page keeps. Pure. */

import type { Line, Logs } from "../api/plugins";

/** As many as the hub keeps. */
const MOST = 1_000;

/** Adds an answer to the lines so far. A hub that was started anew counts from the beginning: then only its own lines stay. */
export function follow(before: readonly Line[], { lines, last }: Logs, asked: number): Line[] {
  const newest = before.at(-1)?.seq ?? 0;
  if (last < asked) return [...lines];
  return [...before, ...lines.filter(({ seq }) => seq > newest)].slice(-MOST);
}
