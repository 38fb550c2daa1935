import { describe, expect, it } from "vitest";
import { ApiError, readFields } from "../../src/api/client";
import { readSettings, setting, settingFields } from "../../src/pages/channel-setting";
import { question } from "../../src/api/tried";
import { asKind, draftOf, expectedGroups, expectedText, KINDS, looksAt, newRule, readWindow, sentence, settingText, summary, windowText, words } from "../../src/pages/rule-draft";
import { validity } from "../../src/settings/validity";

describe("readFields", () => {
  it("finds fields wherever the hub puts them", () => {
    const one = { field: "match", reason: "unexpected end", line: 1, column: 4 };
    expect(readFields(one)).toEqual([one]);
    expect(readFields({ errors: [{ field: "name", reason: "is empty", line: null, column: null }, one] })).toEqual([{ field: "name", reason: "is empty" }, one]);
    expect(readFields("text")).toEqual([]);
    expect(new ApiError(422, "wrong", null, { errors: [one] }).fields).toEqual([one]);
  });
});

describe("rules", () => {
  it("are told in one sentence", () => {
    const draft = { ...newRule(), match: "type == 'error'", threshold: 50, window: "5m", for: "1m", level: "critical" as const, channels: ["ops"] };
    expect(sentence(draft)).toBe("Of events where type == 'error', in windows of 5m for each source: when count() > 50, and keeps so for 1m, a critical alert fires and tells ops.");
  });

  it("are sent without what only the hub writes", () => {
    const saved = { ...newRule(), id: "1", version: 3, created_at: "", updated_at: "" };
    expect(draftOf(saved)).toEqual(newRule());
    expect(words(" source, data.host  x ")).toEqual(["source", "data.host", "x"]);
  });
});

describe("validity", () => {
  it("tells how long a token is good for", () => {
    const now = Date.parse("2026-01-01T00:00:00Z");
    expect(validity("2026-01-31T00:00:00Z", now)).toEqual({ text: "30 d more", over: false });
    expect(validity("2026-01-01T00:00:00Z", now)).toEqual({ text: "expired", over: true });
    expect(validity(null, now)).toEqual({ text: "without end", over: false });
  });
});

describe("setting", () => {
  it("is JSON where it looks like it, else text", () => {
    expect(["5", "-1.5", "true", '{"a":1}', "[1]", "https://x", "{broken", "007x", "truely"].map(setting)).toEqual([5, -1.5, true, { a: 1 }, [1], "https://x", "{broken", "007x", "truely"]);
  });
});

describe("windows of a rule", () => {
  it("are read and shown in all three forms", () => {
    expect(readWindow("5m")).toBe("5m");
    expect(readWindow('{"size":"5m","slide":"1m"}')).toEqual({ size: "5m", slide: "1m" });
    expect(readWindow('{"size":"5m"')).toBe('{"size":"5m"');
    expect(windowText({ size: "5m", slide: "1m" })).toBe("5m every 1m");
    expect(windowText({ session_gap: "30s", by: ["session_id"] })).toBe("sessions with a gap of 30s by session_id");
    const draft = { ...newRule(), window: { session_gap: "30s" } };
    expect(sentence(draft)).toContain("in sessions with a gap of 30s");
  });
});

it("every kind of rule says in a line what makes it fire", () => {
  const base = { ...newRule(), match: "true" };
  expect(summary({ ...base, threshold: 50 })).toEqual({ fires: "count() > 50", over: "1m" });
  expect(looksAt(base)).toBe("all events");
  const steps = [
    { name: "failure", match: "type == 'f'", count: 5, not: false },
    { name: "success", match: "type == 's'", count: 1, not: false },
    { name: "logout", match: "type == 'l'", count: 1, not: true },
  ];
  const pattern = { ...base, kind: "pattern" as const, pattern: { steps, within: "10m" } };
  expect(summary(pattern)).toEqual({ fires: "5 × failure, then success, then no logout", over: "10m" });
  expect(looksAt(pattern)).toBe("failure: type == 'f'; success: type == 's'; logout: type == 'l'");
  expect(summary({ ...base, kind: "absence", absence: { silent_for: "5m", forget_after: "1d" } }).fires).toBe("nothing for 5m");
  const anomaly = { method: "seasonal" as const, history: 120, sensitivity: "medium" as const, direction: "above" as const, min_change: 0 };
  expect(summary({ ...base, kind: "anomaly", anomaly }).fires).toBe("count() above what is normal for the hour of the week");
  expect(summary({ ...base, kind: "anomaly" }).fires).toBe("count() outside of what is normal");
  expect(summary({ ...base, kind: "plugin", plugin: "error-burst", config: { errors: 5, severity: "high" } })).toEqual({ fires: "the plugin error-burst says so · errors 5 · severity high", over: "–" });
});

