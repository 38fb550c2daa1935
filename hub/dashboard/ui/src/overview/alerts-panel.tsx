/** Open alerts, worst first, with the one action that is needed at once. */

import { computed, signal } from "@preact/signals";
import { acknowledge } from "../api/alerts";
import { mayEdit } from "../api/session";
import type { Alert, Level } from "../api/types";
import { ago, value } from "../lib/format";
import { A } from "../lib/router";
import { alerts, at } from "../live/store";
import { Labels, LevelBadge, StateBadge } from "../parts/badge";
import { Empty } from "../parts/states";
import { complain, say } from "../parts/toast";

const RANK: Record<Level, number> = { critical: 0, error: 1, warning: 2, info: 3 };
const STATE = { firing: 0, stale: 1, pending: 2, acknowledged: 3, resolved: 4 } as const;
const busy = signal<ReadonlySet<string>>(new Set());

const open = computed(() =>
  alerts.value
    .filter((alert) => alert.state !== "resolved")
    .sort((a, b) => STATE[a.state] - STATE[b.state] || RANK[a.level] - RANK[b.level] || (b.fired_at ?? "").localeCompare(a.fired_at ?? "")),
);

export function AlertsPanel() {
  return (
    <section class="panel side-panel" aria-labelledby="alerts-heading">
      <header class="panel-head">
        <h2 id="alerts-heading">Open alerts</h2>
        <A to="/alerts" class="panel-link">
          All alerts
        </A>
      </header>
      <div class="side-body" tabIndex={0}>
        {open.value.length === 0 ? (
          <Empty icon="check" title="Nothing is firing" />
        ) : (
          <ul class="alert-list" data-testid="open-alerts">
            {open.value.map((alert) => (
              <Row key={alert.id} alert={alert} />
            ))}
          </ul>
        )}
      </div>
    </section>
  );
}

function Row({ alert }: { alert: Alert }) {
  const take = async (): Promise<void> => {
    busy.value = new Set(busy.value).add(alert.id);
    try {
      await acknowledge(alert.id, "");
      say(`Acknowledged: ${alert.title}`);
    } catch (error) {
      complain(error);
    } finally {
      const rest = new Set(busy.value);
      rest.delete(alert.id);
      busy.value = rest;
    }
  };
  return (
    <li class={`alert-row edge-${alert.level}`}>
      <p class="alert-title">{alert.title}</p>
      <div class="alert-line">
        <p class="alert-meta">
          <LevelBadge level={alert.level} />
          {alert.state !== "firing" && <StateBadge state={alert.state} />}
          <span>{value(alert.value)}</span>
          <span>{ago(alert.fired_at ?? alert.pending_at, at.value)}</span>
        </p>
        {alert.state === "firing" && mayEdit() && (
          <button type="button" class="small" disabled={busy.value.has(alert.id)} onClick={() => void take()}>
            Acknowledge
          </button>
        )}
      </div>
      <Labels labels={alert.labels} skip={["rule", "level", "alertname"]} />
    </li>
  );
}
