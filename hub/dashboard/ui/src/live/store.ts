/** What the live connection has told, as signals that the pages draw. */

import { batch, computed, effect, signal, untracked } from "@preact/signals";
import { accessTokenOrEnd, session } from "../api/session";
import type { Agent, Alert, LiveMessage, Snapshot, Tick } from "../api/types";
import { EventList } from "./events";
import { HostWindow } from "./hosts";
import { Link, type LinkState, type Socket } from "./link";
import { RateWindow } from "./rates";

export const rates = new RateWindow();
export const hosts = new HostWindow();
export const events = new EventList();

/** Grows with every message; whoever draws from the windows above reads it. */
export const version = signal(0);
/** The hub's clock at the last message, ms; 0 before the first. */
export const at = signal(0);
export const stepMs = signal(1000);
export const eventsPerSecond = signal(0);
export const alerts = signal<Alert[]>([]);
export const agents = signal<Agent[]>([]);
export const skipped = signal(0);
export const link = signal<{ state: LinkState; retryAt: number | null; since: number }>({ state: "connecting", retryAt: null, since: Date.now() });
/** The first snapshot has come. */
export const ready = computed(() => at.value > 0);
/** Alerts that want somebody: firing or stale. */
export const firing = computed(() => alerts.value.filter((alert) => alert.state === "firing" || alert.state === "stale"));

let arrivals: ((fresh: number) => void)[] = [];

/** Called with the number of events that a tick brought. */
export function onArrival(listener: (fresh: number) => void): () => void {
  arrivals.push(listener);
  return () => {
    arrivals = arrivals.filter((other) => other !== listener);
  };
}

async function open(): Promise<Socket> {
  const token = await accessTokenOrEnd();
  const url = new URL("/ws/dashboard", location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.searchParams.set("token", token);
  return new WebSocket(url);
}

const connection = new Link({
  open,
  message: (text) => take(JSON.parse(text) as LiveMessage),
  state: (state, retryInMs) => {
    const before = link.peek();
    const since = before.state === state ? before.since : Date.now();
    link.value = { state, since, retryAt: retryInMs === null ? null : Date.now() + retryInMs };
  },
  after: (ms, run) => {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
  random: Math.random,
});

/** Keeps the connection open while somebody is signed in. */
export function follow(): void {
  effect(() => {
    const signedIn = session.value.phase === "signed-in";
    untracked(() => {
      if (signedIn) connection.start();
      else {
        connection.stop();
        forget();
      }
    });
  });
  addEventListener("online", () => connection.retryNow());
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") connection.retryNow();
  });
}

export function retryNow(): void {
  connection.retryNow();
}

function take(message: LiveMessage): void {
  if (message.type === "snapshot") begin(message.data);
  else if (message.type === "tick") advance(message.data);
}

function begin(data: Snapshot): void {
  rates.load(data.types, data.at, data.step_ms);
  hosts.load(data.hosts, data.at);
  events.load(data.events);
  batch(() => {
    stepMs.value = data.step_ms;
    alerts.value = data.alerts;
    agents.value = data.agents;
    eventsPerSecond.value = data.events_per_second;
    at.value = data.at;
    version.value += 1;
  });
}

function advance(data: Tick): void {
  rates.push(data.step ?? data.at - stepMs.peek(), data.types);
  hosts.push(data.hosts, data.at);
  const fresh = events.add(data.events);
  batch(() => {
    if (data.alerts !== undefined) alerts.value = data.alerts;
    agents.value = data.agents;
    eventsPerSecond.value = data.events_per_second;
    skipped.value += data.events_skipped;
    at.value = data.at;
    version.value += 1;
  });
  if (fresh > 0) for (const listener of arrivals) listener(fresh);
}

/** Nothing of one user's session is shown to the next. */
function forget(): void {
  rates.load([], 0, 1000);
  hosts.load([], 0);
  events.clear();
  batch(() => {
    alerts.value = [];
    agents.value = [];
    eventsPerSecond.value = 0;
    skipped.value = 0;
    at.value = 0;
    version.value += 1;
  });
}

/** An alert that a request has just changed, before the next tick tells of it. */
export function patchAlert(changed: Alert): void {
  const open = changed.state !== "resolved";
  const others = alerts.value.filter((alert) => alert.id !== changed.id);
  alerts.value = open ? [changed, ...others] : others;
}
