/** Plugins: which there are, how they do, who uses them; an administrator installs, approves, switches and removes them. */

import { computed, signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { all } from "../api/client";
import { plugins as fetchPlugins } from "../api/plugins";
import { isAdmin } from "../api/session";
import type { Channel, Rule } from "../api/types";
import { count } from "../lib/format";
import { every } from "../lib/looking";
import { resource, useFresh } from "../lib/resource";
import { Icon } from "../parts/icons";
import { Search } from "../parts/search";
import { Empty, Fetched } from "../parts/states";
import { Detail } from "./detail";
import { InstallForm } from "./install";
import { StateBadge } from "./state-badge";
import { entries, type Entry, keptOrder, nanos, reasonText, usedText, usesOf } from "./view";

/** Counts and states change by themselves. */
const LOOK_MS = 2_000;

const list = resource(fetchPlugins);
const rules = resource(() => all<Rule>("/api/v1/rules"));
const channels = resource(() => all<Channel>("/api/v1/channels"));
const text = signal("");
const chosen = signal<string | null>(null);
const installing = signal(false);

const order = signal<string[]>([]);
const known = computed(() => {
  const found = entries(list.data.value ?? []);
  return order.value.flatMap((name) => found.find((entry) => entry.name === name) ?? []);
});
const shown = computed(() => {
  const wanted = text.value.toLowerCase();
  return known.value.filter(({ plugin }) => `${plugin.name} ${plugin.kind} ${plugin.description} ${plugin.state}`.toLowerCase().includes(wanted));
});

async function look(): Promise<void> {
  await list.reload();
  const next = keptOrder(order.peek(), entries(list.data.peek() ?? []));
  if (next.join() !== order.peek().join()) order.value = next;
}

async function reload(): Promise<void> {
  await Promise.all([look(), rules.reload(), channels.reload()]);
}

export function PluginsPage() {
  useFresh(reload);
  useEffect(() => {
    const stop = every(LOOK_MS, look);
    return () => {
      stop();
      order.value = [];
    };
  }, []);
  const current = known.value.find(({ name }) => name === chosen.value) ?? null;
  return (
    <section class="panel page" aria-label="Plugins">
      <header class="panel-head page-head">
        <Search text={text} what="plugins" hint="Filter by name, kind or state" />
        {isAdmin() && (
          <button type="button" class="primary" onClick={() => (installing.value = true)}>
            <Icon name="plus" />
            Install
          </button>
        )}
      </header>
      <Fetched of={list} rows={6} retry={reload}>
        {() =>
          shown.value.length === 0 ? (
            <Empty icon={text.value === "" ? "plugins" : "search"} title={text.value === "" ? "No plugins" : "No plugin matches"}>
              {text.value === "" && "The shipped ones lie beside the hub's binary; [plugins] shipped_dir names their folder."}
            </Empty>
          ) : (
            <div class={current === null ? "split" : "split open"}>
              <ul class="cards" data-testid="plugins">
                {shown.value.map((entry) => (
                  <Card key={entry.name} entry={entry} />
                ))}
              </ul>
              {current !== null && <Detail key={current.name} entry={current} uses={uses(current)} changed={reload} close={() => (chosen.value = null)} />}
            </div>
          )
        }
      </Fetched>
      {installing.value && (
        <InstallForm
          close={() => (installing.value = false)}
          installed={(name) => {
            installing.value = false;
            text.value = "";
            chosen.value = name;
            void reload();
          }}
        />
      )}
    </section>
  );
}

const uses = ({ plugin }: Entry) => usesOf(plugin, rules.data.value ?? [], channels.data.value ?? []);

const EDGE = { active: "", disabled: "", awaiting_approval: "edge-warning", quarantined: "edge-critical", for_agents: "", failed: "edge-error" } as const;

function Card({ entry }: { entry: Entry }) {
  const { name, plugin, waiting } = entry;
  const why = reasonText(plugin);
  const failures = plugin.errors + plugin.traps;
  return (
    <li>
      <button type="button" class={`card plugin-card ${EDGE[plugin.state]}`} data-plugin={name} aria-pressed={name === chosen.value} onClick={() => (chosen.value = name === chosen.value ? null : name)}>
        <span class="plugin-what">
          <span class="card-title">{name}</span>
          <span class="alert-meta">
            <StateBadge state={plugin.state} />
            {waiting !== null && waiting !== plugin && <span class="badge plugin-awaiting_approval">{waiting.version} awaits approval</span>}
            {plugin.shadow_version !== null && <span class="badge plugin-shadow">shadow {plugin.shadow_version}</span>}
            <span>
              {plugin.kind} {plugin.version}
            </span>
          </span>
          {why !== "" ? <span class="plugin-line text-warning">{why}</span> : plugin.description !== "" && <span class="plugin-line">{plugin.description}</span>}
          <span class="plugin-line faint">{usedText(plugin, uses(entry))}</span>
        </span>
        <span class="plugin-figures">
          <Figure name="calls" text={count(plugin.calls)} />
          <Figure name="failed" text={count(failures)} alarm={failures > 0} />
          <Figure name="a call" text={nanos(plugin.ns_per_call)} />
        </span>
      </button>
    </li>
  );
}

function Figure({ name, text: number, alarm = false }: { name: string; text: string; alarm?: boolean }) {
  return (
    <span>
      <b class={alarm ? "text-warning" : ""}>{number}</b>
      <small>{name}</small>
    </span>
  );
}
