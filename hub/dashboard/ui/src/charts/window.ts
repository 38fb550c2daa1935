/** The stretch of time that every live chart shows: the five minutes up to the hub's last word. */

import { at } from "../live/store";

export const windowSeconds = 300;

export function axisTime(): [number, number] {
  const now = Math.floor(at.peek() / 1000) - 1;
  return [now - windowSeconds, now];
}
