/** Who is told: who is on call now, how it escalates, where alerts go, and when nobody is told. */

import { useFresh } from "../lib/resource";
import { Escalations } from "./escalations";
import { MaintenanceWindows } from "./maintenance";
import { OncallNow } from "./oncall";
import { Tree } from "./tree";
import { know } from "./known";

export function RoutingPage() {
  useFresh(know);
  return (
    <div class="page sections" data-testid="routing">
      <OncallNow />
      <Tree />
      <Escalations />
      <MaintenanceWindows />
    </div>
  );
}
