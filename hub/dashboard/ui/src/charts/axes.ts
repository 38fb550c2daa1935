/** Axes, grid and fonts that all charts share. */

import type uPlot from "uplot";
import { clock } from "../lib/format";
import { colour } from "../lib/theme";

export const FONT = "11px Inter, ui-sans-serif, system-ui, sans-serif";

/** What every axis looks like, and what is its own. */
function axis(own: uPlot.Axis): uPlot.Axis {
  return { stroke: colour("chart-text"), font: FONT, grid: { stroke: colour("chart-grid"), width: 1 }, ticks: { show: false }, ...own };
}

/** Five minutes of time: `14:03` at whole minutes. */
const MINUTES: uPlot.Axis = {
  space: 70,
  incrs: [15, 30, 60, 120],
  values: (_, splits) => splits.map((at) => (at % 60 === 0 ? clock(at * 1000).slice(0, 5) : clock(at * 1000).slice(3))),
};

/** Time axis. */
export function timeAxis(marks: uPlot.Axis = MINUTES): uPlot.Axis {
  return axis({ size: 24, gap: 6, ...marks });
}

export function valueAxis(format: (value: number) => string, size = 52): uPlot.Axis {
  return axis({ size, gap: 8, space: 36, values: (_, splits) => splits.map((value) => format(value)) });
}

/** A scale from nothing to a little above the largest value, at least `floor`. */
export function fromZero(floor: number): uPlot.Scale {
  return { range: (_, _low, high) => [0, Math.max(floor, (high ?? 0) * 1.12)] };
}

/** The same colour with another opacity, for areas. */
export function faded(hex: string, alpha: number): string {
  const number = Number.parseInt(hex.slice(1), 16);
  return `rgba(${(number >> 16) & 255}, ${(number >> 8) & 255}, ${number & 255}, ${alpha})`;
}
