/** What the routing page has fetched. */

import { escalations, maintenance, oncall, routing, schedules } from "../api/routing";
import { resource } from "../lib/resource";

export const tree = resource(routing);
export const now = resource(oncall);
export const rosters = resource(schedules.list);
export const policies = resource(escalations.list);
export const windows = resource(maintenance.list);

export async function know(): Promise<void> {
  await Promise.all([tree, now, rosters, policies, windows].map(({ reload }) => reload()));
}
