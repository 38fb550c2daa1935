/** JSON as people edit it: its value, and where in the text each part of it stands. Pure. */

export interface JsonMistake {
  reason: string;
  /** Where, counted from 0. */
  offset: number;
}

export interface JsonText {
  value: unknown;
  /** Where the value of a path such as `people[0].channels[1]` begins. */
  places: Map<string, number>;
}

/** Reads JSON; what cannot be read is a `JsonMistake`. */
export function readJson(text: string): JsonText | JsonMistake {
  const reader = new Reader(text);
  try {
    const value = reader.whole();
    return { value, places: reader.places };
  } catch (error) {
    if (error instanceof Mistake) return { reason: error.message, offset: error.offset };
    throw error;
  }
}

export function isMistake(read: JsonText | JsonMistake): read is JsonMistake {
  return "reason" in read;
}

/** Where a path stands, or the nearest part above it that does. */
export function placeOf(places: ReadonlyMap<string, number>, path: string): number {
  for (let at = path; at !== ""; at = parent(at)) {
    const found = places.get(at);
    if (found !== undefined) return found;
  }
  return places.get("") ?? 0;
}

/** Line and column of an offset, both from 1. */
export function lineOf(text: string, offset: number): { line: number; column: number } {
  const before = text.slice(0, offset);
  return { line: before.split("\n").length, column: offset - before.lastIndexOf("\n") };
}

function parent(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("."), path.lastIndexOf("[")));
}

class Mistake extends Error {
  constructor(
    message: string,
    readonly offset: number,
  ) {
    super(message);
  }
}

const SPACE = /[ \t\r\n]*/y;
const STRING = /"(?:[^"\\\u0000-\u001f]|\\.)*"/y;
const PLAIN = /-?\d[\d.eE+-]*|true|false|null/y;
/** Deeper than any document of the hub. */
const MOST_DEEP = 200;

class Reader {
  readonly places = new Map<string, number>();
  private at = 0;

  constructor(private readonly text: string) {}

  whole(): unknown {
    const value = this.value("", 0);
    if (this.at < this.text.length) throw new Mistake("something follows the end", this.at);
    return value;
  }

  private value(path: string, depth: number): unknown {
    this.take(SPACE);
    this.places.set(path, this.at);
    if (depth > MOST_DEEP) throw new Mistake("too deep", this.at);
    const begin = this.text[this.at];
    const value = begin === "{" ? this.object(path, depth) : begin === "[" ? this.list(path, depth) : this.scalar();
    this.take(SPACE);
    return value;
  }

  private object(path: string, depth: number): unknown {
    const entries: [string, unknown][] = [];
    const seen = new Set<string>();
    this.items("}", () => {
      this.take(SPACE);
      const begin = this.at;
      const key = this.take(STRING);
      if (key === "") throw new Mistake('a name in "quotes" is missing', begin);
      const name = parsed(key, begin) as string;
      if (seen.has(name)) throw new Mistake(`"${name}" stands here twice`, begin);
      seen.add(name);
      this.take(SPACE);
      this.expect(":");
      entries.push([name, this.value(path === "" ? name : `${path}.${name}`, depth + 1)]);
    });
    return Object.fromEntries(entries);
  }

  private list(path: string, depth: number): unknown {
    const list: unknown[] = [];
    this.items("]", () => list.push(this.value(`${path}[${list.length}]`, depth + 1)));
    return list;
  }

  private items(end: string, item: () => void): void {
    this.at += 1;
    this.take(SPACE);
    if (this.text[this.at] === end) {
      this.at += 1;
      return;
    }
    for (;;) {
      item();
      this.take(SPACE);
      if (this.text[this.at] === end) {
        this.at += 1;
        return;
      }
      const comma = this.at;
      this.expect(",", ` or ${end}`);
      this.take(SPACE);
      if (this.text[this.at] === end) throw new Mistake("a comma too many", comma);
    }
  }

  private scalar(): unknown {
    const begin = this.at;
    const text = this.take(STRING) || this.take(PLAIN);
    if (text === "") throw new Mistake(this.text[begin] === '"' ? "a text does not end" : "a value is missing", begin);
    return parsed(text, begin);
  }

  private expect(wanted: string, or = ""): void {
    if (this.text[this.at] !== wanted) throw new Mistake(`${wanted}${or} is missing`, this.at);
    this.at += 1;
  }

  private take(what: RegExp): string {
    what.lastIndex = this.at;
    const found = what.exec(this.text)?.[0] ?? "";
    this.at += found.length;
    return found;
  }
}

function parsed(text: string, offset: number): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Mistake(`${text} cannot be read`, offset);
  }
}
