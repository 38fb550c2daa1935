/** What a panel shows when it has nothing, not yet anything, or could not get it. */

import type { ComponentChildren } from "preact";
import { ApiError } from "../api/client";
import type { Resource } from "../lib/resource";
import { Icon, type IconName } from "./icons";
import { reason } from "./toast";

export function Empty({ icon, title, children }: { icon: IconName; title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <Icon name={icon} />
      <p class="empty-title">{title}</p>
      {children !== undefined && <div class="empty-more">{children}</div>}
    </div>
  );
}

export function Loading({ rows = 4 }: { rows?: number }) {
  return (
    <div class="loading" aria-busy="true" aria-label="Loading">
      {Array.from({ length: rows }, (_, i) => (
        <div key={i} class="bone" />
      ))}
    </div>
  );
}

export function Failure({ error, retry }: { error: unknown; retry: () => void }) {
  const correlation = error instanceof ApiError ? error.correlationId : null;
  return (
    <div class="failure" role="alert">
      <p class="empty-title">{reason(error)}</p>
      {correlation !== null && <p class="correlation">Correlation id {correlation}</p>}
      <button type="button" onClick={retry}>
        Try again
      </button>
    </div>
  );
}

interface FetchedProps<T> {
  of: Resource<T>;
  /** How many lines stand in for it. */
  rows?: number;
  retry?: () => Promise<void>;
  children: (data: T) => ComponentChildren;
}

/** What was fetched; before, that it is not there yet or could not be got. */
export function Fetched<T>({ of: { data, error, reload }, rows = 4, retry = reload, children }: FetchedProps<T>) {
  if (data.value !== null) return <>{children(data.value)}</>;
  return error.value === null ? <Loading rows={rows} /> : <Failure error={error.value} retry={() => void retry()} />;
}
