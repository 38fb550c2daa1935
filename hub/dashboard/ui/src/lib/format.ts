/** Numbers, times and people as people read them. All pure. */

const SI = ["", "k", "M", "G", "T"];
const IEC = ["B", "KiB", "MiB", "GiB", "TiB"];

function digits(value: number): string {
  const size = Math.abs(value);
  return value.toFixed(size >= 100 || Number.isInteger(value) ? 0 : size >= 10 ? 1 : 2);
}

/** Who did it. A command on the hub's machine signs in with a token that it makes for a minute. */
export function doer(by: string): string {
  return by.startsWith("token:command-line-") ? "the command line" : by;
}

/** 1234 → `1.23k`. */
export function count(value: number): string {
  if (!Number.isFinite(value)) return "–";
  let scaled = value;
  let unit = 0;
  while (Math.abs(scaled) >= 999.5 && unit < SI.length - 1) {
    scaled /= 1000;
    unit += 1;
  }
  return digits(scaled) + SI[unit];
}

/** 1234 → `1,234`. */
export function whole(value: number): string {
  return Number.isFinite(value) ? Math.round(value).toLocaleString("en-US") : "–";
}

export function bytes(value: number): string {
  if (!Number.isFinite(value)) return "–";
  let scaled = value;
  let unit = 0;
  while (Math.abs(scaled) >= 1000 && unit < IEC.length - 1) {
    scaled /= 1024;
    unit += 1;
  }
  return `${scaled.toFixed(unit === 0 || scaled >= 100 || Number.isInteger(scaled) ? 0 : 1)} ${IEC[unit]}`;
}

export function bytesPerSecond(value: number): string {
  return `${bytes(value)}/s`;
}

export function percent(value: number): string {
  return Number.isFinite(value) ? `${value.toFixed(value >= 99.95 ? 0 : 1)} %` : "–";
}

export function load(value: number): string {
  return Number.isFinite(value) ? value.toFixed(2) : "–";
}

/** A length of time: `40 ms`, `3.2 s`, `4 min`, `2 h`, `5 d`. */
export function span(ms: number): string {
  if (!Number.isFinite(ms)) return "–";
  const size = Math.max(0, ms);
  if (size < 1000) return `${Math.round(size)} ms`;
  if (size < 60_000) return `${(size / 1000).toFixed(size < 10_000 ? 1 : 0)} s`;
  if (size < 3_600_000) return `${Math.floor(size / 60_000)} min`;
  if (size < 172_800_000) return `${Math.floor(size / 3_600_000)} h`;
  return `${Math.floor(size / 86_400_000)} d`;
}

/** How long ago: `just now`, `12 s ago`, `4 min ago`. */
export function ago(then: number | string | null, now: number): string {
  if (then === null) return "never";
  const at = typeof then === "number" ? then : Date.parse(then);
  if (Number.isNaN(at)) return "–";
  const age = now - at;
  return age < 2000 ? "just now" : `${span(Math.floor(age / 1000) * 1000)} ago`;
}

const pad = (value: number, width = 2): string => String(value).padStart(width, "0");

/** Local `14:03:22`. */
export function clock(at: number | string): string {
  const date = new Date(at);
  return Number.isNaN(date.getTime()) ? "–" : `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
}

/** Local `14:03:22.123`. */
export function clockMs(at: number | string): string {
  const date = new Date(at);
  return Number.isNaN(date.getTime()) ? "–" : `${clock(at)}.${pad(date.getMilliseconds(), 3)}`;
}

/** Local `2026-01-02 14:03:22`. */
export function dateTime(at: number | string): string {
  const date = new Date(at);
  return Number.isNaN(date.getTime()) ? "–" : `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())} ${clock(at)}`;
}

/** A metric's or rule's value of unknown unit. */
export function value(number: number): string {
  if (!Number.isFinite(number)) return "–";
  return Math.abs(number) >= 10_000 ? count(number) : String(Math.round(number * 100) / 100);
}

/** One line that tells what an event says: its message where it has one, else its data as `key=value`. */
export function summary(data: Record<string, unknown> | undefined): string {
  if (data === undefined) return "";
  const metric = data["name"];
  if (typeof metric === "string" && typeof data["value"] === "number") {
    const labels = data["labels"];
    const where = typeof labels === "object" && labels !== null ? Object.values(labels).join(" ") : "";
    const unit = typeof data["unit"] === "string" ? ` ${data["unit"]}` : "";
    return `${metric} ${value(data["value"])}${unit}${where === "" ? "" : ` · ${where}`}`;
  }
  for (const key of ["message", "msg", "line", "error", "text"]) {
    const text = data[key];
    if (typeof text === "string" && text !== "") return text;
  }
  return Object.entries(data)
    .map(([key, part]) => `${key}=${typeof part === "string" ? part : JSON.stringify(part)}`)
    .join(" ");
}
