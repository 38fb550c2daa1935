/** uPlot as a component: fills its box, follows data, size and theme, and shares one crosshair with every other chart of the page. */

import { signal, useSignalEffect } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { scheme } from "../lib/theme";

/** The time under the pointer in any chart, in Unix seconds. */
export const hovered = signal<number | null>(null);

const SYNC = "page";
uPlot.sync(SYNC);

export interface PlotProps {
  /** Options without size; called again when the theme changes, so colours are read in it. */
  options: () => Omit<uPlot.Options, "width" | "height">;
  /** Reads the signals that it draws from. */
  data: () => uPlot.AlignedData;
  /** What a screen reader says of it. */
  label: string;
  /** Changes when the number or kind of series does: the chart is then made anew. */
  shape: string;
  class?: string;
}

export function Plot({ options, data, label, shape, class: extra }: PlotProps) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef({ options, data });
  latest.current = { options, data };

  useLayoutEffect(() => {
    const host = box.current;
    if (host === null) return;
    const size = (): { width: number; height: number } => ({ width: Math.max(1, host.clientWidth), height: Math.max(1, host.clientHeight) });
    const given = latest.current.options();
    const made = new uPlot(
      {
        ...size(),
        legend: { show: false },
        ...given,
        cursor: {
          drag: { x: false, y: false },
          points: { size: 6, width: 1.5 },
          sync: { key: SYNC, scales: ["x", null] },
          ...given.cursor,
        },
        hooks: {
          ...given.hooks,
          setCursor: [
            (u) => {
              const { idx, left } = u.cursor;
              const time = left === undefined || left < 0 || idx === null || idx === undefined ? null : u.posToVal(left, "x");
              if (hovered.peek() !== time) hovered.value = time;
            },
          ],
        },
      },
      latest.current.data(),
      host,
    );
    plot.current = made;
    const watch = new ResizeObserver(() => made.setSize(size()));
    watch.observe(host);
    return () => {
      watch.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [shape, scheme.value]);

  useSignalEffect(() => {
    const next = latest.current.data();
    const made = plot.current;
    if (made !== null && next.length === made.series.length) made.setData(next);
  });

  return <div ref={box} class={`plot ${extra ?? ""}`} role="img" aria-label={label} />;
}

/** Index of the newest time at or before `time`. */
export function indexAt(times: readonly number[], time: number): number {
  let low = 0;
  let high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((times[middle] ?? 0) <= time) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
