/** Plugins as the page tells of them. Pure. */

import type { Channel, Plugin, PluginState, Rule } from "../api/types";

/** Everything that goes by one name. */
export interface Entry {
  name: string;
  /** What runs, else what waits, else what failed. */
  plugin: Plugin;
  /** A version that waits for approval beside it, or is it. */
  waiting: Plugin | null;
  /** Files of this name that could not be loaded, beside it. */
  failed: Plugin[];
}

/** Who a plugin works for. */
export interface Uses {
  rules: string[];
  channels: string[];
}

export function entries(list: readonly Plugin[]): Entry[] {
  const names = [...new Set(list.map(({ name }) => name))];
  return names.flatMap((name): Entry[] => {
    const own = list.filter((each) => each.name === name);
    const waiting = own.find(({ state }) => state === "awaiting_approval") ?? null;
    const failed = own.filter(({ state }) => state === "failed");
    const runs = own.find(({ state }) => state !== "awaiting_approval" && state !== "failed");
    const plugin = runs ?? waiting ?? failed[0];
    return plugin === undefined ? [] : [{ name, plugin, waiting, failed: failed.filter((each) => each !== plugin) }];
  });
}

export function usesOf({ name, kind }: Plugin, rules: readonly Rule[], channels: readonly Channel[]): Uses {
  return {
    rules: kind === "rule" ? rules.filter((rule) => rule.kind === "plugin" && rule.plugin === name).map((rule) => rule.name) : [],
    channels: kind === "channel" ? channels.filter((channel) => channel.plugin === name).map((channel) => channel.name) : [],
  };
}

/** Who uses it, or that nobody does. What agents run is told by their own configuration. */
export function usedText({ kind }: Plugin, uses: Uses): string {
  if (kind === "transform") return "runs on agents whose pipeline names it";
  const text = usesText(uses);
  return text === "" ? "used by nobody" : `used by ${text}`;
}

/** `rules a and b, channel c`; empty when nobody uses it. */
export function usesText({ rules, channels }: Uses, most = 3): string {
  const some = (what: string, names: string[]): string[] => {
    if (names.length === 0) return [];
    const more = names.length - most;
    const shown = more > 0 ? `${names.slice(0, most).join(", ")} and ${more} more` : names.join(", ");
    return [`${what}${names.length > 1 ? "s" : ""} ${shown}`];
  };
  return [...some("rule", rules), ...some("channel", channels)].join(", ");
}

const STATES: Record<PluginState, string> = {
  active: "running",
  disabled: "disabled",
  awaiting_approval: "awaiting approval",
  quarantined: "quarantined",
  for_agents: "for agents",
  failed: "failed",
};

export function stateText(state: PluginState): string {
  return STATES[state] ?? state;
}

const CAUSES: Record<string, string> = {
  deadline: "it computed longer than it may",
  memory: "it took more memory than it may",
  stack: "its stack grew too large",
  copy: "it copied more to the hub than it may",
  trap: "it broke off (a panic, or a step that the sandbox does not allow)",
  answer: "its answers made no sense",
};

/** Why it does not run, in a sentence; empty when it does. */
export function reasonText({ state, reason, quarantine_cause }: Plugin): string {
  if (state === "active") return "";
  const cause = state === "quarantined" && quarantine_cause !== null ? CAUSES[quarantine_cause] : undefined;
  const own = reason ?? "";
  if (cause === undefined) return sentence(own);
  return own === "" ? `It failed too often: ${cause}.` : `It failed too often: ${cause}. ${sentence(own)}`;
}

function sentence(text: string): string {
  if (text === "") return "";
  return text.slice(0, 1).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}

/** A right in words. */
export function rightText(right: string): string {
  const [kind = "", what = ""] = right.split(/ (.*)/s);
  if (kind === "http" && what.startsWith("config:")) return `HTTP requests to the host that its setting “${what.slice("config:".length)}” names`;
  if (kind === "http") return `HTTPS requests to ${what}`;
  if (kind === "mail") return "Mail through the hub's relay";
  if (kind === "secret") return `The secret “${what}”, which the hub fills in when a request leaves`;
  return right;
}

export interface Right {
  right: string;
  state: "granted" | "new" | "unused";
}

/** Rights that are asked for, with those that nobody has approved yet, and those that were approved and are not asked for any more. */
export function rightsOf({ capabilities, granted }: Plugin): Right[] {
  const asked = capabilities.map((right): Right => ({ right, state: granted.includes(right) ? "granted" : "new" }));
  const unused = granted.filter((right) => !capabilities.includes(right)).map((right): Right => ({ right, state: "unused" }));
  return [...asked, ...unused];
}

export function isShipped({ signature }: Plugin): boolean {
  return signature === "shipped";
}

/** 1234567 → `1.2 ms`. */
export function nanos(ns: number | null): string {
  if (ns === null) return "–";
  if (ns < 1000) return `${ns} ns`;
  if (ns < 1_000_000) return `${digits(ns / 1000)} µs`;
  if (ns < 1_000_000_000) return `${digits(ns / 1_000_000)} ms`;
  return `${digits(ns / 1_000_000_000)} s`;
}

function digits(value: number): string {
  return value.toFixed(value < 10 ? 1 : 0);
}

/**
 * The order of a list that is open: what it held stays in its place whatever becomes of it, and what is new comes last. A list that is opened anew begins with what
 * needs somebody.
 */
export function keptOrder(before: readonly string[], list: readonly Entry[]): string[] {
  const there = new Set(list.map(({ name }) => name));
  const fresh = [...list].sort(byUrgency).map(({ name }) => name);
  return [...before.filter((name) => there.has(name)), ...fresh.filter((name) => !before.includes(name))];
}

/** What must be looked at first: what broke, then what waits, then the rest by name. */
function byUrgency(a: Entry, b: Entry): number {
  return urgency(a) - urgency(b) || a.name.localeCompare(b.name);
}

function urgency({ plugin, waiting }: Entry): number {
  if (plugin.state === "quarantined") return 0;
  if (waiting !== null) return 1;
  if (plugin.state === "failed") return 2;
  return 3;
}
