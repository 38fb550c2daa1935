/** Settings of a channel as its form holds them. Pure. */

import type { ConfigSchema } from "../api/types";

/** A setting as typed: JSON where it is a number, a truth value, a list or an object, else text. */
export function setting(text: string): unknown {
  if (!/^(-?\d|true$|false$|[[{])/.test(text.trim())) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** One setting of a plugin, as a form shows it. */
export interface SettingField {
  key: string;
  title: string;
  hint: string;
  required: boolean;
  kind: "text" | "secret" | "number" | "choice" | "json";
  choices: string[];
}

/** The settings of a plugin, those that it needs first. */
export function settingFields(schema: ConfigSchema | undefined): SettingField[] {
  const required = new Set(schema?.required ?? []);
  const fields = Object.entries(schema?.properties ?? {}).map(([key, { title, description, type, enum: choices, writeOnly }]): SettingField => {
    const kind = choices !== undefined || type === "boolean" ? "choice" : type === "integer" || type === "number" ? "number" : type !== "string" ? "json" : writeOnly === true ? "secret" : "text";
    const names = type === "boolean" ? ["true", "false"] : (choices ?? []).map(String);
    return { key, title: title ?? key, hint: description ?? "", required: required.has(key), kind, choices: names };
  });
  return [...fields.filter((field) => field.required), ...fields.filter((field) => !field.required)];
}

/** The configuration that a form holds: what was left empty is left out, and texts stay texts whatever they look like. */
export function readSettings(fields: SettingField[], texts: Record<string, string>): Record<string, unknown> {
  const config: Record<string, unknown> = {};
  for (const { key, kind, choices } of fields) {
    const text = texts[key] ?? "";
    if (text.trim() === "") continue;
    const parsed = kind === "number" || kind === "json" || (kind === "choice" && choices[0] === "true");
    config[key] = parsed ? setting(text) : text;
  }
  return config;
}

/** A configuration as a form holds it; a secret that is kept is `***`, which the hub takes as “as it was”. */
export function settingTexts(config: Record<string, unknown>): Record<string, string> {
  return Object.fromEntries(Object.entries(config).map(([key, value]) => [key, typeof value === "string" ? value : JSON.stringify(value)]));
}