describe("kinds of rules", () => {
  it("hold only what the hub takes for them", () => {
    const draft = { ...newRule(), aggregate: "p99(data.ms)", window: "10m", condition: "value >= threshold", threshold: 5, evaluate: "eager" as const };
    for (const [kind] of KINDS) {
      const other = asKind(draft, kind);
      const own = ["pattern", "absence", "anomaly", "plugin"].filter((field) => field in other);
      expect(own).toEqual(kind === "threshold" ? [] : [kind]);
      expect(other.kind).toBe(kind);
      expect([other.aggregate, other.window]).toEqual(kind === "threshold" || kind === "anomaly" ? ["p99(data.ms)", "10m"] : ["count()", "5m"]);
      expect([other.condition, other.threshold]).toEqual(kind === "threshold" ? ["value >= threshold", 5] : ["value > threshold", null]);
      expect(other.evaluate).toBe(kind === "threshold" || kind === "pattern" ? "eager" : "auto");
      expect(other.group_by).toEqual(kind === "plugin" ? [] : ["source"]);
      expect(sentence(other)).toMatch(/^Of .* alert fires and goes by the routing tree\.$/);
    }
    expect(asKind(asKind(draft, "absence"), "threshold").threshold).toBe(0);
    const kept = { ...asKind(draft, "anomaly"), anomaly: { method: "seasonal" as const, history: 50, sensitivity: "low" as const, direction: "both" as const, min_change: 1 } };
    expect(asKind(kept, "anomaly").anomaly?.history).toBe(50);
  });

  it("say what they look for", () => {
    const steps = [
      { name: "order", match: "type == 'o'", count: 1, not: false },
      { name: "payment", match: "type == 'p'", count: 1, not: true },
    ];
    expect(sentence({ ...asKind(newRule(), "pattern"), match: "true", pattern: { steps, within: "10m" } })).toBe(
      "Of all events for each source: when there is order, then no payment within 10m, a warning alert fires and goes by the routing tree.",
    );
    expect(sentence({ ...asKind(newRule(), "absence"), match: "true" })).toContain("when there is nothing for 5m, a warning alert");
    expect(sentence({ ...asKind(newRule(), "anomaly"), match: "true" })).toContain("in windows of 1m for each source: when count() is outside of what is normal");
    expect(sentence({ ...asKind(newRule(), "plugin"), match: "true", plugin: "error-burst" })).toContain("when the plugin error-burst says so");
  });

  it("are tried saved or not", () => {
    const from = new Date("2026-01-01T00:00:00Z");
    expect(question({ id: "a b" }, from)).toEqual({ path: "/api/v1/rules/a%20b/backtest", body: { from: "2026-01-01T00:00:00.000Z" } });
    const draft = newRule();
    expect(question({ draft }, from)).toEqual({ path: "/api/v1/rules/backtest", body: { rule: draft, from: "2026-01-01T00:00:00.000Z" } });
  });

  it("read expected groups and settings as they show them", () => {
    const by = ["source", "data.zone"];
    const groups = [
      { source: "web-1", "data.zone": "a" },
      { source: "web-2", "data.zone": "" },
    ];
    expect(expectedGroups(expectedText(groups, by), by)).toEqual(groups);
    expect(expectedGroups("\n web-3 ,b \n", by)).toEqual([{ source: "web-3", "data.zone": "b" }]);
    expect([undefined, "x", 5, { a: 1 }].map(settingText)).toEqual(["", "x", "5", '{"a":1}']);
  });
});

describe("settings of a channel", () => {
  const fields = settingFields({
    required: ["to"],
    properties: {
      token: { title: "Token", type: "string", writeOnly: true },
      most: { type: "integer" },
      format: { enum: ["a", "b"] },
      on: { type: "boolean" },
      headers: { type: "object" },
      to: { title: "To", description: "A number", type: "string" },
    },
  });

  it("are drawn from the schema, those that are needed first", () => {
    expect(fields.map((field) => [field.key, field.kind, field.required])).toEqual([
      ["to", "text", true],
      ["token", "secret", false],
      ["most", "number", false],
      ["format", "choice", false],
      ["on", "choice", false],
      ["headers", "json", false],
    ]);
    expect(fields[0]).toMatchObject({ title: "To", hint: "A number" });
    expect(fields[4]?.choices).toEqual(["true", "false"]);
    expect(settingFields(undefined)).toEqual([]);
  });

  it("are read by their types, and empty ones are left out", () => {
    const texts = { to: "123", token: "", most: "5", format: "b", on: "true", headers: '{"X-A":"b"}', other: "x" };
    expect(readSettings(fields, texts)).toEqual({ to: "123", most: 5, format: "b", on: true, headers: { "X-A": "b" } });
  });
});

it("a rule that the hub answers without what says nothing to its kind is whole as a draft", () => {
  const { aggregate: _aggregate, window: _window, condition: _condition, threshold: _threshold, ...said } = newRule();
  const steps = [{ name: "first", match: "true", count: 3, not: false }];
  const rule = { ...said, id: "r", version: 1, created_at: "", updated_at: "", kind: "pattern" as const, pattern: { steps, within: "1m" } };
  const draft = draftOf(rule);
  expect(summary(draft)).toEqual({ fires: "3 × first", over: "1m" });
  expect(asKind(draft, "threshold")).toMatchObject({ aggregate: "count()", window: "5m", condition: "value > threshold", threshold: 0 });
});
