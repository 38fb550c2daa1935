import { describe, expect, it } from "vitest";
import type { Silence } from "../../src/api/silences";
import { counts, localText, localTime, matcherText, shownSilences, typed, whenText } from "../../src/silences/view";

const now = Date.parse("2026-01-01T12:00:00Z");
const at = (minutes: number): string => new Date(now + minutes * 60_000).toISOString();

function silence(state: Silence["state"], comment: string, from: number, to: number): Silence {
  return { id: comment, state, comment, matchers: [{ name: "source", op: "=~", value: "web-.*" }], starts_at: at(from), ends_at: at(to), created_by: "kim", alerts: [] };
}

const list = [silence("active", "deploy", -10, 50), silence("pending", "tonight", 90, 180), silence("expired", "before", -90, -30)];

describe("silences", () => {
  it("are shown by state and by words", () => {
    expect(counts(list)).toEqual({ active: 1, pending: 1, expired: 1, all: 3 });
    expect(shownSilences(list, "active", "").map(({ id }) => id)).toEqual(["deploy"]);
    expect(shownSilences(list, "all", "TONIGHT").map(({ id }) => id)).toEqual(["tonight"]);
    expect(shownSilences(list, "all", "source =~ web").length).toBe(3);
    expect(shownSilences(list, "all", "kim").length).toBe(3);
  });

  it("say when they are", () => {
    const [active, pending, expired] = list.map((each) => whenText(each, now));
    expect(active).toMatch(/^50 min more, until /);
    expect(pending).toMatch(/^begins in 1 h, /);
    expect(expired).toMatch(/^over since /);
  });

  it("leave empty rows of the form out", () => {
    expect(typed([{ name: " source ", op: "=", value: " a " }, { name: " ", op: "=", value: "x" }])).toEqual([{ name: "source", op: "=", value: " a " }]);
    expect(matcherText({ name: "a", op: "!~", value: "b" })).toBe("a !~ b");
  });

  it("take times as the browser's own field gives them", () => {
    const minute = Math.floor(now / 60_000) * 60_000;
    expect(localTime(localText(minute))).toBe(minute);
    expect([localTime(""), localTime("tomorrow")]).toEqual([null, null]);
  });
});
