/** Which open alerts a silence would mean, said before it is made. */

import { useEffect, useState } from "preact/hooks";
import { ApiError } from "../api/client";
import { type Matcher, type Meant, preview } from "../api/silences";
import { LevelBadge } from "../parts/badge";
import { reason } from "../parts/toast";

const LISTED = 8;
/** Somebody who types is not asked for at every key. */
const REST_MS = 200;

export type Meaning = { state: "nothing" } | { state: "looking" } | { state: "found"; alerts: Meant[] } | { state: "refused"; error: unknown };

/** Asks the hub whenever the matchers have changed. */
export function useMeant(matchers: Matcher[]): Meaning {
  const [found, setFound] = useState<Meaning>({ state: "looking" });
  const asked = JSON.stringify(matchers);
  useEffect(() => {
    if (matchers.length === 0) {
      setFound({ state: "nothing" });
      return;
    }
    let current = true;
    const timer = setTimeout(() => {
      preview(matchers).then(
        (alerts) => current && setFound({ state: "found", alerts }),
        (error) => current && setFound({ state: "refused", error }),
      );
    }, REST_MS);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [asked]);
  return found;
}

export function Meaning({ meant, nothing }: { meant: Meaning; nothing: string }) {
  return (
    <div class="field meaning" aria-live="polite">
      {meant.state === "refused" ? (
        <p class="field-error">{meant.error instanceof ApiError && meant.error.fields.length > 0 ? meant.error.fields.map(({ field, reason: why }) => `${field}: ${why}`).join("; ") : reason(meant.error)}</p>
      ) : (
        <b>{meant.state === "nothing" ? nothing : meant.state === "looking" ? "Looking …" : `Silences ${meant.alerts.length} open ${meant.alerts.length === 1 ? "alert" : "alerts"} now`}</b>
      )}
      {meant.state === "found" && meant.alerts.length > 0 && (
        <ul class="meant">
          {meant.alerts.slice(0, LISTED).map(({ id, title, level }) => (
            <li key={id}>
              <LevelBadge level={level} /> {title}
            </li>
          ))}
          {meant.alerts.length > LISTED && <li>and {meant.alerts.length - LISTED} more</li>}
        </ul>
      )}
    </div>
  );
}
