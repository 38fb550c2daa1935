/** A metric over time: its series as lines, a table of them beside, and the same as text for who cannot see a chart. */

import { computed, signal } from "@preact/signals";
import type uPlot from "uplot";
import { useEffect } from "preact/hooks";
import { type Metric, values, type Values } from "../api/metrics";
import { timeAxis, valueAxis } from "../charts/axes";
import { hovered, indexAt, Plot } from "../charts/plot";
import { clock, count, dateTime, value as number } from "../lib/format";
import { every } from "../lib/looking";
import { resource } from "../lib/resource";
import { colour } from "../lib/theme";
import { Empty, Failure, Loading } from "../parts/states";
import { axisSteps, chartOf, RANGES } from "./view";

const LOOK_MS = 5_000;

const hours = signal(1);
const asked = signal("");
const found = resource<Values | null>(async () => (asked.peek() === "" ? null : values(asked.peek(), hours.peek())));
const since = signal(0);
const chart = computed(() => (found.data.value === null ? null : chartOf(found.data.value, since.value, Date.now())));
const shape = computed(() => `${asked.value} ${hours.value} ${chart.value?.lines.map(({ name }) => name).join("\n") ?? ""}`);

function options(): Omit<uPlot.Options, "width" | "height"> {
  const { incrs, days } = axisSteps(hours.peek() * 3600);
  return {
    padding: [12, 12, 0, 0],
    scales: {
      x: { time: true, range: () => [Date.now() / 1000 - hours.peek() * 3600, Date.now() / 1000] },
      y: { range: (_, low, high) => [Math.min(0, low ?? 0), Math.max(1, (high ?? 0) * 1.1)] },
    },
    axes: [
      timeAxis({
        space: days ? 84 : 60,
        incrs,
        values: (_, splits) => splits.map((at) => (days ? dateTime(at * 1000).slice(5, 16) : clock(at * 1000).slice(0, 5))),
      }),
      valueAxis(count),
    ],
    series: [{}, ...(chart.peek()?.lines ?? []).map(({ name }, i) => ({ label: name, stroke: colour(`series-${i + 1}`), width: 1.5, spanGaps: false, points: { show: false } }))],
  };
}

const data = (): uPlot.AlignedData => {
  const known = chart.value;
  return known === null ? [[]] : [known.times, ...known.lines.map(({ values: each }) => each)];
};

export function MetricChart({ metric }: { metric: Metric }) {
  useEffect(() => {
    if (asked.peek() !== metric.id) found.data.value = null;
    asked.value = metric.id;
    since.value = metric.builtin ? 0 : Date.parse(metric.since);
    void found.reload();
    return every(LOOK_MS, found.reload);
  }, [metric.id, hours.value]);
  const known = asked.value === metric.id ? chart.value : null;
  return (
    <section aria-label="Values">
      <div class="chart-head">
        <div class="tabs" role="group" aria-label="How far back">
          {RANGES.map((each) => (
            <button key={each.hours} type="button" aria-pressed={hours.value === each.hours} onClick={() => (hours.value = each.hours)}>
              {each.name}
            </button>
          ))}
        </div>
        <span class="faint">{hovered.value === null ? "" : dateTime(hovered.value * 1000)}</span>
      </div>
      <div class="metric-chart">
        {known === null ? (
          found.error.value === null ? (
            <Loading rows={3} />
          ) : (
            <Failure error={found.error.value} retry={() => void found.reload()} />
          )
        ) : known.lines.length === 0 ? (
          <Empty icon="metrics" title="No values in this time">
            A metric counts the events since it was declared.
          </Empty>
        ) : (
          <Plot class="metric-plot" shape={shape.value} options={options} data={data} label={`${metric.name} over time: ${known.lines.map(({ name, latest }) => `${name} ${latest === null ? "none" : number(latest)}`).join(", ")}`} />
        )}
      </div>
      {known !== null && known.lines.length > 0 && <Table />}
    </section>
  );
}

function Table() {
  const known = chart.value;
  if (known === null) return null;
  const index = hovered.value === null ? -1 : indexAt(known.times, hovered.value);
  return (
    <>
      <table class="table compact series" data-testid="series">
        <thead>
          <tr>
            <th>Series</th>
            <th class="num">{index < 0 ? "latest" : "here"}</th>
            <th class="num">largest</th>
          </tr>
        </thead>
        <tbody>
          {known.lines.map(({ name, values: all, latest, largest }, i) => {
            const shown = index < 0 ? latest : (all[index] ?? null);
            return (
              <tr key={name}>
                <th scope="row">
                  <i class={`swatch series-${i + 1}`} aria-hidden="true" /> {name}
                </th>
                <td class="num">{shown === null ? "–" : number(shown)}</td>
                <td class="num">{number(largest)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
      <p class="faint">
        {known.more > 0 && `${known.more} more series with smaller values. `}
        {known.completeUntil < known.times.length && `Since ${clock((known.times[known.completeUntil] ?? 0) * 1000)} not all hosts have reported yet.`}
      </p>
    </>
  );
}
