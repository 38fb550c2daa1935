/** The input of one setting of a plugin, by its kind. */

import type { SettingField } from "./channel-setting";

interface SettingProps {
  field: SettingField;
  ids: { id: string; "aria-describedby": string; "aria-invalid": boolean };
  text: string;
  change: (text: string) => void;
}

export function Setting({ field: { key, kind, choices }, ids, text, change }: SettingProps) {
  const label = `Value of ${key}`;
  if (kind === "choice") {
    return (
      <select {...ids} aria-label={label} value={text} onChange={(e) => change(e.currentTarget.value)}>
        {["", ...choices].map((each) => (
          <option key={each}>{each}</option>
        ))}
      </select>
    );
  }
  const common = { ...ids, class: "mono", spellcheck: false, "aria-label": label, value: text, onInput: (e: InputEvent & { currentTarget: HTMLInputElement }) => change(e.currentTarget.value) };
  if (kind === "secret") return <input {...common} type="password" autocomplete="off" />;
  if (kind === "number") return <input {...common} type="number" step="any" />;
  return <input {...common} type="text" autocomplete="off" />;
}
