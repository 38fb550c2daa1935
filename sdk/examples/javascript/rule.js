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
    counts = new Map(state ? JSON.parse(decode(state)) : []);
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

  // QuickJS has no TextEncoder: JSON with everything escaped that is not ASCII is one byte a character.
  save() {
    const text = JSON.stringify([...counts]).replace(/[^\x00-\x7f]/g, (c) => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0'));
    return Uint8Array.from(text, (c) => c.charCodeAt(0));
  },
};

// In parts: a function takes no more than 65,535 arguments.
function decode(bytes) {
  let text = '';
  for (let at = 0; at < bytes.length; at += 1024) text += String.fromCharCode(...bytes.slice(at, at + 1024));
  return text;
}

function alert(key, row) {
  return { level: undefined, key, title: 'many', body: '', value: undefined, resolved: false, rows: [row], labels: [] };
}

// The texts of a column, each once; row i has number index[i]. Their ends count bytes of UTF-8, and strings here have none.
function texts({ texts, ends }) {
  let from = 0, to = 0, bytes = 0;
  return Array.from(ends, (end) => {
    for (from = to; bytes < end; ) {
      const c = texts.codePointAt(to);
      bytes += c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
      to += c < 0x10000 ? 1 : 2;
    }
    return texts.slice(from, to);
  });
}
