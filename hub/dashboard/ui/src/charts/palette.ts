/** One colour for one name, as long as the page is open. */

import { OTHER } from "../live/rates";

const SLOTS = 8;
const given = new Map<string, number>();

/** The custom property that holds a series' colour. */
export function slot(name: string): string {
  if (name === OTHER) return "series-other";
  let place = given.get(name);
  if (place === undefined) given.set(name, (place = given.size % SLOTS));
  return `series-${place + 1}`;
}
