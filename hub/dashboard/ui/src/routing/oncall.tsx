/** On-call schedules, and who it is now. */

import { useEffect } from "preact/hooks";
import { schedules, type Schedule } from "../api/routing";
import { dateTime } from "../lib/format";
import { every } from "../lib/looking";
import { at } from "../live/store";
import { Documents } from "./documents";
import { now, rosters } from "./known";
import { nowText, rotationText } from "./view";

const LOOK_MS = 30_000;

const fresh = (): unknown => ({
  name: "",
  time_zone: Intl.DateTimeFormat().resolvedOptions().timeZone,
  people: [{ name: "", channels: [] }],
  rotations: [{ people: [""], starts_on: new Date().toISOString().slice(0, 10), hand_over: "09:00", every_days: 7 }],
  overrides: [],
});

const changed = (): Promise<unknown> => Promise.all([rosters.reload(), now.reload()]);

export function OncallNow() {
  useEffect(() => every(LOOK_MS, now.reload), []);
  return (
    <Documents<Schedule>
      title="On call"
      lead="Who it is now. Routes, rules and policies name a schedule as oncall:NAME."
      what="on-call schedule"
      hint="A later rotation that applies wins over an earlier one, an override wins over all. Somebody who takes over for a time is an entry of overrides: person, from, until."
      none="No schedule: channels are told as rules, routes and policies name them."
      known={rosters}
      api={schedules}
      fresh={fresh}
      changed={changed}
      testid="oncall"
      show={(schedule) => <Roster schedule={schedule} />}
    />
  );
}

function Roster({ schedule: { name, time_zone, people, rotations, overrides } }: { schedule: Schedule }) {
  const current = now.data.value?.find(({ schedule }) => schedule === name);
  const ahead = overrides.filter(({ until }) => Date.parse(until) > at.value);
  return (
    <>
      <h3>
        {name} <span class="faint">{time_zone}</span>
      </h3>
      <p class="wrap oncall-now" data-testid="oncall-now">
        {current === undefined ? (
          <span class="faint">…</span>
        ) : (
          <>
            <b>{nowText(current, at.value)}</b> <span class="faint">told by {current.channels.length === 0 ? "nothing" : current.channels.join(", ")}</span>
          </>
        )}
      </p>
      {rotations.map((rotation, i) => (
        <p key={i} class="faint wrap">
          {rotationText(rotation)}
        </p>
      ))}
      {ahead.map(({ person, from, until }) => (
        <p key={person + from} class="wrap">
          <span class="badge">override</span> {person}, {dateTime(from)} to {dateTime(until)}
        </p>
      ))}
      <p class="labels">
        {people.map((person) => (
          <span key={person.name} class="label">
            <b>{person.name}</b>
            {person.channels.join(", ")}
          </span>
        ))}
      </p>
    </>
  );
}
