import { expect, it } from "vitest";
import type { Line } from "../../src/api/plugins";
import { follow } from "../../src/plugins/lines";

const line = (seq: number): Line => ({ seq, at: "", level: "info", version: "1", used_by: "", instance: null, line: String(seq) });
const numbers = (lines: Line[]): number[] => lines.map(({ seq }) => seq);

it("the lines of a plugin follow one another, each once, and not without end", () => {
  const first = follow([], { lines: [line(1), line(2)], last: 2, dropped: 0 }, 0);
  expect(numbers(follow(first, { lines: [line(2), line(3)], last: 3, dropped: 0 }, 2))).toEqual([1, 2, 3]);
  // The hub was started anew and counts from the beginning.
  expect(numbers(follow(first, { lines: [line(1)], last: 1, dropped: 0 }, 2))).toEqual([1]);
  const many = Array.from({ length: 1500 }, (_, i) => line(i + 1));
  expect(numbers(follow([], { lines: many, last: 1500, dropped: 0 }, 0)).slice(0, 1)).toEqual([501]);
});
