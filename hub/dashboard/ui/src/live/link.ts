/**
 * The live connection: opens the socket, notices when it is silent, and opens it again within two seconds.
 *
 * The clock, timers and socket come from outside, so that every path is tested without waiting.
 */

export type LinkState = "connecting" | "live" | "stale" | "offline";

export type Socket = Pick<WebSocket, "send" | "close" | "onmessage" | "onclose">;

export interface LinkEnv {
  /** Opens a socket; rejects when no token can be had. */
  open(): Promise<Socket>;
  message(text: string): void;
  state(state: LinkState, retryInMs: number | null): void;
  after(ms: number, run: () => void): () => void;
  random(): number;
}

/** Silence after which the page says that its data is old; the hub ticks every second. */
export const STALE_AFTER_MS = 4_000;
/** Silence after which the socket is given up. */
export const DEAD_AFTER_MS = 8_000;
const CONNECT_WITHIN_MS = 3_000;
const LONGEST_RETRY_MS = 2_000;
/** The hub ends a socket with this code when its token has run out; the next one takes its place at once. */
export const RENEW = 4001;

/** How long to wait before attempt `n` (from 0): grows to two seconds, never more. */
export function retryDelay(attempt: number, random: number): number {
  const base = Math.min(LONGEST_RETRY_MS, 250 * 2 ** Math.min(attempt, 10));
  return Math.round(base * (0.6 + 0.4 * random));
}

export class Link {
  private socket: Socket | null = null;
  private attempts = 0;
  private generation = 0;
  private cancels: (() => void)[] = [];
  private stopped = true;
  private current: LinkState = "connecting";

  constructor(private readonly env: LinkEnv) {}

  start(): void {
    if (!this.stopped) return;
    this.stopped = false;
    this.attempts = 0;
    this.tell("connecting");
    void this.connect();
  }

  stop(): void {
    this.stopped = true;
    this.drop();
  }

  /** Tries at once instead of at the next appointed time. */
  retryNow(): void {
    if (this.stopped || this.current === "live") return;
    this.drop();
    void this.connect();
  }

  private async connect(): Promise<void> {
    const generation = ++this.generation;
    let socket: Socket;
    try {
      socket = await this.env.open();
    } catch {
      if (generation === this.generation) this.lost();
      return;
    }
    if (generation !== this.generation || this.stopped) {
      socket.close();
      return;
    }
    this.socket = socket;
    this.cancels.push(this.env.after(CONNECT_WITHIN_MS, () => this.lost()));
    socket.onmessage = ({ data }) => {
      if (generation !== this.generation || typeof data !== "string") return;
      this.heard();
      this.env.message(data);
    };
    socket.onclose = ({ code }) => {
      if (generation !== this.generation) return;
      if (code === RENEW) {
        this.drop();
        void this.connect();
      } else {
        this.lost();
      }
    };
  }

  private heard(): void {
    this.clear();
    this.attempts = 0;
    if (this.current !== "live") this.tell("live");
    this.cancels.push(
      this.env.after(STALE_AFTER_MS, () => {
        this.tell("stale");
        this.socket?.send('{"type":"ping"}');
      }),
      this.env.after(DEAD_AFTER_MS, () => this.lost()),
    );
  }

  private lost(): void {
    this.drop();
    if (this.stopped) return;
    const delay = retryDelay(this.attempts, this.env.random());
    this.attempts += 1;
    this.tell("offline", delay);
    this.cancels.push(this.env.after(delay, () => void this.connect()));
  }

  private drop(): void {
    this.generation += 1;
    this.clear();
    const socket = this.socket;
    this.socket = null;
    if (socket !== null) {
      socket.onmessage = null;
      socket.onclose = null;
      socket.close();
    }
  }

  private clear(): void {
    for (const cancel of this.cancels) cancel();
    this.cancels = [];
  }

  private tell(state: LinkState, retryInMs: number | null = null): void {
    this.current = state;
    this.env.state(state, retryInMs);
  }
}
