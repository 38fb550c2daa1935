import { describe, expect, it } from "vitest";
import { combine, HostWindow } from "../../src/live/hosts";

const sample = (name: string, at: number, value: number, labels: Record<string, string> = {}) => ({ source: "web-1", name: `host.${name}`, unit: "", labels, at, value });

describe("HostWindow", () => {
  it("adds interfaces up, without loopback", () => {
    const window = new HostWindow();
    window.push(
      [
        sample("network.receive_bytes_per_second", 1000, 5, { interface: "eth0" }),
        sample("network.receive_bytes_per_second", 1000, 7, { interface: "eth1" }),
        sample("network.receive_bytes_per_second", 1000, 900, { interface: "lo" }),
      ],
      1000,
    );
    expect(window.view()[0]?.network.map(({ label, latest }) => [label, latest])).toEqual([["in", 12]]);
  });

  it("forgets what is older than its window, and hosts that are gone", () => {
    const window = new HostWindow(10_000);
    window.push([sample("cpu.utilization", 1000, 5)], 1000);
    window.push([sample("cpu.utilization", 9000, 6)], 9000);
    expect(window.view()[0]?.cpu[0]?.values).toEqual([5, 6]);
    window.push([], 15_000);
    expect(window.view()[0]?.cpu[0]?.values).toEqual([6]);
    window.push([], 60_000);
    expect(window.view()).toEqual([]);
  });

  it("puts the fullest disk first and takes a sample once", () => {
    const window = new HostWindow();
    window.push([sample("disk.used_percent", 1000, 20, { mount: "/" }), sample("disk.used_percent", 1000, 90, { mount: "/var" })], 1000);
    window.push([sample("disk.used_percent", 1000, 1, { mount: "/" }), { ...sample("x", 1000, 1), name: "app.requests" }], 1000);
    expect(window.view()[0]?.mounts).toEqual([
      { mount: "/var", used: 90 },
      { mount: "/", used: 20 },
    ]);
  });
});

describe("combine", () => {
  it("breaks the line where samples are missing", () => {
    const curve = combine("x", [{ times: [0, 2000, 4000, 30_000], values: [1, 2, 3, 4] }], "sum");
    expect(curve).toEqual({ label: "x", times: [0, 2, 4, 5, 30], values: [1, 2, 3, null, 4], latest: 4 });
  });

  it("has nothing to say of nothing", () => {
    expect(combine("x", [], "sum")).toBeNull();
  });
});
