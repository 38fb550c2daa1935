/** A page whose code is fetched when it is first opened, so that the first page is there soon. */

import { signal } from "@preact/signals";
import type { ComponentType } from "preact";
import { useEffect } from "preact/hooks";
import { Failure, Loading } from "../parts/states";

export function lazy(fetch: () => Promise<ComponentType>): ComponentType {
  const page = signal<ComponentType | null>(null);
  const error = signal<unknown>(null);
  let fetching = false;
  const load = async (): Promise<void> => {
    if (fetching || page.peek() !== null) return;
    fetching = true;
    error.value = null;
    try {
      const found = await fetch();
      page.value = found;
    } catch {
      error.value = new Error("This page could not be fetched. After an update of the hub, reload.");
    } finally {
      fetching = false;
    }
  };
  return function Lazy() {
    useEffect(() => void load(), []);
    const Page = page.value;
    if (Page !== null) return <Page />;
    return <section class="panel page">{error.value === null ? <Loading rows={6} /> : <Failure error={error.value} retry={() => void load()} />}</section>;
  };
}
