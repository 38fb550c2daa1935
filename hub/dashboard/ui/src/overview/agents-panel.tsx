/** Agents and how far behind they are. */

import { ago, bytes, count, span } from "../lib/format";
import { A } from "../lib/router";
import { agents, at } from "../live/store";
import { Empty } from "../parts/states";

const LATE_MS = 10_000;

export function AgentsPanel() {
  const list = agents.value.filter((agent) => !agent.revoked);
  const sorted = [...list].sort((a, b) => Number(a.connected) - Number(b.connected) || b.lag_ms - a.lag_ms || a.name.localeCompare(b.name));
  return (
    <section class="panel side-panel" aria-labelledby="agents-heading">
      <header class="panel-head">
        <h2 id="agents-heading">Agents</h2>
        <A to="/agents" class="panel-link">
          All agents
        </A>
      </header>
      <div class="side-body" tabIndex={0}>
        {sorted.length === 0 ? (
          <Empty icon="agents" title="No agent has joined yet">
            <A to="/agents">Add one</A>
          </Empty>
        ) : (
          <ul class="agent-list" data-testid="agents">
            {sorted.map((agent) => (
              <li key={agent.id} class="agent-row">
                <i class={`dot ${agent.connected ? (agent.lag_ms > LATE_MS ? "late" : "on") : "off"}`} aria-hidden="true" />
                <span class="agent-name">
                  {agent.name}
                  <small>{agent.connected ? `${count(agent.events_total)} events` : `left ${ago(agent.last_seen, at.value)}`}</small>
                </span>
                <span class="agent-lag">
                  {agent.connected ? <b class={agent.lag_ms > LATE_MS ? "text-warning" : ""}>{span(agent.lag_ms)}</b> : <b class="text-error">offline</b>}
                  <small>{!agent.connected ? "" : agent.spool_bytes > 0 ? `${bytes(agent.spool_bytes)} spooled` : "lag"}</small>
                </span>
              </li>
            ))}
          </ul>
        )}
      </div>
    </section>
  );
}
