/** The four figures at the top of the overview. */

import { computed } from "@preact/signals";
import type { ComponentChildren } from "preact";
import type { Level } from "../api/types";
import { count, span } from "../lib/format";
import { A } from "../lib/router";
import { agents, alerts, eventsPerSecond, firing } from "../live/store";
import { rateView } from "./rate-view";

const LEVELS: Level[] = ["critical", "error", "warning", "info"];

const peak = computed(() => {
  let highest = 0;
  const { times, series } = rateView.value;
  for (let i = 0; i < times.length; i += 1) {
    let sum = 0;
    for (const { values } of series) sum += values[i] ?? 0;
    highest = Math.max(highest, sum);
  }
  return highest;
});

const inWindow = computed(() => rateView.value.series.reduce((sum, { total }) => sum + total, 0));
const connected = computed(() => agents.value.filter((agent) => agent.connected));
const worstLag = computed(() => Math.max(0, ...connected.value.map((agent) => agent.lag_ms)));

export function Figures() {
  const known = agents.value.filter((agent) => !agent.revoked).length;
  const byLevel = LEVELS.map((level) => ({ level, n: firing.value.filter((alert) => alert.level === level).length })).filter(({ n }) => n > 0);
  const acknowledged = alerts.value.filter((alert) => alert.state === "acknowledged").length;
  return (
    <section class="figures" aria-label="Key figures">
      <Figure label="Events per second" value={count(eventsPerSecond.value)} note={`peak ${count(peak.value)} in 5 min`} tone="accent" testid="rate" />
      <Figure label="Events in 5 minutes" value={count(inWindow.value)} note={`${rateView.value.types} type${rateView.value.types === 1 ? "" : "s"}`} />
      <Figure
        label="Agents connected"
        value={
          <>
            {connected.value.length}
            <small> / {known}</small>
          </>
        }
        note={connected.value.length === 0 ? "none connected" : `largest lag ${span(worstLag.value)}`}
        tone={connected.value.length < known ? "warning" : undefined}
        to="/agents"
      />
      <Figure
        label="Alerts firing"
        value={String(firing.value.length)}
        note={
          byLevel.length > 0 ? (
            <span class="by-level">
              {byLevel.map(({ level, n }) => (
                <span key={level} class={`text-${level}`}>
                  {n} {level}
                </span>
              ))}
            </span>
          ) : acknowledged > 0 ? (
            `${acknowledged} acknowledged`
          ) : (
            "all quiet"
          )
        }
        tone={byLevel[0]?.level ?? "ok"}
        to="/alerts"
        testid="firing"
      />
    </section>
  );
}

interface FigureProps {
  label: string;
  value: ComponentChildren;
  note: ComponentChildren;
  tone?: string | undefined;
  to?: string;
  testid?: string;
}

function Figure({ label, value, note, tone, to, testid }: FigureProps) {
  const inside = (
    <>
      <span class="figure-label">{label}</span>
      <span class="figure-value" data-testid={testid}>
        {value}
      </span>
      <span class="figure-note">{note}</span>
    </>
  );
  const look = `figure ${tone === undefined ? "" : `tone-${tone}`}`;
  return to === undefined ? (
    <div class={look}>{inside}</div>
  ) : (
    <A to={to} class={look}>
      {inside}
    </A>
  );
}
