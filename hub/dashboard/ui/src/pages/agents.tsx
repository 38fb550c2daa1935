/** Agents: who sends, how far behind, what waits in each spool; and how to add one. */

import { computed, signal } from "@preact/signals";
import { call } from "../api/client";
import { isAdmin } from "../api/session";
import type { Agent } from "../api/types";
import { ago, bytes, count, dateTime, span, whole } from "../lib/format";
import { agents, at, ready } from "../live/store";
import { Copy } from "../parts/copy";
import { Dialog } from "../parts/dialog";
import { Icon } from "../parts/icons";
import { Search } from "../parts/search";
import { Empty, Loading } from "../parts/states";
import { complain } from "../parts/toast";

const TTL = "1h";
const QUIC_PORT = 4433;

const text = signal("");
const token = signal<string | null>(null);
const busy = signal(false);

const shown = computed(() => {
  const wanted = text.value.toLowerCase();
  return [...agents.value]
    .filter((agent) => `${agent.name} ${agent.id} ${agent.version} ${agent.remote ?? ""}`.toLowerCase().includes(wanted))
    .sort((a, b) => Number(b.connected) - Number(a.connected) || a.name.localeCompare(b.name));
});

async function add(): Promise<void> {
  busy.value = true;
  try {
    const answer = await call<{ data: { token: string } }>("POST", "/api/v1/agents/tokens", { ttl: TTL });
    token.value = answer.data.token;
  } catch (error) {
    complain(error);
  } finally {
    busy.value = false;
  }
}

export function AgentsPage() {
  return (
    <section class="panel page" aria-label="Agents">
      <header class="panel-head page-head">
        <Search text={text} what="agents" hint="Filter by name, version or address" />
        {isAdmin() && (
          <button type="button" class="primary" disabled={busy.value} onClick={() => void add()}>
            <Icon name="plus" />
            Add agent
          </button>
        )}
      </header>
      {!ready.value ? (
        <Loading />
      ) : shown.value.length === 0 ? (
        <Empty icon="agents" title={text.value === "" ? "No agent has joined yet" : "No agent matches"}>
          {text.value === "" && isAdmin() && "Add agent makes a one-time token and shows the command to run on the host."}
        </Empty>
      ) : (
        <List />
      )}
      {token.value !== null && <TokenDialog token={token.value} />}
    </section>
  );
}

function List() {
  return (
    <div class="table-box" tabIndex={0}>
      <table class="table stack">
        <thead>
          <tr>
            <th>Agent</th>
            <th>State</th>
            <th class="num">Lag</th>
            <th class="num">Spool</th>
            <th class="num">Events</th>
            <th class="num">Dropped</th>
            <th>Version</th>
            <th>Address</th>
          </tr>
        </thead>
        <tbody>
          {shown.value.map((agent) => (
            <Row key={agent.id} agent={agent} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Row({ agent }: { agent: Agent }) {
  const state = agent.revoked ? "revoked" : agent.connected ? "connected" : "offline";
  return (
    <tr class={agent.revoked ? "disabled" : ""}>
      <td>
        <b>{agent.name}</b>
        <small class="mono clip" title={agent.id}>
          {agent.id}
        </small>
      </td>
      <td data-label="State">
        <span class="agent-state">
          <i class={`dot ${state === "connected" ? "on" : "off"}`} aria-hidden="true" />
          {state}
        </span>
        <small title={agent.last_seen === null ? "" : dateTime(agent.last_seen)}>seen {ago(agent.last_seen, at.value)}</small>
      </td>
      <td class="num" data-label="Lag">{agent.connected ? span(agent.lag_ms) : "–"}</td>
      <td class="num" data-label="Spool">
        {bytes(agent.spool_bytes)}
        <small>{count(agent.spool_events)} events</small>
      </td>
      <td class="num" data-label="Events">{whole(agent.events_total)}</td>
      <td class={agent.dropped_total > 0 ? "num text-warning" : "num"} data-label="Dropped">{whole(agent.dropped_total)}</td>
      <td class="mono" data-label="Version">{agent.version}</td>
      <td class="mono" data-label="Address">{agent.remote ?? "–"}</td>
    </tr>
  );
}

function TokenDialog({ token: secret }: { token: string }) {
  const command = `streamflow-agent enroll --hub ${location.hostname}:${QUIC_PORT} --token ${secret} --config /etc/streamflow/agent.toml`;
  return (
    <Dialog title="Add an agent" close={() => (token.value = null)} wide>
      <p class="dialog-lead">Run this once on the host. The token works for one agent, within {TTL}, and pins this hub's certificate authority.</p>
      <div class="command">
        <code>{command}</code>
        <Copy text={command} what="the command" />
      </div>
      <p class="dialog-lead">Then start the agent:</p>
      <div class="command">
        <code>streamflow-agent run --config /etc/streamflow/agent.toml</code>
        <Copy text="streamflow-agent run --config /etc/streamflow/agent.toml" what="the command" />
      </div>
      <p class="faint">
        The token is shown only now. If agents reach this hub under another name or port, put that after <code>--hub</code>.
      </p>
      <div class="dialog-foot">
        <button type="button" class="primary" onClick={() => (token.value = null)}>
          Done
        </button>
      </div>
    </Dialog>
  );
}
