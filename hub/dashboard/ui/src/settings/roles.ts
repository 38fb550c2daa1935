/** What each role may do, in words. */

import type { Role } from "../api/types";

export const ROLES: Role[] = ["viewer", "editor", "admin", "ingest"];

export const MAY: Record<Role, string> = {
  viewer: "sees everything but users and tokens",
  editor: "also changes rules and channels, handles alerts, sends events",
  admin: "also changes users, tokens and agents",
  ingest: "only sends events",
};
