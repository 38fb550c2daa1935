/** What the version in the shadow says and costs, beside the one that runs. */

import { useEffect, useState } from "preact/hooks";
import { type Cost, type Shadow, shadow, type Verdict } from "../api/plugins";
import { bytes, clockMs, dateTime, whole } from "../lib/format";
import { again } from "../lib/looking";
import { Failure, Loading } from "../parts/states";
import { nanos } from "./view";

const LOOK_MS = 2_000;

export function ShadowView({ name }: { name: string }) {
  const [found, setFound] = useState<Shadow | null>(null);
  const [failure, setFailure] = useState<unknown>(null);
  useEffect(() => {
    const give = (answer: Shadow): void => {
      setFound(answer);
      setFailure(null);
    };
    return again(LOOK_MS, () => shadow(name), give, setFailure);
  }, [name]);
  return (
    <section class="shadow-view" aria-label="Shadow" data-testid="shadow">
      {found === null ? failure === null ? <Loading rows={2} /> : <Failure error={failure} retry={() => setFailure(null)} /> : <Compared found={found} />}
    </section>
  );
}

const STATES = { waiting: "It has not been shown an event yet.", running: "Both are shown the same events.", stopped: "It follows no more." } as const;

function Compared({ found }: { found: Shadow }) {
  const { verdicts, active, shadow: other } = found;
  const differ = verdicts.changed + verdicts.only_active + verdicts.only_shadow;
  const row = (name: string, of: (cost: Cost) => string) => (
    <tr>
      <th scope="row">{name}</th>
      <td class="num">{of(active)}</td>
      <td class="num">{of(other)}</td>
    </tr>
  );
  return (
    <>
      <p class={found.state === "stopped" ? "text-warning" : ""}>
        {STATES[found.state]} {found.reason}
      </p>
      <p class="faint">
        Compared since {dateTime(found.since)}: {whole(found.events)} events in {whole(found.calls)} calls
        {found.passed_over_calls > 0 && `, ${whole(found.passed_over_calls)} calls passed over`}
        {found.rules.length > 0 && `, of ${found.rules.length === 1 ? "rule" : "rules"} ${found.rules.join(", ")}`}.
      </p>
      <p data-testid="verdicts">
        <b class={differ > 0 ? "text-warning" : ""}>{differ === 0 ? "No difference" : `${whole(differ)} ${differ === 1 ? "difference" : "differences"}`}</b>: {whole(verdicts.same)} said alike, {whole(verdicts.changed)} in other
        words or numbers, {whole(verdicts.only_active)} only by {found.active_version}, {whole(verdicts.only_shadow)} only by {found.version}.
      </p>
      <div class="table-box" tabIndex={0}>
        <table class="table compact">
          <thead>
            <tr>
              <th>
                <span class="sr-only">Figure</span>
              </th>
              <th class="num">{found.active_version} runs</th>
              <th class="num">{found.version} in the shadow</th>
            </tr>
          </thead>
          <tbody>
            {row("computing an event", (cost) => nanos(cost.cpu_ns_per_event))}
            {row("memory", (cost) => bytes(cost.memory_bytes))}
            {row("failed answers", (cost) => whole(cost.errors))}
            {row("ended by the sandbox", (cost) => whole(cost.traps))}
          </tbody>
        </table>
      </div>
      {found.examples.length > 0 && (
        <details class="unfold">
          <summary>The first {found.examples.length === 1 ? "difference" : `${found.examples.length} differences`}</summary>
          <ol class="differences">
            {found.examples.map((each, i) => (
              <li key={i}>
                <p class="faint">
                  {clockMs(each.at)} · {each.rule}
                </p>
                <Said version={found.active_version} verdict={each.active} />
                <Said version={found.version} verdict={each.shadow} />
              </li>
            ))}
          </ol>
        </details>
      )}
    </>
  );
}

function Said({ version, verdict }: { version: string; verdict: Verdict | null }) {
  return (
    <p>
      <span class="badge">{version}</span>{" "}
      {verdict === null ? (
        <span class="faint">said nothing</span>
      ) : (
        <>
          {verdict.resolved ? "over" : "fires"} <code>{verdict.key}</code> {verdict.title}
          {verdict.value !== null && ` (${verdict.value})`}
          {verdict.level !== null && `, ${verdict.level}`}
        </>
      )}
    </p>
  );
}
