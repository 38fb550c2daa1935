/** Keyboard: single keys and `g` followed by a key. Never while somebody types, never with a modifier. */

export interface Shortcut {
  keys: string;
  what: string;
  run: () => void;
}

const CHORD_MS = 1_200;

export function typing(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(input|textarea|select)$/i.test(target.tagName));
}

/** Listens until the returned function is called. */
export function listen(shortcuts: () => Shortcut[]): () => void {
  let prefix = "";
  let since = 0;
  const press = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target) || document.querySelector("dialog[open]") !== null) return;
    const chord = prefix !== "" && event.timeStamp - since < CHORD_MS ? `${prefix} ${event.key}` : event.key;
    prefix = "";
    const hit = shortcuts().find((shortcut) => shortcut.keys === chord);
    if (hit !== undefined) {
      event.preventDefault();
      hit.run();
    } else if (event.key === "g") {
      prefix = "g";
      since = event.timeStamp;
    }
  };
  addEventListener("keydown", press);
  return () => removeEventListener("keydown", press);
}
