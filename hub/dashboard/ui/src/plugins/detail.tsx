/** One plugin: why it does not run, its rights, limits, figures, versions, and its lines; and what can be done with it. */

import { useEffect, useState } from "preact/hooks";
import { isAdmin } from "../api/session";
import type { Plugin } from "../api/types";
import { ago, bytes, dateTime, whole } from "../lib/format";
import { at } from "../live/store";
import { DetailPane, useEscape } from "../parts/detail";
import { Json } from "../parts/json";
import { Actions, Approve } from "./actions";
import { LogView } from "./logs";
import { ShadowView } from "./shadow";
import { Rights } from "./rights";
import { StateBadge } from "./state-badge";
import { type Entry, isShipped, nanos, reasonText, rightsOf, usedText, type Uses } from "./view";

interface DetailProps {
  entry: Entry;
  uses: Uses;
  changed: () => Promise<void>;
  close: () => void;
}

type Tab = "about" | "log" | "shadow";

export function Detail({ entry, uses, changed, close }: DetailProps) {
  const { name, plugin, waiting, failed } = entry;
  const [chosen, setTab] = useState<Tab>("about");
  const compared = plugin.shadow_version !== null;
  const tab = chosen === "shadow" && !compared ? "about" : chosen;
  const tabs: Tab[] = compared ? ["about", "log", "shadow"] : ["about", "log"];
  // A version that has just come into the shadow is what one wants to see.
  useEffect(() => {
    if (compared) setTab("shadow");
  }, [compared]);
  useEscape(close);
  const why = reasonText(plugin);
  return (
    <DetailPane label="Plugin" class="plugin-detail" testid="plugin" title={name} lead={plugin.description} close={close}>
      <p class="alert-meta">
        <StateBadge state={plugin.state} />
        {plugin.shadow_version !== null && <span class="badge plugin-shadow">shadow {plugin.shadow_version}</span>}
        <span>
          {plugin.kind} {plugin.version}
        </span>
        <span>{usedText(plugin, uses)}</span>
      </p>
      {why !== "" && (
        <p class={plugin.state === "disabled" ? "note" : "note text-warning"} data-testid="plugin-reason">
          {why}
          {plugin.quarantined_since !== null && ` In quarantine since ${dateTime(plugin.quarantined_since)} (${ago(plugin.quarantined_since, at.value)}). No event is lost: its rules wait where they are.`}
        </p>
      )}
      {failed.map((each) => (
        <p key={each.version + (each.reason ?? "")} class="note text-error">
          {each.version === "" ? "A file" : `Version ${each.version}`} could not be loaded: {each.reason}
        </p>
      ))}
      {waiting !== null && <Approve waiting={waiting} running={waiting === plugin ? null : plugin} changed={changed} />}
      {isAdmin() && <Actions entry={entry} uses={uses} changed={changed} close={close} />}
      <div class="tabs detail-tabs" role="group" aria-label="What to show">
        {tabs.map((each) => (
          <button key={each} type="button" aria-pressed={tab === each} onClick={() => setTab(each)}>
            {each}
          </button>
        ))}
      </div>
      {tab === "log" ? <LogView name={name} /> : tab === "shadow" ? <ShadowView name={name} /> : <About plugin={plugin} uses={uses} />}
    </DetailPane>
  );
}

const SHIPPED = { granted: "came with the hub", new: "came with the hub", unused: "came with the hub" };
const APPROVED = { granted: "approved", new: "not approved", unused: "approved, not asked for any more" };

function About({ plugin, uses }: { plugin: Plugin; uses: Uses }) {
  const rights = rightsOf(plugin);
  const schema = plugin.config_schema ?? {};
  return (
    <>
      <dl class="facts">
        <Fact name="Calls" text={whole(plugin.calls)} />
        <Fact name="Failed answers" text={whole(plugin.errors)} alarm={plugin.errors > 0} />
        <Fact name="Ended by the sandbox" text={whole(plugin.traps)} alarm={plugin.traps > 0} />
        <Fact name="Time of a call" text={nanos(plugin.ns_per_call)} />
        <Fact name={plugin.kind === "channel" ? "Computing a message" : "Computing an event"} text={nanos(plugin.cpu_ns_per_event)} />
        <Fact name="Memory" text={plugin.limits === null ? "–" : `${bytes(plugin.memory_bytes)} of ${bytes(plugin.limits.memory_bytes)}`} />
      </dl>
      <h4>Rights</h4>
      {rights.length === 0 ? (
        <p class="faint">It can compute and log, and nothing else.</p>
      ) : (
        <Rights rights={rights} fresh="alerts" words={isShipped(plugin) ? SHIPPED : APPROVED} />
      )}
      {plugin.kind !== "channel" && (
        <>
          <h4>Shown of each event</h4>
          {plugin.envelope.length + plugin.fields.length === 0 ? (
            <p class="faint">Nothing but that there is one.</p>
          ) : (
            <p class="labels">
              {plugin.envelope.map((name) => (
                <span key={name} class="label">
                  {name}
                </span>
              ))}
              {plugin.fields.map(({ path, type }) => (
                <span key={path} class="label">
                  <b>{type}</b>
                  {path}
                </span>
              ))}
            </p>
          )}
          {plugin.tick_ms !== null && <p class="faint">It hears of time every {plugin.tick_ms / 1000} s.</p>}
        </>
      )}
      <h4>Limits of a call</h4>
      <p>{plugin.limits === null ? <span class="faint">It is not loaded.</span> : `${plugin.limits.deadline_ms} ms of computing, ${plugin.limits.call_ms / 1000} s with all waiting, ${bytes(plugin.limits.memory_bytes)} of memory.`}</p>
      <h4>Origin</h4>
      <p class="wrap">
        {isShipped(plugin) ? "It came with the hub." : plugin.signature === "unsigned" ? "Nobody has signed it." : plugin.signature === "" ? "Unknown." : `It is ${plugin.signature}.`}{" "}
        {plugin.previous_version === null ? "There is no version before this one." : `The version before is ${plugin.previous_version}.`}
      </p>
      {(uses.rules.length > 0 || uses.channels.length > 0) && (
        <>
          <h4>Used by</h4>
          <ul class="wrap">
            {uses.rules.map((name) => (
              <li key={`r${name}`}>rule {name}</li>
            ))}
            {uses.channels.map((name) => (
              <li key={`c${name}`}>channel {name}</li>
            ))}
          </ul>
        </>
      )}
      <h4>Configuration</h4>
      {Object.keys(schema.properties ?? {}).length === 0 ? <p class="faint">It has no settings.</p> : <Settings plugin={plugin} />}
      {Object.keys(schema).length > 0 && (
        <details class="unfold">
          <summary>The schema as JSON</summary>
          <Json value={schema} />
        </details>
      )}
    </>
  );
}

function Settings({ plugin }: { plugin: Plugin }) {
  const schema = plugin.config_schema ?? {};
  return (
    <ul class="settings-list">
      {Object.entries(schema.properties ?? {}).map(([key, { title, description, type, writeOnly, enum: choices }]) => (
        <li key={key}>
          <code>{key}</code>{" "}
          <span class="faint">
            {choices !== undefined ? choices.map(String).join(" | ") : (type ?? "any")}
            {schema.required?.includes(key) === true && ", needed"}
            {writeOnly === true && ", secret"}
          </span>
          <small>{description ?? title ?? ""}</small>
        </li>
      ))}
    </ul>
  );
}

function Fact({ name, text, alarm = false }: { name: string; text: string; alarm?: boolean }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd class={alarm ? "text-warning" : ""}>{text}</dd>
    </div>
  );
}
