/** Until when a token is valid, in words. Pure. */

import { span } from "../lib/format";

export function validity(expiresAt: string | null, now: number): { text: string; over: boolean } {
  if (expiresAt === null) return { text: "without end", over: false };
  const left = Date.parse(expiresAt) - now;
  if (Number.isNaN(left)) return { text: "–", over: false };
  return left <= 0 ? { text: "expired", over: true } : { text: `${span(left)} more`, over: false };
}
