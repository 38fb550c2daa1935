/** Requests to the hub: adds the access token, and turns every failure into an `ApiError` that can be shown. */

import type { Page } from "./types";

export interface FieldError {
  field: string;
  reason: string;
  line?: number;
  column?: number;
}

export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly correlationId: string | null = null,
    readonly details: unknown = null,
  ) {
    super(message);
    this.name = "ApiError";
  }

  /** The hub could not be reached at all. */
  get unreachable(): boolean {
    return this.status === 0;
  }

  /** What the hub found wrong, field by field. */
  get fields(): FieldError[] {
    return readFields(this.details);
  }

  /** The same; a refusal that names one field or none is a mistake as a whole. */
  get mistakes(): FieldError[] {
    if (this.fields.length > 0) return this.fields;
    const field = isRecord(this.details) && typeof this.details["field"] === "string" ? this.details["field"] : "";
    return [{ field, reason: this.message }];
  }
}

export interface Tokeniser {
  /** A valid access token, or `null` when nobody is signed in. */
  token(): Promise<string | null>;
  /** The hub refused the token: get another or end the session. Answers whether to try again. */
  refused(): Promise<boolean>;
}

let tokens: Tokeniser = { token: async () => null, refused: async () => false };

export function useTokens(source: Tokeniser): void {
  tokens = source;
}

const TIMEOUT_MS = 10_000;
/** A file is sent, checked and compiled before it is answered. */
const FILE_TIMEOUT_MS = 90_000;

/** One request without a token: sign-in and refresh. A `Blob` is sent as it is, everything else as JSON. */
export async function send<T>(method: string, path: string, body?: unknown, token?: string | null): Promise<T> {
  const headers: Record<string, string> = { accept: "application/json" };
  const file = body instanceof Blob;
  if (file) headers["content-type"] = "application/octet-stream";
  else if (body !== undefined) headers["content-type"] = "application/json";
  if (token) headers["authorization"] = `Bearer ${token}`;
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      headers,
      body: file ? body : body === undefined ? null : JSON.stringify(body),
      signal: AbortSignal.timeout(file ? FILE_TIMEOUT_MS : TIMEOUT_MS),
      cache: "no-store",
    });
  } catch {
    throw new ApiError(0, "The hub cannot be reached.");
  }
  const text = await response.text().catch(() => "");
  const answer = parse(text);
  if (response.ok) return answer as T;
  throw refusal(response, answer);
}

/** One request as the signed-in user; tried once more after a refused token. */
export async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
  try {
    return await send<T>(method, path, body, await tokens.token());
  } catch (error) {
    if (error instanceof ApiError && error.status === 401 && (await tokens.refused())) {
      return send<T>(method, path, body, await tokens.token());
    }
    throw error;
  }
}

/** A list from its first page to its last. */
export async function all<T>(path: string): Promise<T[]> {
  const found: T[] = [];
  let cursor = "";
  for (;;) {
    const page: Page<T> = await call<Page<T>>("GET", `${path}${path.includes("?") ? "&" : "?"}limit=${PAGE}${cursor}`);
    found.push(...page.data);
    if (!page.pagination.has_next || page.pagination.next_cursor === null || found.length >= MOST) return found;
    cursor = `&cursor=${encodeURIComponent(page.pagination.next_cursor)}`;
  }
}

/** Most that a page of a list holds, and most that is read of one. */
const PAGE = 500;
const MOST = 10_000;

function parse(text: string): unknown {
  if (text === "") return null;
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

export function refusal(response: Response, answer: unknown): ApiError {
  const body = isRecord(answer) ? answer : {};
  const message = typeof body["message"] === "string" && body["message"] !== "" ? body["message"] : `The hub answered ${response.status} ${response.statusText}.`;
  const correlation = typeof body["correlation_id"] === "string" ? body["correlation_id"] : response.headers.get("x-correlation-id");
  return new ApiError(response.status, message, correlation, body["details"] ?? null);
}

/** Finds `{field, reason}` objects in an error's details, in a list or under any key. */
export function readFields(details: unknown): FieldError[] {
  if (Array.isArray(details)) return details.flatMap(readFields);
  if (!isRecord(details)) return [];
  const { field, reason, line, column } = details;
  if (typeof field === "string" && typeof reason === "string") {
    const found: FieldError = { field, reason };
    if (typeof line === "number") found.line = line;
    if (typeof column === "number") found.column = column;
    return [found];
  }
  return Object.values(details).flatMap((value) => (typeof value === "object" ? readFields(value) : []));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
