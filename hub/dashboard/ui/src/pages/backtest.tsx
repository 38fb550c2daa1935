/** A rule over the past: when would it have fired? */

import { useEffect, useRef, useState } from "preact/hooks";
import { backtest, type BacktestProgress, type BacktestReport } from "../api/backtest";
import type { Tried } from "../api/tried";
import { dateTime, span, value, whole } from "../lib/format";
import { Dialog } from "../parts/dialog";
import { Empty, Failure } from "../parts/states";

const HOUR = 3_600_000;
const RANGES: [name: string, ms: number][] = [
  ["Last hour", HOUR],
  ["Last day", 24 * HOUR],
  ["Last 7 days", 168 * HOUR],
  ["Last 30 days", 720 * HOUR],
];
/** Rows that a table shows; the rest is counted. */
const SHOWN = 200;

export function Backtest({ name, of, close }: { name: string; of: Tried; close: () => void }) {
  const [range, setRange] = useState(24 * HOUR);
  const [progress, setProgress] = useState<BacktestProgress | null>(null);
  const [report, setReport] = useState<BacktestReport | null>(null);
  const [failure, setFailure] = useState<unknown>(null);
  const running = useRef<AbortController | null>(null);

  const run = async (): Promise<void> => {
    running.current?.abort();
    const own = new AbortController();
    running.current = own;
    setReport(null);
    setFailure(null);
    setProgress({ progress: 0, until: "", events: 0 });
    try {
      setReport(await backtest(of, new Date(Date.now() - range), own.signal, setProgress));
    } catch (error) {
      if (!own.signal.aborted) setFailure(error);
    }
    if (running.current === own) setProgress(null);
  };
  // The hub ends its work when the dialog closes.
  useEffect(() => () => running.current?.abort(), []);

  return (
    <Dialog title={name === "" ? "Backtest" : `Backtest: ${name}`} close={close} wide>
      <form
        class="backtest-form"
        onSubmit={(event) => {
          event.preventDefault();
          void run();
        }}
      >
        <label>
          <span class="sr-only">Range</span>
          <select value={String(range)} onChange={(event) => setRange(Number(event.currentTarget.value))}>
            {RANGES.map(([name, ms]) => (
              <option key={ms} value={String(ms)}>
                {name}
              </option>
            ))}
          </select>
        </label>
        <button type="submit" class="primary" disabled={progress !== null}>
          Run
        </button>
        {progress !== null && (
          <span class="backtest-progress" role="status">
            <progress max={1} value={progress.progress} aria-label="Progress" />
            {whole(progress.events)} events
          </span>
        )}
      </form>
      {failure !== null && <Failure error={failure} retry={() => void run()} />}
      {report !== null && <Result report={report} />}
      {report === null && failure === null && progress === null && <p class="dialog-lead">Runs the rule over stored events and tells nobody.</p>}
    </Dialog>
  );
}

function Result({ report }: { report: BacktestReport }) {
  return (
    <div class="backtest-result">
      <p class="dialog-lead" role="status">
        Would have fired <b>{whole(report.fired)}</b> {report.fired === 1 ? "time" : "times"}, with <b>{whole(report.notifications)}</b>{" "}
        {report.notifications === 1 ? "notification" : "notifications"}. {whole(report.scanned.events)} events read in {span(report.took_ms)}.
      </p>
      {report.notes.map((note) => (
        <p key={note} class="field-note">
          {note}
        </p>
      ))}
      {report.data.length === 0 ? (
        <Empty icon="check" title="It would not have fired" />
      ) : (
        <div class="table-box" tabIndex={0}>
          <table class="table">
            <thead>
              <tr>
                <th>At</th>
                <th>Group</th>
                <th class="num">Value</th>
                <th>Over</th>
              </tr>
            </thead>
            <tbody>
              {report.data.slice(0, SHOWN).map((firing) => {
                const group = Object.entries(firing.labels)
                  .map(([name, label]) => `${name}=${label}`)
                  .join(", ");
                return (
                  <tr key={`${firing.at} ${group}`}>
                    <td>{dateTime(firing.at)}</td>
                    <td>{group === "" ? <span class="faint">all</span> : group}</td>
                    <td class="num">{value(firing.value)}</td>
                    <td>{firing.resolved_at === null ? "still firing" : dateTime(firing.resolved_at)}</td>
                  </tr>
                );
              })}
            </tbody>
          </table>
        </div>
      )}
      {report.fired > SHOWN && <p class="faint">The first {SHOWN} are shown.</p>}
    </div>
  );
}
