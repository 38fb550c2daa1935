// Counts, for each source, the events whose number is above a threshold, and raises an alert when there are many.
import { write } from 'streamflow:plugin/log@0.1.0';

// Most sources that are remembered: what `save` answers must fit into 1 MiB.
const MAX_SOURCES = 2000;

let config;
let counts = new Map();

export const rule = {
  // The hub has checked the configuration against the schema of plugin.toml; the state is what `save` answered last.
  init(text, state) {
    config = JSON.parse(text);
    counts = new Map(state && JSON.parse(decode(state)).map(([name, count]) => [decodeURIComponent(name), count]));
    write('debug', `counting with ${text}`);
  },

  // Columns, not events. What is thrown here is an answer (`failed` in `plugin run`), not a fault.
  onEvents({ count, source, columns }) {
    const { data, present } = columns[0];
    const sources = texts(source);
    const here = sources.map((name) => counts.get(name) ?? 0);
    const alerts = [];
    for (let row = 0; row < count; row++) {
      if (!(data.val[row] > config.threshold)) continue;
      if (present && !((present[row >> 3] >> (row & 7)) & 1)) continue;
      const number = source.index[row];
      if (!here[number]) {
        if (counts.size >= MAX_SOURCES) continue;
        counts.set(sources[number], 0);
      }
      if (++here[number] === config.many) alerts.push(alert(sources[number], row));
    }
    sources.forEach((name, number) => here[number] && counts.set(name, here[number]));
    return alerts;
  },

  onTick() {
    return [];
  },

  // Of names, what is not ASCII is escaped, and `%`: one byte a character then.
  save() {
    const escaped = (name) => name.replace(/[^\x00-\x24\x26-\x7f]+/g, encodeURIComponent);
    return encode(JSON.stringify(Array.from(counts, ([name, count]) => [escaped(name), count])));
  },
};

// QuickJS has no TextEncoder. A loop then, and no `Uint8Array.from`: its iterator costs several calls for each character, and a call has a deadline.
function encode(ascii) {
  if (globalThis.TextEncoder) return new TextEncoder().encode(ascii);
  const bytes = new Uint8Array(ascii.length);
  for (let at = 0; at < bytes.length; at++) bytes[at] = ascii.charCodeAt(at);
  return bytes;
}

// In parts: a function takes no more than 65,535 arguments.
function decode(bytes) {
  let text = '';
  for (let at = 0; at < bytes.length; at += 1024) text += String.fromCharCode.apply(null, bytes.subarray(at, at + 1024));
  return text;
}

function alert(key, row) {
  return { level: undefined, key, title: 'many', body: '', value: undefined, resolved: false, rows: [row], labels: [] };
}

// The texts of a column, each once; row i has number index[i]. Their ends count bytes of UTF-8, and strings here have none.
// Where there are as many characters as bytes, all are ASCII, and none has to be looked at.
function texts({ texts, ends }) {
  const ascii = texts.length === ends[ends.length - 1];
  let from = 0, to = 0, bytes = 0;
  return Array.from(ends, (end) => {
    from = to;
    if (ascii) to = bytes = end;
    while (bytes < end) {
      const c = texts.codePointAt(to);
      bytes += c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
      to += c < 0x10000 ? 1 : 2;
    }
    return texts.slice(from, to);
  });
}
