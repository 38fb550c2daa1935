/** What each role may do, in words. */

import type { Role } from "../api/types";

export const ROLES: Role[] = ["viewer", "editor", "admin", "ingest"];

export const MAY: Record<Role, string> = {
  viewer: "sees everything but users and tokens",
  editor: "sees the same, changes rules and channels, handles alerts, sends events",
  admin: "does everything, users, tokens and agents too",
  ingest: "only sends events",
};
