/** How a channel does, in words. Pure. */

import type { Channel } from "../api/types";
import { dateTime } from "../lib/format";

export interface HealthText {
  state: "off" | "good" | "failing" | "trying" | "paused";
  words: string;
  notes: string[];
}

export function healthText({ enabled, health: { breaker, failures, paused_until, waiting, given_up, failing } }: Channel): HealthText {
  const notes = [...(waiting > 0 ? [`${waiting} waiting`] : []), ...(given_up > 0 ? [`${given_up} given up since the hub started`] : [])];
  if (!enabled) return { state: "off", words: "disabled", notes };
  const inARow = `${failures} ${failures === 1 ? "failure" : "failures"} in a row`;
  if (breaker === "open") {
    const until = paused_until === null ? "" : `, again at ${dateTime(paused_until)}`;
    return { state: "paused", words: "paused", notes: [`${inARow}${until}`, ...notes] };
  }
  if (breaker === "half_open") return { state: "trying", words: "trying again", notes: [inARow, ...notes] };
  if (failures > 0) return { state: "failing", words: "failing", notes: [inARow, ...notes] };
  if (failing === true) return { state: "failing", words: "failing", notes: ["the last one was given up", ...notes] };
  return { state: "good", words: "enabled", notes };
}
