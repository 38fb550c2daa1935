/** What stands beside a list: the chosen one of it, in full. */

import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { listen } from "../lib/keys";
import { IconButton } from "./icon-button";

interface DetailPaneProps {
  /** What it is of: `Alert` */
  label: string;
  title: string;
  lead: ComponentChildren;
  /** What stands in its head before the button that closes it. */
  head?: ComponentChildren;
  close: () => void;
  class?: string;
  testid?: string;
  children: ComponentChildren;
}

export function DetailPane({ label, title, lead, head, close, class: extra, testid, children }: DetailPaneProps) {
  return (
    <aside class={extra === undefined ? "detail" : `detail ${extra}`} aria-label={label} data-testid={testid}>
      <header class="detail-head">
        <div>
          <h3>{title}</h3>
          <p>{lead}</p>
        </div>
        {head}
        <IconButton icon="close" label="Close" onClick={close} />
      </header>
      <div class="detail-body" tabIndex={0}>
        {children}
      </div>
    </aside>
  );
}

/** Closes with Escape as well. */
export function useEscape(close: () => void): void {
  useEffect(() => listen(() => [{ keys: "Escape", what: "Close what is open", run: close }]), []);
}
