/** The field that filters a page's list; the key `/` goes to it. */

import type { Signal } from "@preact/signals";
import { Icon } from "./icons";

interface SearchProps {
  text: Signal<string>;
  /** What is filtered: `rules` */
  what: string;
  hint: string;
}

export function Search({ text, what, hint }: SearchProps) {
  return (
    <label class="search">
      <Icon name="search" />
      <span class="sr-only">Filter {what}</span>
      <input id="filter" type="search" placeholder={hint} autocomplete="off" value={text.value} onInput={(event) => (text.value = event.currentTarget.value)} />
      <kbd>/</kbd>
    </label>
  );
}
