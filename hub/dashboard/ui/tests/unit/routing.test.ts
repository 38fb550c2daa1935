import { describe, expect, it } from "vitest";
import type { Route } from "../../src/api/routing";
import { editableRouting, hoursText, inhibitionText, labelsOf, nowText, rotationText, says, stepsText, takes } from "../../src/routing/view";

function route(change: Partial<Route>): Route {
  return { matchers: [], level: null, channels: null, escalation: null, group_by: null, group_wait: null, group_interval: null, repeat_interval: null, continue: false, routes: [], ...change };
}

describe("routes", () => {
  it("say what they take and what they do", () => {
    expect([takes(route({}), true), takes(route({}), false)]).toEqual(["every alert", "everything else"]);
    expect(takes(route({ matchers: [{ name: "team", op: "=", value: "db" }], level: "error" }), false)).toBe("team = db, error and worse");
    expect(says(route({}))).toEqual([]);
    expect(says(route({ channels: [], group_by: ["..."], continue: true }))).toEqual(["tells nobody", "no groups", "and goes on to the next"]);
    expect(says(route({ channels: ["ops", "oncall:db"], escalation: "day", group_by: ["source"], group_wait: "30s", repeat_interval: "4h" }))).toEqual([
      "tells ops, oncall:db",
      "escalates by day",
      "groups by source",
      "waits 30s",
      "again every 4h",
    ]);
  });

  it("are edited without what they do not say", () => {
    const inner = route({ matchers: [{ name: "team", op: "=", value: "db" }], channels: [], continue: true });
    const routing = { route: route({ channels: ["ops"], routes: [inner] }), inhibit: [], version: 3, updated_at: "" };
    expect(editableRouting(routing)).toEqual({ version: 3, inhibit: [], route: { channels: ["ops"], routes: [{ matchers: inner.matchers, channels: [], continue: true }] } });
  });

  it("inhibit in words", () => {
    const [source, target] = [[{ name: "alertname", op: "=" as const, value: "host down" }], [{ name: "level", op: "!=" as const, value: "critical" }]];
    expect(inhibitionText({ source, target, equal: ["source"] })).toBe("While alertname = host down fires, nobody is told of level != critical with the same source.");
  });
});

describe("who is told", () => {
  const now = Date.parse("2026-01-05T09:00:00Z");

  it("is said step by step", () => {
    const steps = [
      { after: "5m", channels: ["ops"] },
      { after: "15m", channels: ["oncall:db", "phone"] },
    ];
    expect(stepsText({ name: "day", steps, repeat: 0, resume_after: null })).toBe("after 5m ops, then after 15m oncall:db, phone");
    expect(stepsText({ name: "day", steps: steps.slice(0, 1), repeat: 2, resume_after: "1h" })).toBe("after 5m ops, all of it 2 times more; an acknowledgement lapses after 1h");
  });

  it("is said for now", () => {
    expect(nowText({ schedule: "db", person: "ada", channels: [], why: "rotation 1", until: "2026-01-05T12:00:00Z" }, now)).toMatch(/^ada, 3 h more, until .* \(rotation 1\)$/);
    expect(nowText({ schedule: "db", person: null, channels: [], why: "", until: null }, now)).toBe("everybody");
  });

  it("is said for turns and hours", () => {
    const hours = { time_zone: "Europe/Vienna", spans: [{ days: ["mon", "tue", "wed", "thu", "fri"], days_of_month: [], months: [], from: "22:00:00", to: "06:00:00" }], except: ["2026-12-25"] };
    expect(hoursText(hours)).toBe("Mon–Fri 22:00 to 06:00 (Europe/Vienna, not on 2026-12-25)");
    expect(hoursText({ ...hours, spans: [{ days: ["sun"], days_of_month: [-1], months: [3], from: "01:00", to: "02:00" }], except: [] })).toBe("Sun on day -1 of the month in month 3 01:00 to 02:00 (Europe/Vienna)");
    expect(rotationText({ people: ["ada", "kim"], starts_on: "2026-01-05", hand_over: "09:00:00", every_days: 7, hours: null })).toBe("ada, kim: a week each, handed over at 09:00");
  });
});

it("labels are typed as name=value", () => {
  expect(labelsOf('alertname=errors, source="web 1" empty=')).toEqual({ alertname: "errors", source: "web 1", empty: "" });
  expect(labelsOf("")).toEqual({});
  expect(labelsOf("errors")).toBeNull();
  expect(labelsOf('a="b')).toBeNull();
});
