/** Events per second by type over the last minutes, one row a step. Pure: time comes in with the data. */

import type { Point } from "../api/types";

export const OTHER = "other";

export interface RateView {
  /** Unix seconds, one per step, oldest first. */
  times: number[];
  /** Largest types first, then `other`; `null` where nothing is known. */
  series: { name: string; values: (number | null)[]; latest: number; total: number }[];
  /** How many types there are, those of `other` counted too. */
  types: number;
}

export class RateWindow {
  /** Step number → counts. A step that is not here is unknown, one without a type has none of it. */
  private rows = new Map<number, Map<string, number>>();
  /** Order in which types are shown; changes seldom, so that colours and places do not jump. */
  private order: string[] = [];
  private rankedAt = Number.NEGATIVE_INFINITY;
  private last = 0;
  private stepMs = 1000;

  constructor(readonly steps = 300) {}

  /** Replaces everything by what the hub remembers: this also fills gaps of a lost connection. */
  load(types: { type: string; points: Point[] }[], at: number, stepMs: number): void {
    this.stepMs = stepMs > 0 ? stepMs : 1000;
    this.rows.clear();
    this.order = [];
    this.rankedAt = Number.NEGATIVE_INFINITY;
    const newest = this.stepOf(at) - 1;
    let oldest = newest + 1;
    for (const { points } of types) for (const [time] of points) oldest = Math.min(oldest, this.stepOf(time));
    for (let step = Math.max(oldest, newest - this.steps + 1); step <= newest; step += 1) this.rows.set(step, new Map());
    for (const { type, points } of types) {
      for (const [time, number] of points) this.rows.get(this.stepOf(time))?.set(type, number ?? 0);
    }
    this.last = newest;
  }

  push(step: number, counts: Record<string, number>): void {
    const index = this.stepOf(step);
    // One or two steps that no tick reported are a late timer, not a gap.
    const missed = index - this.last - 1;
    if (missed > 0 && missed <= 2) for (let i = 1; i <= missed; i += 1) this.rows.set(this.last + i, this.rows.get(this.last) ?? new Map());
    this.rows.set(index, new Map(Object.entries(counts)));
    this.last = Math.max(this.last, index);
    for (const known of this.rows.keys()) if (known <= this.last - this.steps) this.rows.delete(known);
  }

  /** The window as columns: the `top` busiest types, and the others summed. */
  view(top: number): RateView {
    const first = this.last - this.steps + 1;
    const perSecond = this.stepMs / 1000;
    const totals = new Map<string, number>();
    for (const row of this.rows.values()) for (const [type, number] of row) totals.set(type, (totals.get(type) ?? 0) + number);
    const ranked = this.rank(totals);
    // "other" in place of a single type would save nothing.
    const named = ranked.slice(0, ranked.length <= top + 1 ? ranked.length : top);
    const rest = totals.size > named.length;
    const times: number[] = [];
    const columns = [...named, ...(rest ? [OTHER] : [])].map((name) => ({ name, values: [] as (number | null)[], latest: 0, total: 0 }));
    for (let step = first; step <= this.last; step += 1) {
      times.push((step * this.stepMs) / 1000);
      const row = this.rows.get(step);
      let left = 0;
      if (row !== undefined && rest) for (const number of row.values()) left += number;
      for (const column of columns) {
        if (row === undefined) {
          column.values.push(null);
          continue;
        }
        const number = column.name === OTHER && rest ? left : (row.get(column.name) ?? 0);
        if (rest && column.name !== OTHER) left -= number;
        column.values.push(number / perSecond);
        column.latest = number / perSecond;
        column.total += number;
      }
    }
    return { times, series: columns, types: totals.size };
  }

  /** Types by volume; ranked anew every 30 s, new ones wait at the end until then. */
  private rank(totals: Map<string, number>): string[] {
    if (this.last - this.rankedAt >= 30_000 / this.stepMs) {
      this.order = [...totals.keys()].sort((a, b) => (totals.get(b) ?? 0) - (totals.get(a) ?? 0) || a.localeCompare(b));
      this.rankedAt = this.last;
    } else {
      for (const type of totals.keys()) if (!this.order.includes(type)) this.order.push(type);
    }
    return this.order.filter((type) => totals.has(type));
  }

  private stepOf(time: number): number {
    return Math.floor(time / this.stepMs);
  }
}
