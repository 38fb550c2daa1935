/** What a drill's hops look like in time. Pure. */

import type { Drill } from "../api/drills";
import { span } from "../lib/format";

/** All hops, in the order in which they happen. */
export const HOPS = ["asked", "emitted", "spooled", "sent", "stored", "matched", "fired", "notified", "accepted", "acknowledged"];

const WORDS: Record<string, string> = {
  asked: "The hub asked the agent",
  emitted: "The agent made the event",
  spooled: "Safe in the agent's spool",
  sent: "On its way to the hub",
  stored: "Safe in the log",
  matched: "The rule matched it",
  fired: "The alert fires",
  notified: "A notification was made",
  accepted: "The channels have accepted",
  acknowledged: "A person has answered",
};

export interface Step {
  hop: string;
  words: string;
  /** `done`, `lost`, `waits`, or `skipped`. */
  state: "done" | "lost" | "waits" | "skipped";
  at: string | null;
  took: string;
  detail: string;
}

/** Every hop of a drill: what happened, what is missing, what it waits for. */
export function steps(drill: Drill): Step[] {
  const reached = new Map(drill.hops.map((hop) => [hop.hop, hop]));
  const last = Math.max(-1, ...drill.hops.map(({ hop }) => HOPS.indexOf(hop)));
  const ofAgent = ["emitted", "spooled", "sent"];
  const out: Step[] = [];
  for (const [i, hop] of HOPS.entries()) {
    const found = reached.get(hop);
    const words = WORDS[hop] ?? hop;
    if (found !== undefined) {
      out.push({ hop, words, state: "done", at: found.at, took: `+ ${span(found.took_ms)}`, detail: found.detail ?? "" });
    } else if (drill.lost_at === hop) {
      out.push({ hop, words, state: "lost", at: null, took: "", detail: drill.reason ?? "" });
    } else if ((ofAgent.includes(hop) && drill.request.from_hub === true) || (hop === "acknowledged" && drill.request.acknowledge === false)) {
      continue;
    } else {
      out.push({ hop, words, state: i < last || drill.state !== "running" ? "skipped" : "waits", at: null, took: "", detail: "" });
    }
  }
  return out;
}

/** From the wish to the channels' acceptance, ms; `null` when it did not get there. */
export function delivery(drill: Drill): number | null {
  const accepted = drill.hops.find(({ hop }) => hop === "accepted");
  return accepted === undefined ? null : Date.parse(accepted.at) - Date.parse(drill.started_at);
}
