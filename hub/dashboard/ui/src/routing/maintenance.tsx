/** Recurring times when nobody is told. */

import { maintenance, type Maintenance } from "../api/routing";
import { dateTime } from "../lib/format";
import { Documents } from "./documents";
import { windows } from "./known";
import { hoursText } from "./view";

const fresh = (): unknown => ({
  name: "",
  comment: "",
  matchers: [{ name: "source", op: "=~", value: "db-.*" }],
  hours: { time_zone: Intl.DateTimeFormat().resolvedOptions().timeZone, spans: [{ days: ["sun"], from: "02:00", to: "04:00" }] },
});

export function MaintenanceWindows() {
  return (
    <Documents<Maintenance>
      title="Maintenance windows"
      lead="Recurring times when nobody is told of alerts that match."
      what="maintenance window"
      hint="Without matchers it means every alert. Times are those of the time zone, also over a change to summer time."
      none="No window. For a single time, make a silence."
      known={windows}
      api={maintenance}
      fresh={fresh}
      testid="maintenance"
      show={({ name, enabled, hours, matchers, starts_at, ends_at, comment }) => (
        <>
          <h3>
            {name} {!enabled && <span class="badge">disabled</span>}
          </h3>
          <p class="wrap">
            {hoursText(hours)}
            {starts_at !== null && `, from ${dateTime(starts_at)}`}
            {ends_at !== null && `, until ${dateTime(ends_at)}`}
          </p>
          <p class="labels">
            {matchers.length === 0 ? (
              <span class="faint">every alert</span>
            ) : (
              matchers.map(({ name: label, op, value }) => (
                <code key={label + op + value} class="label">
                  {label} {op} {value}
                </code>
              ))
            )}
          </p>
          {comment !== "" && <p class="faint wrap">{comment}</p>}
        </>
      )}
    />
  );
}
