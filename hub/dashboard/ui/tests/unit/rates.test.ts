import { describe, expect, it } from "vitest";
import { OTHER, RateWindow } from "../../src/live/rates";

const points = (from: number, counts: number[]): [number, number][] => counts.map((n, i) => [(from + i) * 1000, n]);

describe("RateWindow", () => {
  it("shows a snapshot and what follows on one time axis", () => {
    const window = new RateWindow(5);
    window.load([{ type: "a", points: points(97, [1, 2, 3]) }, { type: "b", points: points(97, [0, 0, 9]) }], 100_000, 1000);
    window.push(100_000, { a: 4 });
    const { times, series } = window.view(7);
    expect(times).toEqual([96, 97, 98, 99, 100]);
    expect(series.map(({ name, values }) => [name, values])).toEqual([
      ["a", [null, 1, 2, 3, 4]],
      ["b", [null, 0, 0, 9, 0]],
    ]);
  });

  it("keeps a gap as a gap, but not a late timer", () => {
    const window = new RateWindow(10);
    window.load([{ type: "a", points: points(0, [1]) }], 1000, 1000);
    window.push(2_000, { a: 5 });
    window.push(8_000, { a: 7 });
    expect(window.view(1).series[0]?.values).toEqual([null, 1, 1, 5, null, null, null, null, null, 7]);
  });

  it("sums what is beyond the named types", () => {
    const window = new RateWindow(2);
    window.load([], 1000, 1000);
    window.push(1_000, { big: 10, small: 2, tiny: 1 });
    const told = (top: number) => window.view(top).series.map(({ name, latest }) => [name, latest]);
    expect(told(1)).toEqual([["big", 10], [OTHER, 3]]);
    expect(told(2)).toEqual([["big", 10], ["small", 2], ["tiny", 1]]);
  });

  it("does not let places jump with every tick", () => {
    const window = new RateWindow(60);
    window.load([], 1000, 1000);
    window.push(1_000, { a: 10, b: 5 });
    expect(window.view(5).series.map(({ name }) => name)).toEqual(["a", "b"]);
    window.push(2_000, { a: 1, b: 500, c: 900 });
    expect(window.view(5).series.map(({ name }) => name)).toEqual(["a", "b", "c"]);
    window.push(32_000, { a: 1 });
    expect(window.view(5).series.map(({ name }) => name)).toEqual(["c", "b", "a"]);
  });

  it("divides by the length of a step", () => {
    const window = new RateWindow(2);
    window.load([], 10_000, 5000);
    window.push(10_000, { a: 50 });
    expect(window.view(1).series[0]?.latest).toBe(10);
  });
});
