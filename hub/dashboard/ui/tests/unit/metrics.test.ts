import { describe, expect, it } from "vitest";
import type { Metric } from "../../src/api/metrics";
import { asksText, axisSteps, chartOf, groupText, MOST_SERIES, newMetric, placedText } from "../../src/metrics/view";

const LATER = 10 * 60_000;

describe("a metric's chart", () => {
  it("has gaps where there is nothing, and the largest series first", () => {
    const chart = chartOf({
      metric: "m",
      step_ms: 60_000,
      data: [
        { group: { type: "small" }, points: [[0, 1, true]] },
        {
          group: { type: "large", source: "" },
          points: [
            [60_000, -9, true],
            [180_000, 4, false],
          ],
        },
      ],
    }, 0, LATER);
    expect(chart.times).toEqual([0, 60, 120, 180]);
    expect(chart.lines).toEqual([
      { name: "large, (none)", values: [null, -9, null, 4], latest: 4, largest: 9 },
      { name: "small", values: [1, null, null, null], latest: 1, largest: 1 },
    ]);
    expect([chart.completeUntil, chart.more]).toEqual([3, 0]);
  });

  it("begins where the metric was declared", () => {
    const points: [number, number, boolean][] = [0, 60_000, 120_000].map((at) => [at, 0, true]);
    expect(chartOf({ metric: "m", step_ms: 60_000, data: [{ group: {}, points }] }, 70_000, LATER).times).toEqual([60, 120]);
    // The last step is not over.
    expect(chartOf({ metric: "m", step_ms: 60_000, data: [{ group: {}, points }] }, 0, 150_000).times).toEqual([0, 60]);
  });

  it("draws as many series as can be told apart", () => {
    const data = Array.from({ length: MOST_SERIES + 3 }, (_, i) => ({ group: { n: String(i) }, points: [[0, i, true]] as [number, number, boolean][] }));
    const chart = chartOf({ metric: "m", step_ms: 1000, data }, 0, LATER);
    expect([chart.lines.length, chart.more, chart.lines[0]?.name]).toEqual([MOST_SERIES, 3, String(MOST_SERIES + 2)]);
    expect(chart.completeUntil).toBe(1);
  });

  it("of nothing is empty", () => {
    expect(chartOf({ metric: "m", step_ms: 1000, data: [] }, 0, LATER)).toEqual({ times: [], lines: [], more: 0, completeUntil: 0 });
  });

  it("has marks that fit its length", () => {
    expect([1, 24, 720].map((hours) => axisSteps(hours * 3600).days)).toEqual([false, false, true]);
  });
});

it("metrics are told in a line", () => {
  expect(groupText({})).toBe("all");
  expect(asksText(newMetric())).toBe("count() of all events, each 1m");
  expect(asksText({ ...newMetric(), match: "type == 'a'", group_by: ["source"] })).toBe("count() of type == 'a' by source, each 1m");
  const metric = { ...newMetric(), builtin: false, placed: { at: "hub", reason: "no agent is connected", edge_agents: 0 } } as Metric;
  expect(placedText(metric)).toBe("Computed at the hub: no agent is connected.");
  expect(placedText({ ...metric, placed: { at: "edge", reason: "", edge_agents: 1 } })).toBe("Computed on 1 host, as all that are connected can.");
});
