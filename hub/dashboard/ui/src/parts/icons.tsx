/** Icons, drawn on a 16 × 16 grid in the colour of the text. */

const PATHS = {
  overview: "M2 13V8m4 5V3m4 10V6m4 7V9.5",
  alerts: "M8 2a4 4 0 0 0-4 4v2.5L2.7 11h10.6L12 8.5V6a4 4 0 0 0-4-4Zm-1.5 11a1.6 1.6 0 0 0 3 0",
  rules: "M3 4h6m3 0h1M3 8h1m3 0h6M3 12h5m3 0h2M10.5 2.5v3M5.5 6.5v3M9.5 10.5v3",
  channels: "M14 2 7.2 8.8M14 2 9.7 14l-2.5-5.2L2 6.3 14 2Z",
  agents: "M2.5 3h11v4h-11zM2.5 9h11v4h-11zM5 5h.01M5 11h.01M8 5h3M8 11h3",
  drills: "M8 2c.5 2.2 3.8 3.4 3.8 7a3.8 3.8 0 0 1-7.6 0c0-1.5.7-2.4 1.4-3.2.2 1 .6 1.5 1.2 1.8C6.6 5.6 6.7 3.6 8 2Z",
  plugins: "M6 2.5v3M10 2.5v3M4 5.5h8V8a4 4 0 0 1-8 0V5.5ZM8 12v2",
  silences: "M4.6 4.2A4 4 0 0 1 12 6v2.5l1.3 2.5H5M4 6.4v2.1L2.7 11M6.5 13a1.6 1.6 0 0 0 3 0M2.5 2l11 12",
  routing: "M2 8h4M6 8c2 0 2-4.5 4-4.5h3.5M6 8c2 0 2 4.5 4 4.5h3.5M11.5 1.5l2 2-2 2M11.5 10.5l2 2-2 2",
  metrics: "M2 13.5h12M2.5 10.5 6 6.5l2.8 2.6L13.5 3",
  more: "M2.5 4.5h11M2.5 8h11M2.5 11.5h11",
  clock: "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11ZM8 5v3.2l2 1.3",
  settings: "M8 2.5a2.6 2.6 0 1 0 0 5.2 2.6 2.6 0 0 0 0-5.2ZM2.8 13.5c.4-2.6 2.5-4 5.2-4s4.8 1.4 5.2 4",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  play: "M5 3.2v9.6L12.5 8 5 3.2Z",
  close: "m4 4 8 8m0-8-8 8",
  check: "m3 8.5 3.2 3.2L13 5",
  plus: "M8 3v10M3 8h10",
  edit: "m10.5 3 2.5 2.5L6 12.5 3 13l.5-3L10.5 3Z",
  trash: "M3 4.5h10M6.5 4V2.8h3V4M4.5 4.5l.6 8.7h5.8l.6-8.7M7 7v3.8M9 7v3.8",
  copy: "M5.5 5.5V3h7.5v7.5h-2.5M3 5.5h7.5V13H3z",
  theme: "M8 2.5a5.5 5.5 0 1 0 0 11v-11Z M8 2.5a5.5 5.5 0 0 1 0 11",
  keyboard: "M2 4h12v8H2zM4.5 6.5h.01M7 6.5h.01M9.5 6.5h.01M12 6.5h-.01M5 9.5h6",
  out: "M6.5 3H3v10h3.5M7 8h7m-2.5-2.5L14 8l-2.5 2.5",
  search: "M7 3a4 4 0 1 0 0 8 4 4 0 0 0 0-8Zm3 7 3.5 3.5",
  up: "M8 13V3.5M4 7.5l4-4 4 4",
  bolt: "M9 2 3.5 9H8l-1 5 5.5-7H8l1-5Z",
  back: "M3 8a5 5 0 1 0 1.6-3.7L3 5.8M3 2.8v3h3M8 5.2V8l2 1.4",
  right: "m6 3.5 4.5 4.5L6 12.5",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" width="16" height="16" fill="none" stroke="currentColor" stroke-width="1.4" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}

export function Logo() {
  return (
    <svg class="logo" viewBox="0 0 32 32" width="26" height="26" fill="none" aria-hidden="true">
      <path d="M2.5 19.5c4.5 0 4.5-8 9-8s4.5 10 9 10 3.6-5.5 6.5-5.5" stroke="currentColor" stroke-width="3" stroke-linecap="round" />
      <circle cx="28" cy="16" r="2.6" fill="currentColor" />
    </svg>
  );
}
