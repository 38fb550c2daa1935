/** Small marks: levels, severities, states. Colour never stands alone; the word is always there. */

import type { AlertState, Level, Severity } from "../api/types";

export function LevelBadge({ level }: { level: Level }) {
  return <span class={`badge level-${level}`}>{level}</span>;
}

export function StateBadge({ state }: { state: AlertState }) {
  return <span class={`badge state-${state}`}>{state}</span>;
}

export function SeverityMark({ severity }: { severity: Severity }) {
  return (
    <span class={`severity severity-${severity}`}>
      <i aria-hidden="true" />
      {severity}
    </span>
  );
}

export function Labels({ labels, skip = [] }: { labels: Record<string, string>; skip?: string[] }) {
  const shown = Object.entries(labels).filter(([key]) => !skip.includes(key));
  if (shown.length === 0) return null;
  return (
    <span class="labels">
      {shown.map(([key, value]) => (
        <span key={key} class="label">
          <b>{key}</b>
          {value}
        </span>
      ))}
    </span>
  );
}
