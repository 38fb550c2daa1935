import { describe, expect, it } from "vitest";
import { LineCutter } from "../../src/lib/lines";

describe("LineCutter", () => {
  it("gives whole lines however the stream is cut", () => {
    const text = '{"type":"progress"}\n\n{"type":"result","data":["é"]}\n{"rest"';
    for (let size = 1; size <= text.length; size += 1) {
      const cutter = new LineCutter();
      const lines: string[] = [];
      for (let at = 0; at < text.length; at += size) lines.push(...cutter.push(text.slice(at, at + size)));
      expect(lines).toEqual(['{"type":"progress"}', '{"type":"result","data":["é"]}']);
    }
  });
});
