/** Copies a text; absent where the browser does not allow it (plain HTTP to another machine). */

import { useState } from "preact/hooks";
import { Icon } from "./icons";

export function Copy({ text, what }: { text: string; what: string }) {
  const [done, setDone] = useState(false);
  if (navigator.clipboard === undefined) return null;
  const copy = (): void => {
    void navigator.clipboard.writeText(text).then(() => {
      setDone(true);
      setTimeout(() => setDone(false), 1_500);
    });
  };
  return (
    <button type="button" class="ghost square" onClick={copy} aria-label={done ? "Copied" : `Copy ${what}`} title={`Copy ${what}`}>
      <Icon name={done ? "check" : "copy"} />
    </button>
  );
}
