import { describe, expect, it } from "vitest";
import type { Channel, Plugin, Rule } from "../../src/api/types";
import { entries, isShipped, keptOrder, nanos, reasonText, rightsOf, rightText, stateText, usedText, usesOf, usesText } from "../../src/plugins/view";

function plugin(change: Partial<Plugin>): Plugin {
  return {
    name: "too-hot",
    description: "",
    version: "1.0.0",
    kind: "rule",
    state: "active",
    reason: null,
    capabilities: [],
    granted: [],
    envelope: [],
    fields: [],
    tick_ms: null,
    limits: null,
    calls: 0,
    errors: 0,
    traps: 0,
    cpu_ns_per_event: null,
    ns_per_call: null,
    memory_bytes: 0,
    signature: "unsigned",
    previous_version: null,
    shadow_version: null,
    quarantine_cause: null,
    quarantined_since: null,
    ...change,
  };
}

describe("plugins", () => {
  it("stand under one name, whichever of their files runs", () => {
    const runs = plugin({});
    const waits = plugin({ version: "2.0.0", state: "awaiting_approval" });
    const broken = plugin({ version: "0.9.0", state: "failed" });
    const alone = plugin({ name: "lost", state: "failed", kind: "unknown" });
    const fresh = plugin({ name: "fresh", state: "awaiting_approval" });
    expect(entries([alone, broken, waits, runs, fresh])).toEqual([
      { name: "lost", plugin: alone, waiting: null, failed: [] },
      { name: "too-hot", plugin: runs, waiting: waits, failed: [broken] },
      { name: "fresh", plugin: fresh, waiting: fresh, failed: [] },
    ]);
    expect(entries([waits, broken])[0]).toEqual({ name: "too-hot", plugin: waits, waiting: waits, failed: [broken] });
  });

  it("that need somebody come first", () => {
    const list = entries([plugin({ name: "a" }), plugin({ name: "b", state: "failed" }), plugin({ name: "c", state: "awaiting_approval" }), plugin({ name: "d", state: "quarantined" })]);
    expect(keptOrder([], list)).toEqual(["d", "c", "b", "a"]);
    // In a list that is open nothing moves; what came meanwhile is last, and what went is gone.
    expect(keptOrder(["a", "gone", "c"], list)).toEqual(["a", "c", "d", "b"]);
  });

  it("name who uses them", () => {
    const rules = [
      { name: "oven", kind: "plugin", plugin: "too-hot" },
      { name: "other", kind: "plugin", plugin: "zscore" },
      { name: "no plugin", kind: "threshold", plugin: "too-hot" },
    ] as Rule[];
    const channels = [{ name: "ops", plugin: "too-hot" }] as Channel[];
    expect(usesOf(plugin({}), rules, channels)).toEqual({ rules: ["oven"], channels: [] });
    expect(usesOf(plugin({ kind: "channel" }), rules, channels)).toEqual({ rules: [], channels: ["ops"] });
    expect(usesText({ rules: [], channels: [] })).toBe("");
    expect([usedText(plugin({}), { rules: ["oven"], channels: [] }), usedText(plugin({}), { rules: [], channels: [] })]).toEqual(["used by rule oven", "used by nobody"]);
    expect(usedText(plugin({ kind: "transform" }), { rules: [], channels: [] })).toContain("agents");
    expect(usesText({ rules: ["a"], channels: ["b", "c"] })).toBe("rule a, channels b, c");
    expect(usesText({ rules: ["a", "b", "c", "d", "e"], channels: [] })).toBe("rules a, b, c and 2 more");
  });

  it("say in words how they are, and why", () => {
    expect([stateText("active"), stateText("awaiting_approval")]).toEqual(["running", "awaiting approval"]);
    expect(reasonText(plugin({}))).toBe("");
    expect(reasonText(plugin({ state: "disabled", reason: "it was disabled" }))).toBe("It was disabled.");
    const quarantined = plugin({ state: "quarantined", quarantine_cause: "deadline", reason: "5 calls in a minute" });
    expect(reasonText(quarantined)).toBe("It failed too often: it computed longer than it may. 5 calls in a minute.");
  });

  it("show which rights are new, and which are not needed any more", () => {
    const rights = rightsOf(plugin({ capabilities: ["mail", "http api.example.com"], granted: ["mail", "secret key"] }));
    expect(rights).toEqual([
      { right: "mail", state: "granted" },
      { right: "http api.example.com", state: "new" },
      { right: "secret key", state: "unused" },
    ]);
    expect(rightText("http config:url")).toContain("“url”");
    expect(rightText("http api.example.com:8443")).toBe("HTTPS requests to api.example.com:8443");
    expect(rightText("something new")).toBe("something new");
  });

  it("tell times that nobody has to count zeros in", () => {
    expect([null, 900, 1_500, 25_000_000, 1_200_000_000].map(nanos)).toEqual(["–", "900 ns", "1.5 µs", "25 ms", "1.2 s"]);
    expect([isShipped(plugin({ signature: "shipped" })), isShipped(plugin({}))]).toEqual([true, false]);
  });
});
