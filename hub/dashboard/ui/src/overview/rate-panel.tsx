/** Events per second by type: a stacked area with a legend that switches types off and on. */

import { computed, signal } from "@preact/signals";
import type uPlot from "uplot";
import { axisTime, windowSeconds } from "../charts/window";
import { faded, fromZero, timeAxis, valueAxis } from "../charts/axes";
import { slot } from "../charts/palette";
import { hovered, indexAt, Plot } from "../charts/plot";
import { clock, count } from "../lib/format";
import { colour } from "../lib/theme";
import { Empty } from "../parts/states";
import { rateView } from "./rate-view";

const hidden = signal<ReadonlySet<string>>(new Set());
const shown = computed(() => rateView.value.series.filter(({ name }) => !hidden.value.has(name)));
const shape = computed(() => shown.value.map(({ name }) => name).join("\n"));

function stacked(): uPlot.AlignedData {
  const { times } = rateView.value;
  const floor = new Array<number>(times.length).fill(0);
  const columns = shown.value.map(({ values }) =>
    values.map((value, i) => {
      if (value === null) return null;
      const height = (floor[i] ?? 0) + value;
      floor[i] = height;
      return height;
    }),
  );
  return [times, ...columns];
}

function options(): Omit<uPlot.Options, "width" | "height"> {
  const series = shown.peek();
  return {
    padding: [12, 12, 0, 0],
    scales: { x: { time: true, range: axisTime }, y: fromZero(4) },
    axes: [timeAxis(), valueAxis(count)],
    series: [
      {},
      ...series.map(({ name }) => {
        const stroke = colour(slot(name));
        return { label: name, stroke, fill: faded(stroke, 0.32), width: 1, points: { show: false } };
      }),
    ],
    bands: series.slice(1).map((_, i) => ({ series: [i + 2, i + 1] as [number, number] })),
  };
}

/** One type off or on; with Alt only this one. */
function toggle(name: string, only: boolean): void {
  const all = rateView.peek().series.map((series) => series.name);
  if (only) {
    const others = all.filter((other) => other !== name);
    const isolated = others.every((other) => hidden.value.has(other)) && !hidden.value.has(name);
    hidden.value = new Set(isolated ? [] : others);
    return;
  }
  const next = new Set(hidden.value);
  if (!next.delete(name)) next.add(name);
  hidden.value = all.every((each) => next.has(each)) ? new Set() : next;
}

export function RatePanel() {
  const { series } = rateView.value;
  return (
    <section class="panel rate-panel" aria-labelledby="rate-heading">
      <header class="panel-head">
        <h2 id="rate-heading">Event rate by type</h2>
        <span class="panel-note">{hovered.value === null ? `last ${windowSeconds / 60} minutes` : clock(hovered.value * 1000)}</span>
      </header>
      {series.length === 0 ? (
        <Empty icon="overview" title="No events in the last five minutes">
          Send one with <code>POST /events</code>, or add an agent.
        </Empty>
      ) : (
        <div class="rate-body">
          <Plot class="rate-plot" shape={shape.value} options={options} data={stacked} label={`Events per second by type: ${series.map(({ name, latest }) => `${name} ${count(latest)}`).join(", ")}`} />
          <Legend />
        </div>
      )}
    </section>
  );
}

function Legend() {
  const { times, series } = rateView.value;
  const index = hovered.value === null ? -1 : indexAt(times, hovered.value);
  const largest = Math.max(1, ...series.map(({ total }) => total));
  return (
    <ul class="legend" aria-label="Event types">
      {series.map(({ name, latest, total, values }) => {
        const off = hidden.value.has(name);
        const number = index >= 0 ? values[index] : latest;
        return (
          <li key={name}>
            <button
              type="button"
              class={`legend-row ${slot(name)} ${off ? "off" : ""}`}
              aria-pressed={!off}
              title={`${name}: click to hide, Alt-click to see it alone`}
              onClick={(event) => toggle(name, event.altKey)}
            >
              <i class="swatch" aria-hidden="true" />
              <span class="legend-name">{name}</span>
              <span class="legend-value">{number === null || number === undefined ? "–" : count(number)}</span>
              <meter class="share" min={0} max={largest} value={total} aria-hidden="true" />
            </button>
          </li>
        );
      })}
    </ul>
  );
}
