/** Backtests: a rule over stored events, with progress while it runs. */

import { LineCutter } from "../lib/lines";
import { ApiError, refusal } from "./client";
import { accessTokenOrEnd } from "./session";
import { question, type Tried } from "./tried";

export interface Firing {
  at: string;
  labels: Record<string, string>;
  value: number;
  state: string;
  window_start: string;
  window_end: string;
  resolved_at: string | null;
}

export interface BacktestReport {
  data: Firing[];
  notifications: number;
  endings: number;
  fired: number;
  from: string;
  to: string;
  scanned: { chunks: number; events: number; bytes: number };
  skipped: number;
  notes: string[];
  took_ms: number;
}

export interface BacktestProgress {
  progress: number;
  until: string;
  events: number;
}

/** Runs a rule over the events since `from`. */
export async function backtest(of: Tried, from: Date, signal: AbortSignal, onProgress: (progress: BacktestProgress) => void): Promise<BacktestReport> {
  const token = await accessTokenOrEnd();
  const { path, body } = question(of, from);
  const response = await fetch(path, {
    method: "POST",
    headers: { accept: "application/x-ndjson", "content-type": "application/json", authorization: `Bearer ${token}` },
    body: JSON.stringify(body),
    signal,
    cache: "no-store",
  });
  if (!response.ok || response.body === null) {
    throw refusal(response, await response.json().catch(() => null));
  }
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const cutter = new LineCutter();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new ApiError(0, "The answer ended without a result.");
    for (const text of cutter.push(value)) {
      const line = JSON.parse(text) as { type: string; message?: string; status?: number };
      if (line.type === "result") return line as unknown as BacktestReport;
      if (line.type === "error") throw new ApiError(line.status ?? 500, line.message ?? "The backtest failed.");
      onProgress(line as unknown as BacktestProgress);
    }
  }
}
