/** Who is told: who is on call now, how it escalates, where alerts go, and when nobody is told. */

import { computed } from "@preact/signals";
import { useFresh } from "../lib/resource";
import { Loading } from "../parts/states";
import { Escalations } from "./escalations";
import { know, now, policies, rosters, tree, windows } from "./known";
import { MaintenanceWindows } from "./maintenance";
import { OncallNow } from "./oncall";
import { Tree } from "./tree";

/** Sections stand below one another: one that came later would move those below it. */
const ready = computed(() => [tree, now, rosters, policies, windows].every(({ data, error }) => data.value !== null || error.value !== null));

export function RoutingPage() {
  useFresh(know);
  if (!ready.value) {
    return (
      <section class="panel page">
        <Loading rows={6} />
      </section>
    );
  }
  return (
    <div class="page sections" data-testid="routing">
      <OncallNow />
      <Tree />
      <Escalations />
      <MaintenanceWindows />
    </div>
  );
}
