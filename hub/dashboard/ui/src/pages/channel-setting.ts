/** Settings of a channel as its form holds them. Pure. */

/** A setting as typed: JSON where it is a number, a truth value, a list or an object, else text. */
export function setting(text: string): unknown {
  if (!/^(-?\d|true$|false$|[[{])/.test(text.trim())) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
