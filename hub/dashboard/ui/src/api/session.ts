/**
 * Who is signed in.
 *
 * The access token lives in memory only. The refresh token lives in `localStorage`, so that a reload or a second tab need no password. Each is
 * good for one use, the hub ends a sign-in whose used token comes again, and its policy lets no foreign script run that could read it here.
 */

import { signal } from "@preact/signals";
import { ApiError, call, send, useTokens } from "./client";
import type { Me, Tokens } from "./types";

const KEY = "streamflow.refresh";
const RENEW_BEFORE_MS = 30_000;
const ENDED = "Your session has ended. Please sign in again.";

export type SessionState =
  | { phase: "starting"; unreachable: boolean }
  | { phase: "anonymous"; notice: string | null }
  | { phase: "signed-in"; me: Me };

export const session = signal<SessionState>({ phase: "starting", unreachable: false });

let access: { token: string; expiresAt: number } | null = null;
let renewing: Promise<void> | null = null;

useTokens({ token: accessToken, refused });

// Signing out in one tab signs out in all.
addEventListener("storage", (event) => {
  if (event.key === KEY && event.newValue === null && session.peek().phase === "signed-in") end(null);
});

/** Whether the signed-in user may change rules, channels and alerts. */
export function mayEdit(): boolean {
  const state = session.value;
  return state.phase === "signed-in" && (state.me.role === "editor" || state.me.role === "admin");
}

export function isAdmin(): boolean {
  const state = session.value;
  return state.phase === "signed-in" && state.me.role === "admin";
}

/** Resumes the session of this tab, if there is one; waits for the hub when it cannot be reached. */
export async function resume(): Promise<void> {
  while (stored() !== null) {
    try {
      await renew();
      session.value = { phase: "signed-in", me: await whoAmI() };
      return;
    } catch (error) {
      if (!(error instanceof ApiError) || (!error.unreachable && error.status < 500)) break;
      session.value = { phase: "starting", unreachable: true };
      await new Promise((wake) => setTimeout(wake, 1_500));
    }
  }
  end(null);
}

export async function signIn(username: string, password: string): Promise<void> {
  keep(await send<Tokens>("POST", "/auth/login", { username, password }));
  session.value = { phase: "signed-in", me: await whoAmI() };
}

export async function signOut(): Promise<void> {
  try {
    const token = await accessToken();
    const refresh_token = stored();
    end(null);
    if (refresh_token !== null) await send("POST", "/auth/logout", { refresh_token }, token);
  } catch {
    // This browser has forgotten the sign-in either way; a hub that cannot be reached lets it expire.
    end(null);
  }
}

/** A token that is valid for some time yet. */
export async function accessToken(): Promise<string | null> {
  if (access === null && stored() === null) return null;
  if (access === null || access.expiresAt - Date.now() < RENEW_BEFORE_MS) await renew();
  return access?.token ?? null;
}

async function refused(): Promise<boolean> {
  access = null;
  try {
    await renew();
    return true;
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) end(ENDED);
    return false;
  }
}

/** Ends the session when the hub no longer accepts it; other failures are the caller's to retry. */
export async function accessTokenOrEnd(): Promise<string> {
  try {
    const token = await accessToken();
    if (token !== null) return token;
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) end(ENDED);
    throw error;
  }
  throw new ApiError(401, "Not signed in.");
}

function renew(): Promise<void> {
  renewing ??= alone(async () => {
    const refresh_token = stored();
    if (refresh_token === null) throw new ApiError(401, "Not signed in.");
    keep(await send<Tokens>("POST", "/auth/refresh", { refresh_token }));
  }).finally(() => {
    renewing = null;
  });
  return renewing;
}

/** One tab at a time: two that used the same token would look like a theft. Browsers offer locks on HTTPS and loopback only. */
async function alone(work: () => Promise<void>): Promise<void> {
  await (navigator.locks === undefined ? work() : navigator.locks.request(KEY, work));
}

async function whoAmI(): Promise<Me> {
  const answer = await call<{ data: Me }>("GET", "/api/v1/me");
  return answer.data;
}

function keep(tokens: Tokens): void {
  access = { token: tokens.access_token, expiresAt: Date.now() + tokens.expires_in * 1000 };
  localStorage.setItem(KEY, tokens.refresh_token);
}

function stored(): string | null {
  return localStorage.getItem(KEY);
}

function end(notice: string | null): void {
  access = null;
  localStorage.removeItem(KEY);
  session.value = { phase: "anonymous", notice };
}
