/** A list or object fetched from the hub: loading, there, or failed; fetched anew on demand and when the connection comes back. */

import { type ReadonlySignal, type Signal, signal, useSignal, useSignalEffect } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { link } from "../live/store";

export interface Resource<T> {
  /** The last good answer. */
  data: ReadonlySignal<T | null>;
  error: ReadonlySignal<unknown>;
  reload: () => Promise<void>;
}

export function resource<T>(fetch: () => Promise<T>): Resource<T> & { data: Signal<T | null> } {
  const data = signal<T | null>(null);
  const error = signal<unknown>(null);
  let latest = 0;
  const reload = async (): Promise<void> => {
    const turn = ++latest;
    try {
      const answer = await fetch();
      if (turn !== latest) return;
      data.value = answer;
      error.value = null;
    } catch (failure) {
      if (turn === latest) error.value = failure;
    }
  };
  return { data, error, reload };
}

/** Fetches when the page opens, and again when the live connection is back. */
export function useFresh(reload: () => Promise<void>): void {
  const lost = useSignal(false);
  useEffect(() => void reload(), []);
  useSignalEffect(() => {
    const { state } = link.value;
    if (state === "offline") lost.value = true;
    else if (state === "live" && lost.peek()) {
      lost.value = false;
      void reload();
    }
  });
}
