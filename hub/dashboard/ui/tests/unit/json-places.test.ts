import { describe, expect, it } from "vitest";
import { isMistake, lineOf, placeOf, readJson } from "../../src/lib/json-places";

const TEXT = `{
  "people": [
    { "name": "Ada \\"A\\" [0]", "channels": ["ops", "phone"] }
  ],
  "every_days": -7.5e1, "hours": null, "on": true, "none": [], "empty": {}
}`;

function places(text: string): Map<string, number> {
  const read = readJson(text);
  if (isMistake(read)) throw new Error(`${read.reason} at ${read.offset}`);
  return read.places;
}

describe("JSON that is edited", () => {
  it("is read as the browser reads it", () => {
    const read = readJson(TEXT);
    expect(isMistake(read)).toBe(false);
    expect(read).toMatchObject({ value: JSON.parse(TEXT) });
  });

  it("says where each part stands", () => {
    const found = places(TEXT);
    expect(TEXT.slice(found.get("people[0].channels[1]"))).toMatch(/^"phone"/);
    expect(TEXT.slice(found.get("every_days"))).toMatch(/^-7.5e1/);
    expect(lineOf(TEXT, found.get("people[0].channels[1]") ?? -1)).toEqual({ line: 3, column: 52 });
    expect(lineOf(TEXT, 0)).toEqual({ line: 1, column: 1 });
  });

  it("finds the nearest part that is there, of a field that is missing", () => {
    const found = places(TEXT);
    expect(TEXT.slice(placeOf(found, "people[0].phone.number"))).toMatch(/^\{ "name"/);
    expect(TEXT.slice(placeOf(found, "people[3].name"))).toMatch(/^\[/);
    expect([placeOf(found, "nothing"), placeOf(found, ".")]).toEqual([0, 0]);
  });

  it("tells a mistake with its place", () => {
    const wrong = (text: string): string => {
      const read = readJson(text);
      return isMistake(read) ? `${lineOf(text, read.offset).line}:${lineOf(text, read.offset).column} ${read.reason}` : "fine";
    };
    expect(wrong('{"a": }')).toBe("1:7 a value is missing");
    expect(wrong('{"a": 1,\n}')).toBe("1:8 a comma too many");
    expect(wrong('{"a": 1\n "b": 2}')).toBe("2:2 , or } is missing");
    expect(wrong('{a: 1}')).toBe('1:2 a name in "quotes" is missing');
    expect(wrong('{"a" 1}')).toBe("1:6 : is missing");
    expect(wrong('["x]')).toBe("1:2 a text does not end");
    expect(wrong("[1] 2")).toBe("1:5 something follows the end");
    expect(wrong("01")).toBe("1:1 01 cannot be read");
    expect(wrong('{"a":1,"a":2}')).toBe('1:8 "a" stands here twice');
    expect(wrong("")).toBe("1:1 a value is missing");
    expect(wrong("[".repeat(500))).toMatch(/too deep/);
  });
});
