/** Chooses one of a few values. */

import type { Level } from "../api/types";

/** A value that is shown under another name. */
export interface Option<T> {
  value: T;
  name: string;
}

interface ChoiceProps<T> {
  of: readonly (T | Option<T>)[];
  value: T;
  change: (value: T) => void;
  id?: string;
  disabled?: boolean;
  "aria-label"?: string;
  "aria-describedby"?: string;
  "aria-invalid"?: boolean;
}

export function Choice<T extends string | number>({ of, value, change, ...rest }: ChoiceProps<T>) {
  const options = of.map((each) => (typeof each === "object" ? each : { value: each, name: String(each) }));
  return (
    <select
      {...rest}
      value={value}
      onChange={(event) => {
        const chosen = options[event.currentTarget.selectedIndex];
        if (chosen !== undefined) change(chosen.value);
      }}
    >
      {options.map((each) => (
        <option key={each.value} value={each.value}>
          {each.name}
        </option>
      ))}
    </select>
  );
}

/** The levels of an alert, from the least. */
export const LEVELS: readonly Level[] = ["info", "warning", "error", "critical"];
