/** CPU, memory, load, disk and network of each host, side by side on one time axis. */

import { computed, signal } from "@preact/signals";
import type uPlot from "uplot";
import { faded, FONT, fromZero } from "../charts/axes";
import { hovered, indexAt, Plot } from "../charts/plot";
import { axisTime } from "../charts/window";
import { ago, bytes, bytesPerSecond, load, percent } from "../lib/format";
import { colour } from "../lib/theme";
import type { Curve, Host } from "../live/hosts";
import { at, hosts, version } from "../live/store";
import { Empty } from "../parts/states";

const FIRST = 6;
const SILENT_AFTER_MS = 60_000;

const list = computed(() => {
  version.value;
  return hosts.view();
});
const all = signal(false);

interface TileSpec {
  key: "cpu" | "memory" | "load" | "disk" | "network";
  title: string;
  format: (value: number) => string;
  top: number | null;
  floor: number;
}

const TILES: TileSpec[] = [
  { key: "cpu", title: "CPU", format: percent, top: 100, floor: 100 },
  { key: "memory", title: "Memory", format: percent, top: 100, floor: 100 },
  { key: "load", title: "Load", format: load, top: null, floor: 1 },
  { key: "disk", title: "Disk", format: bytesPerSecond, top: null, floor: 65_536 },
  { key: "network", title: "Network", format: bytesPerSecond, top: null, floor: 16_384 },
];

export function HostsPanel() {
  const shown = all.value ? list.value : list.value.slice(0, FIRST);
  return (
    <section class="hosts" aria-labelledby="hosts-heading">
      <header class="section-head">
        <h2 id="hosts-heading">Hosts</h2>
        <span class="panel-note">{list.value.length === 0 ? "" : `${list.value.length} reporting`}</span>
      </header>
      {shown.length === 0 ? (
        <div class="panel host-empty">
          <Empty icon="agents" title="No host metrics yet">
            An agent with a <code>kind = "host"</code> source sends them; the first arrive within its interval.
          </Empty>
        </div>
      ) : (
        shown.map((host) => <HostCard key={host.source} host={host} />)
      )}
      {list.value.length > FIRST && (
        <button type="button" class="more" onClick={() => (all.value = !all.value)}>
          {all.value ? "Show fewer" : `Show all ${list.value.length} hosts`}
        </button>
      )}
    </section>
  );
}

function HostCard({ host }: { host: Host }) {
  const silent = at.value - host.newest > SILENT_AFTER_MS;
  const fullest = host.mounts[0];
  return (
    <article class="panel host" data-testid="host" aria-label={`Host ${host.source}`}>
      <header class="host-head">
        <h3>{host.source}</h3>
        <span class={silent ? "host-age text-warning" : "host-age"}>
          {silent ? "silent, " : ""}
          {ago(host.newest, at.value)}
        </span>
        <span class="host-facts">
          {host.memoryTotal > 0 && <span>{bytes(host.memoryTotal)} memory</span>}
          {fullest !== undefined && (
            <span class={fullest.used >= 90 ? "text-warning" : ""}>
              {fullest.mount === "" ? "disk" : fullest.mount} {percent(fullest.used)} full
            </span>
          )}
        </span>
      </header>
      <div class="tiles">
        {TILES.map((spec) => (
          <Tile key={spec.key} host={host.source} curves={host[spec.key]} spec={spec} />
        ))}
      </div>
    </article>
  );
}

function Tile({ host, curves, spec }: { host: string; curves: Curve[]; spec: TileSpec }) {
  const source = (): Curve[] => {
    version.value;
    return list.value.find((each) => each.source === host)?.[spec.key] ?? [];
  };
  const several = curves.length > 1;
  return (
    <div class={`tile tile-${spec.key}`}>
      <div class="tile-head">
        <span class="tile-title">
          {spec.title}
          {several &&
            curves.map((curve, i) => (
              <small key={curve.label} class={`curve-${spec.key}-${i}`}>
                {curve.label}
              </small>
            ))}
        </span>
        <span class="tile-values">
          {curves.length === 0 && <span class="tile-value none">–</span>}
          {curves.map((curve, i) => (
            <span key={curve.label} class={`tile-value curve-${spec.key}-${i}`}>
              {spec.format(reading(curve))}
            </span>
          ))}
        </span>
      </div>
      {curves.length > 0 ? (
        <Plot
          class="tile-plot"
          shape={`${host} ${curves.length}`}
          label={`${spec.title} of ${host}: ${curves.map((curve) => `${curve.label} ${spec.format(curve.latest)}`).join(", ")}`}
          data={() => align(source())}
          options={() => tileOptions(spec, curves.length)}
        />
      ) : (
        <div class="tile-plot nothing">not reported</div>
      )}
    </div>
  );
}

/** The value under the crosshair, or the newest. */
function reading(curve: Curve): number {
  if (hovered.value === null) return curve.latest;
  const index = indexAt(curve.times, hovered.value);
  return curve.values[index] ?? Number.NaN;
}

function tileOptions(spec: TileSpec, curves: number): Omit<uPlot.Options, "width" | "height"> {
  const strokes = [colour(`curve-${spec.key}-0`), colour(`curve-${spec.key}-1`), colour(`curve-${spec.key}-2`)];
  return {
    padding: [4, 0, 0, 0],
    scales: { x: { time: true, range: axisTime }, y: spec.top === null ? fromZero(spec.floor) : { range: [0, spec.top] } },
    axes: [
      { show: false },
      {
        stroke: colour("chart-text"),
        font: FONT,
        size: 0,
        grid: { stroke: colour("chart-grid"), width: 1 },
        ticks: { show: false },
        values: () => [],
        splits: (u) => {
          const top = u.scales["y"]?.max ?? 1;
          return [0, top / 2, top];
        },
      },
    ],
    series: [
      {},
      ...Array.from({ length: curves }, (_, i) => {
        const stroke = strokes[i % strokes.length] ?? colour("series-1");
        const area = i === 0 ? { fill: faded(stroke, 0.16) } : {};
        return { stroke, width: i === 0 ? 1.5 : 1.25, points: { show: false }, ...area };
      }),
    ],
  };
}

/** Curves of one tile on one time axis; `undefined` where a curve has no sample is bridged, `null` is a gap. */
function align(curves: Curve[]): uPlot.AlignedData {
  const places = new Map<number, number>();
  const times = [...new Set(curves.flatMap((curve) => curve.times))].sort((a, b) => a - b);
  times.forEach((time, i) => places.set(time, i));
  const columns = curves.map((curve) => {
    const column = new Array<number | null | undefined>(times.length).fill(undefined);
    curve.times.forEach((time, i) => {
      const place = places.get(time);
      if (place !== undefined) column[place] = curve.values[i] ?? null;
    });
    return column;
  });
  return [times, ...columns] as uPlot.AlignedData;
}
