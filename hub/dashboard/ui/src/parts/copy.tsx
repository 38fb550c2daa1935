/** Copies a text; absent where the browser does not allow it (plain HTTP to another machine). */

import { useState } from "preact/hooks";
import { IconButton } from "./icon-button";

export function Copy({ text, what }: { text: string; what: string }) {
  const [done, setDone] = useState(false);
  if (navigator.clipboard === undefined) return null;
  const copy = (): void => {
    void navigator.clipboard.writeText(text).then(() => {
      setDone(true);
      setTimeout(() => setDone(false), 1_500);
    });
  };
  return <IconButton icon={done ? "check" : "copy"} label={done ? "Copied" : `Copy ${what}`} title={`Copy ${what}`} onClick={copy} />;
}
