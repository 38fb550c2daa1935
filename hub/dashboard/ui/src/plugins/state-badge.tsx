/** Where a plugin stands, as a mark. */

import type { PluginState } from "../api/types";
import { stateText } from "./view";

export function StateBadge({ state }: { state: PluginState }) {
  return (
    <span class={`badge plugin-${state}`} data-state={state}>
      {stateText(state)}
    </span>
  );
}
