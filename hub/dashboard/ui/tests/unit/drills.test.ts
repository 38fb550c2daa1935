import { describe, expect, it } from "vitest";
import type { Drill } from "../../src/api/drills";
import { delivery, steps } from "../../src/pages/drill-view";

function drill(fields: Partial<Drill>): Drill {
  return {
    id: "d1",
    state: "running",
    by: "eva",
    target: "api errors",
    agent: "web-1",
    channels: ["drill"],
    would_tell: ["ops"],
    started_at: "2026-01-02T03:04:05.000Z",
    hops: [],
    notes: [],
    request: {},
    ...fields,
  };
}

const hop = (name: string, ms: number, took_ms = 0) => ({ hop: name, at: new Date(Date.parse("2026-01-02T03:04:05Z") + ms).toISOString(), took_ms });

describe("the hops of a drill", () => {
  it("says what happened, what it waits for and what was not reported", () => {
    const states = steps(drill({ hops: [hop("asked", 0), hop("stored", 40, 40)] })).map(({ hop, state }) => `${hop} ${state}`);
    expect(states.slice(0, 6)).toEqual(["asked done", "emitted skipped", "spooled skipped", "sent skipped", "stored done", "matched waits"]);
  });

  it("names the hop at which it was lost, with the reason", () => {
    const lost = steps(drill({ state: "failed", hops: [hop("asked", 0)], lost_at: "emitted", reason: "a filter turned it away" }));
    expect(lost[1]).toMatchObject({ hop: "emitted", state: "lost", detail: "a filter turned it away" });
    expect(lost.slice(2).every(({ state }) => state === "skipped")).toBe(true);
  });

  it("leaves out the agent of a drill without one, and the person whom nobody waits for", () => {
    const names = steps(drill({ request: { from_hub: true, acknowledge: false } })).map(({ hop }) => hop);
    expect(names).toEqual(["asked", "stored", "matched", "fired", "notified", "accepted"]);
  });

  it("knows how long the way to the channels took", () => {
    expect(delivery(drill({ hops: [hop("asked", 0), hop("accepted", 130, 130)] }))).toBe(130);
    expect(delivery(drill({}))).toBeNull();
  });
});
