import { describe, expect, it } from "vitest";
import { matchersOf, reason } from "../../src/pages/silence-draft";

describe("a silence's form", () => {
  it("means the labels that were not left out", () => {
    const labels = { alertname: "errors", level: "error", source: "web-1" };
    expect(matchersOf(labels, new Set(["level"]))).toEqual([
      { name: "alertname", op: "=", value: "errors" },
      { name: "source", op: "=", value: "web-1" },
    ]);
    expect(matchersOf(labels, new Set(Object.keys(labels)))).toEqual([]);
  });

  it("says in words why an alert is muted", () => {
    expect(reason("silence:0199aa")).toBe("a silence");
    expect(reason("maintenance:patch night: db")).toBe("the maintenance window patch night: db");
    expect(reason("inhibition:0199aa")).toBe("another alert that inhibits it");
  });
});
