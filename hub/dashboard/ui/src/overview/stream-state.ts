/** What the stream shows: the live list, or the one that was held when somebody paused or scrolled into it. */

import { computed, signal } from "@preact/signals";
import type { Severity, TelemetryEvent } from "../api/types";
import { matcher } from "../live/events";
import { events, onArrival, version } from "../live/store";

export const query = signal("");
export const severities = signal<ReadonlySet<Severity>>(new Set());
export const selected = signal<TelemetryEvent | null>(null);
/** Paused by hand; scrolling away from the top holds the list as well, until one is back there. */
export const paused = signal(false);
export const scrolled = signal(false);
/** Events that came while the list was held. */
export const waiting = signal(0);

const kept = signal<readonly TelemetryEvent[] | null>(null);
const matches = computed(() => matcher(query.value, severities.value));

export const visible = computed(() => {
  version.value;
  return (kept.value ?? events.all()).filter(matches.value);
});

function settle(): void {
  const hold = paused.value || scrolled.value;
  if (hold && kept.value === null) kept.value = events.all().slice();
  if (!hold && kept.value !== null) {
    kept.value = null;
    waiting.value = 0;
  }
}

export function pause(on: boolean): void {
  paused.value = on;
  settle();
}

export function scroll(away: boolean): void {
  if (scrolled.peek() === away) return;
  scrolled.value = away;
  settle();
}

export function toggleSeverity(severity: Severity): void {
  const next = new Set(severities.value);
  if (!next.delete(severity)) next.add(severity);
  severities.value = next;
}

onArrival((fresh) => {
  if (kept.peek() !== null) waiting.value += fresh;
});
