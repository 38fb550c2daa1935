import { describe, expect, it } from "vitest";
import { ago, bytes, count, doer, percent, span, summary, value } from "../../src/lib/format";

describe("numbers", () => {
  it("are short", () => {
    expect([0, 7, 999, 1000, 1234, 12_345, 999_600, 2.5e9].map(count)).toEqual(["0", "7", "999", "1k", "1.23k", "12.3k", "1.00M", "2.50G"]);
    expect([0, 512, 1024, 1_572_864, 16 * 2 ** 30].map(bytes)).toEqual(["0 B", "512 B", "1 KiB", "1.5 MiB", "16 GiB"]);
    expect([0, 12.34, 99.99, 100].map(percent)).toEqual(["0.0 %", "12.3 %", "100 %", "100 %"]);
    expect([1.005, 42, 123_456].map(value)).toEqual(["1", "42", "123k"]);
    expect(count(Number.NaN)).toBe("–");
  });
});

describe("times", () => {
  it("are told the way people do", () => {
    expect([0, 38, 3_200, 14_200, 240_000, 7_200_000, 400_000_000].map(span)).toEqual(["0 ms", "38 ms", "3.2 s", "14 s", "4 min", "2 h", "4 d"]);
    expect(ago(1_000, 2_500)).toBe("just now");
    expect(ago("1970-01-01T00:00:00Z", 12_900)).toBe("12 s ago");
    expect(ago(null, 0)).toBe("never");
  });
});

describe("people", () => {
  it("are named, and a command's own token is not", () => {
    expect(["admin", "token:ci", "token:command-line-01a2191b1a50710c961b01adad4c8203"].map(doer)).toEqual(["admin", "token:ci", "the command line"]);
  });
});

describe("summary", () => {
  it("prefers what was written for people", () => {
    expect(summary({ message: "started", pid: 1 })).toBe("started");
    expect(summary({ name: "host.cpu.utilization", value: 12.345, unit: "percent", labels: { cpu: "0" } })).toBe("host.cpu.utilization 12.35 percent · 0");
    expect(summary({ path: "/x", status: 200, user: { id: 1 } })).toBe('path=/x status=200 user={"id":1}');
    expect(summary(undefined)).toBe("");
  });
});
