import { beforeEach, describe, expect, it } from "vitest";
import { DEAD_AFTER_MS, Link, type LinkState, RENEW, retryDelay, type Socket, STALE_AFTER_MS } from "../../src/live/link";

class FakeSocket {
  onmessage: ((event: MessageEvent) => void) | null = null;
  onclose: ((event: CloseEvent) => void) | null = null;
  sent: string[] = [];
  closed = false;
  send(text: string): void {
    this.sent.push(text);
  }
  close(): void {
    this.closed = true;
  }
  say(text: string): void {
    this.onmessage?.({ data: text } as MessageEvent);
  }
  end(code: number): void {
    this.onclose?.({ code } as CloseEvent);
  }
}

/** Lets promises that are resolved already have their say. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await Promise.resolve();
}

/** A clock that moves only when it is told to. */
class Clock {
  now = 0;
  private timers: { at: number; run: () => void }[] = [];
  after(ms: number, run: () => void): () => void {
    const timer = { at: this.now + ms, run };
    this.timers.push(timer);
    return () => (this.timers = this.timers.filter((other) => other !== timer));
  }
  async pass(ms: number): Promise<void> {
    const end = this.now + ms;
    await settled();
    for (;;) {
      const due = this.timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.now = due.at;
      this.timers = this.timers.filter((other) => other !== due);
      due.run();
      await settled();
    }
    this.now = end;
  }
}

let clock: Clock;
let sockets: FakeSocket[];
let states: LinkState[];
let messages: string[];
let reachable: boolean;
let link: Link;
const newest = (): FakeSocket => sockets.at(-1) as FakeSocket;

beforeEach(() => {
  clock = new Clock();
  sockets = [];
  states = [];
  messages = [];
  reachable = true;
  link = new Link({
    open: async () => {
      if (!reachable) throw new Error("refused");
      const socket = new FakeSocket();
      sockets.push(socket);
      return socket as unknown as Socket;
    },
    message: (text) => messages.push(text),
    state: (state) => states.push(state),
    after: (ms, run) => clock.after(ms, run),
    random: () => 1,
  });
});

async function live(): Promise<void> {
  link.start();
  await clock.pass(0);
  newest().say("hello");
}

describe("Link", () => {
  it("is live with the first message", async () => {
    await live();
    expect(states).toEqual(["connecting", "live"]);
    expect(messages).toEqual(["hello"]);
  });

  it("comes back within two seconds, however long the hub was away", async () => {
    await live();
    reachable = false;
    newest().end(1006);
    await clock.pass(60_000);
    reachable = true;
    await clock.pass(2_000);
    newest().say("back");
    expect(states.at(-1)).toBe("live");
    expect(sockets).toHaveLength(2);
  });

  it("says that its data is old, asks, and gives a silent socket up", async () => {
    await live();
    await clock.pass(STALE_AFTER_MS);
    expect(states.at(-1)).toBe("stale");
    expect(newest().sent).toEqual(['{"type":"ping"}']);
    await clock.pass(DEAD_AFTER_MS - STALE_AFTER_MS);
    expect(states.at(-1)).toBe("offline");
    expect(sockets[0]?.closed).toBe(true);
  });

  it("is live again when the hub answers", async () => {
    await live();
    await clock.pass(STALE_AFTER_MS);
    newest().say("pong");
    expect(states.at(-1)).toBe("live");
    await clock.pass(STALE_AFTER_MS - 1);
    expect(states.at(-1)).toBe("live");
  });

  it("renews without anybody noticing", async () => {
    await live();
    newest().end(RENEW);
    await clock.pass(0);
    expect(sockets).toHaveLength(2);
    newest().say("again");
    expect(states).toEqual(["connecting", "live"]);
  });

  it("gives up a connection that is never opened", async () => {
    link.start();
    await clock.pass(3_000);
    expect(states.at(-1)).toBe("offline");
    expect(newest().closed).toBe(true);
  });

  it("is still when it is stopped", async () => {
    await live();
    link.stop();
    expect(newest().closed).toBe(true);
    await clock.pass(60_000);
    expect(sockets).toHaveLength(1);
    link.retryNow();
    await clock.pass(0);
    expect(sockets).toHaveLength(1);
  });

  it("tries at once when asked to", async () => {
    await live();
    newest().end(1006);
    link.retryNow();
    await clock.pass(0);
    expect(sockets).toHaveLength(2);
  });
});

describe("retryDelay", () => {
  it("grows to two seconds and never beyond", () => {
    expect([0, 1, 2, 3, 50].map((attempt) => retryDelay(attempt, 1))).toEqual([250, 500, 1000, 2000, 2000]);
    expect(retryDelay(0, 0)).toBe(150);
  });
});
