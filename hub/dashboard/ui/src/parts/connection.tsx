/** How the live connection does: a mark in the header, a bar when it is lost, and a spoken summary. */

import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { clock, count } from "../lib/format";
import { agents, at, eventsPerSecond, firing, link, ready, retryNow } from "../live/store";

const WORDS = { connecting: "Connecting", live: "Live", stale: "No news", offline: "Offline" } as const;
const SUMMARY_EVERY_MS = 20_000;

export function ConnectionPill() {
  const { state } = link.value;
  return (
    <div class={`pill pill-${state}`} data-testid="connection" data-state={state}>
      <i aria-hidden="true" />
      <span>{WORDS[state]}</span>
      <time>{ready.value ? clock(at.value) : "––:––:––"}</time>
    </div>
  );
}

const now = signal(Date.now());

/** Lies over the page, so that nothing moves when it comes and goes. */
export function ConnectionBar() {
  const { state, retryAt, since } = link.value;
  const away = state === "offline" || state === "stale";

  useEffect(() => {
    if (!away) return;
    now.value = Date.now();
    const timer = setInterval(() => (now.value = Date.now()), 500);
    return () => clearInterval(timer);
  }, [away]);

  if (!away) return null;
  const seconds = Math.max(0, Math.round((now.value - since) / 1000));
  return (
    <div class={`bar bar-${state}`} role="alert" data-testid="offline-bar">
      <i class="spinner" aria-hidden="true" />
      <p>
        <b>{state === "offline" ? "Connection to the hub lost." : "The hub is silent."}</b>{" "}
        {ready.value ? `What you see is from ${clock(at.value)}.` : ""} {retryAt === null ? "" : "Trying again all the time"}
        {seconds > 0 && <span class="faint"> · {seconds} s</span>}
      </p>
      <button type="button" class="small" onClick={retryNow}>
        Try now
      </button>
    </div>
  );
}

const summary = signal("");

/** For screen readers: the state of things in one sentence, at once when alerts or the connection change, else now and then. */
export function LiveSummary() {
  const { state } = link.value;
  const alarms = firing.value.length;
  useEffect(() => {
    const tell = (): void => {
      const connected = agents.peek().filter((agent) => agent.connected).length;
      summary.value =
        state === "live"
          ? `Live. ${count(eventsPerSecond.peek())} events per second, ${alarms} alert${alarms === 1 ? "" : "s"} firing, ${connected} agent${connected === 1 ? "" : "s"} connected.`
          : `${WORDS[state]}.`;
    };
    tell();
    const timer = setInterval(tell, SUMMARY_EVERY_MS);
    return () => clearInterval(timer);
  }, [state, alarms]);
  return (
    <p class="sr-only" aria-live="polite">
      {summary.value}
    </p>
  );
}
