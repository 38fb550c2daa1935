/** Routing, on-call schedules and maintenance windows in words. Pure. */

import type { Escalation, Hours, Inhibition, Oncall, Route, Routing, Schedule } from "../api/routing";
import type { Matcher } from "../api/silences";
import { dateTime, span } from "../lib/format";

const matchersText = (matchers: readonly Matcher[]): string => matchers.map(({ name, op, value }) => `${name} ${op} ${value}`).join(", ");

/** Which alerts a node takes. */
export function takes({ matchers, level }: Route, root: boolean): string {
  const from = level === null ? "" : `${level} and worse`;
  const what = matchersText(matchers);
  if (what === "" && from === "") return root ? "every alert" : "everything else";
  return [what, from].filter((part) => part !== "").join(", ");
}

/** What a node says of its own; empty when it takes all from above. */
export function says({ channels, escalation, group_by, group_wait, group_interval, repeat_interval, continue: goesOn }: Route): string[] {
  return [
    ...(channels === null ? [] : [channels.length === 0 ? "tells nobody" : `tells ${channels.join(", ")}`]),
    ...(escalation === null ? [] : [`escalates by ${escalation}`]),
    ...(group_by === null ? [] : [group_by.length === 0 ? "one group of all" : group_by.includes("...") ? "no groups" : `groups by ${group_by.join(", ")}`]),
    ...(group_wait === null ? [] : [`waits ${group_wait}`]),
    ...(group_interval === null ? [] : [`news every ${group_interval}`]),
    ...(repeat_interval === null ? [] : [`again every ${repeat_interval}`]),
    ...(goesOn ? ["and goes on to the next"] : []),
  ];
}

/** What is edited of a routing: what the hub writes itself is left out, but for the version, by which two who edit at once are told. */
export function editableRouting({ route, inhibit, version }: Routing): unknown {
  return { version, route: bare(route), inhibit };
}

/** Without what a node does not say. */
function bare(route: Route): unknown {
  const { routes, matchers, continue: goesOn, ...rest } = route;
  return {
    ...(matchers.length > 0 ? { matchers } : {}),
    ...Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== null)),
    ...(goesOn ? { continue: true } : {}),
    ...(routes.length > 0 ? { routes: routes.map(bare) } : {}),
  };
}

export function inhibitionText({ source, target, equal }: Inhibition): string {
  const same = equal.length === 0 ? "" : ` with the same ${equal.join(", ")}`;
  return `While ${matchersText(source)} fires, nobody is told of ${matchersText(target)}${same}.`;
}

export function stepsText({ steps, repeat, resume_after }: Escalation): string {
  const words = steps.map(({ after, channels }, i) => `${i === 0 ? "after" : "then after"} ${after} ${channels.join(", ")}`);
  const times = repeat === 0 ? "" : `, all of it ${repeat === 1 ? "once" : `${repeat} times`} more`;
  const lapses = resume_after === null ? "" : `; an acknowledgement lapses after ${resume_after}`;
  return `${words.join(", ")}${times}${lapses}`;
}

export function nowText({ person, why, until }: Oncall, now: number): string {
  const who = person ?? "everybody";
  const end = until === null ? "" : `, ${span(Date.parse(until) - now)} more, until ${dateTime(until)}`;
  return `${who}${end}${why === "" ? "" : ` (${why})`}`;
}

export function rotationText({ people, every_days, hand_over, hours }: Schedule["rotations"][number]): string {
  const turn = every_days === 7 ? "a week" : every_days === 1 ? "a day" : `${every_days} days`;
  return `${people.join(", ")}: ${turn} each, handed over at ${hand_over.slice(0, 5)}${hours === null ? "" : `, ${hoursText(hours)}`}`;
}

const DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

export function hoursText({ spans, time_zone, except }: Hours): string {
  const words = spans.map(({ days, days_of_month, months, from, to }) => {
    const on = [daysText(days), days_of_month.length === 0 ? "" : `on day ${days_of_month.join(", ")} of the month`, months.length === 0 ? "" : `in month ${months.join(", ")}`];
    return [...on.filter((part) => part !== ""), `${from.slice(0, 5)} to ${to.slice(0, 5)}`].join(" ");
  });
  return `${words.join(" and ")} (${time_zone}${except.length === 0 ? "" : `, not on ${except.join(", ")}`})`;
}

function daysText(days: readonly string[]): string {
  if (days.length === 0 || days.length === 7) return "every day";
  const short = (day: string): string => day.slice(0, 1).toUpperCase() + day.slice(1);
  const places = days.map((day) => DAYS.indexOf(day)).sort((a, b) => a - b);
  const first = places[0] ?? 0;
  const last = places.at(-1) ?? 0;
  if (places.length > 2 && last - first === places.length - 1) return `${short(DAYS[first] ?? "")}–${short(DAYS[last] ?? "")}`;
  return days.map(short).join(", ");
}

/** `source=web-1 team="a b"` → labels; null when it is none. */
export function labelsOf(text: string): Record<string, string> | null {
  const labels: Record<string, string> = {};
  const rest = text.replace(/([A-Za-z_][\w.:-]*)=(?:"([^"]*)"|([^\s,"]*))[\s,]*/g, (_, name: string, quoted: string | undefined, plain: string | undefined) => {
    labels[name] = quoted ?? plain ?? "";
    return "";
  });
  return rest.trim() === "" ? labels : null;
}
