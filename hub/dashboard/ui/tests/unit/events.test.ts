import { describe, expect, it } from "vitest";
import type { TelemetryEvent } from "../../src/api/types";
import { EventList, matcher } from "../../src/live/events";

const event = (id: string, extra: Partial<TelemetryEvent> = {}): TelemetryEvent => ({
  id,
  type: "api.request",
  source: "web-1",
  timestamp: `2026-01-01T00:00:0${id}Z`,
  severity: "medium",
  ...extra,
});
const ids = (list: EventList): string => list.all().map(({ id }) => id).join("");

describe("EventList", () => {
  it("is bounded, newest first, each event once", () => {
    const list = new EventList(3);
    expect(list.add([event("2"), event("1")])).toBe(2);
    expect(list.add([event("3"), event("2")])).toBe(1);
    expect(ids(list)).toBe("321");
    list.add([event("4")]);
    expect(ids(list)).toBe("432");
  });

  it("is filled again by a snapshot without losing what is older", () => {
    const list = new EventList();
    list.add([event("2"), event("1")]);
    list.load([event("9"), event("8")]);
    expect(ids(list)).toBe("9821");
  });
});

describe("matcher", () => {
  const all = new Set<never>();
  const sample = event("1", { type: "error", source: "db-1", severity: "high", data: { message: "Out of Memory", code: 137 }, tags: ["prod"] });
  const fits = (query: string): boolean => matcher(query, all)(sample);

  it("wants every word, wherever it is, in any case", () => {
    expect(fits("")).toBe(true);
    expect(fits("memory DB-1")).toBe(true);
    expect(fits("memory web")).toBe(false);
    expect(fits('"out of memory"')).toBe(true);
    expect(fits("137")).toBe(true);
  });

  it("looks into one field, and turns words round", () => {
    expect(fits("type:err source:db")).toBe(true);
    expect(fits("source:error")).toBe(false);
    expect(fits("-type:metric")).toBe(true);
    expect(fits("-memory")).toBe(false);
    expect(fits("tag:prod")).toBe(true);
    expect(fits("unknown:x")).toBe(false);
  });

  it("keeps to the chosen severities", () => {
    expect(matcher("", new Set(["high" as const]))(sample)).toBe(true);
    expect(matcher("", new Set(["low" as const]))(sample)).toBe(false);
  });
});
