/** Dark, light, or what the system wants; remembered in this browser. */

import { computed, effect, signal } from "@preact/signals";

export type Theme = "system" | "dark" | "light";

const KEY = "streamflow.theme";
const ORDER: Theme[] = ["system", "dark", "light"];
const wants = matchMedia("(prefers-color-scheme: light)");

export const theme = signal<Theme>(read());
const systemLight = signal(wants.matches);

/** The colours in use; charts are drawn anew when it changes. */
export const scheme = computed<"dark" | "light">(() => (theme.value === "system" ? (systemLight.value ? "light" : "dark") : theme.value));

export function followTheme(): void {
  wants.addEventListener("change", () => (systemLight.value = wants.matches));
  effect(() => {
    document.documentElement.dataset["theme"] = scheme.value;
  });
}

export function nextTheme(): void {
  theme.value = ORDER[(ORDER.indexOf(theme.value) + 1) % ORDER.length] ?? "system";
  localStorage.setItem(KEY, theme.value);
}

/** A colour of the style sheet. */
export function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function read(): Theme {
  const kept = localStorage.getItem(KEY);
  return kept === "dark" || kept === "light" ? kept : "system";
}
