/** The live event stream: a bounded list, newest first, and the filter language of its search box. Pure. */

import type { Severity, TelemetryEvent } from "../api/types";

export class EventList {
  private events: TelemetryEvent[] = [];
  private ids = new Set<string>();

  constructor(readonly capacity = 1000) {}

  /** Replaces all; what was seen and is still newer than the snapshot's oldest stays out, the snapshot has it. */
  load(newestFirst: TelemetryEvent[]): void {
    const oldest = newestFirst.at(-1)?.timestamp ?? "";
    const fresh = new Set(newestFirst.map((event) => event.id));
    const earlier = this.events.filter((event) => !fresh.has(event.id) && event.timestamp <= oldest);
    this.set([...newestFirst, ...earlier]);
  }

  /** Adds a tick's events, newest first; answers how many were new. */
  add(newestFirst: TelemetryEvent[]): number {
    const fresh = newestFirst.filter((event) => !this.ids.has(event.id));
    if (fresh.length > 0) this.set([...fresh, ...this.events]);
    return fresh.length;
  }

  clear(): void {
    this.set([]);
  }

  all(): readonly TelemetryEvent[] {
    return this.events;
  }

  private set(events: TelemetryEvent[]): void {
    this.events = events.slice(0, this.capacity);
    this.ids = new Set(this.events.map((event) => event.id));
  }
}

export type Matcher = (event: TelemetryEvent) => boolean;

const FIELDS: Record<string, (event: TelemetryEvent) => string | undefined> = {
  type: (event) => event.type,
  source: (event) => event.source,
  severity: (event) => event.severity,
  id: (event) => event.id,
  user: (event) => event.user_id,
  session: (event) => event.session_id,
  correlation: (event) => event.correlation_id,
  tag: (event) => event.tags?.join(" "),
};

/**
 * `error source:web -type:metric "out of memory"`: every word must be found somewhere in the event, `field:word` only in that field, and a
 * leading `-` turns a word round. Upper and lower case are one.
 */
export function matcher(query: string, severities: ReadonlySet<Severity>): Matcher {
  const terms = [...query.matchAll(/(-?)(?:([a-z]+):)?(?:"([^"]*)"|(\S+))/gi)].map((found) => {
    const word = (found[3] ?? found[4] ?? "").toLowerCase();
    const name = found[2]?.toLowerCase();
    const field = name === undefined ? undefined : FIELDS[name];
    const wanted = field === undefined && name !== undefined ? `${name}:${word}` : word;
    return { negated: found[1] === "-", field, wanted };
  });
  return (event) => {
    if (severities.size > 0 && !severities.has(event.severity)) return false;
    let whole: string | null = null;
    return terms.every(({ negated, field, wanted }) => {
      const text = field === undefined ? (whole ??= haystack(event)) : (field(event) ?? "").toLowerCase();
      return text.includes(wanted) !== negated;
    });
  };
}

function haystack(event: TelemetryEvent): string {
  return `${event.type} ${event.source} ${event.severity} ${JSON.stringify(event.data ?? {})} ${(event.tags ?? []).join(" ")}`.toLowerCase();
}
