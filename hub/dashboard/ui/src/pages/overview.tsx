/** The overview: what comes in, how the hosts do, what is wrong, and every event as it arrives. */

import { ready } from "../live/store";
import { AgentsPanel } from "../overview/agents-panel";
import { AlertsPanel } from "../overview/alerts-panel";
import { Figures } from "../overview/figures";
import { HostsPanel } from "../overview/hosts-panel";
import { RatePanel } from "../overview/rate-panel";
import { StreamPanel } from "../overview/stream-panel";

export function Overview() {
  if (!ready.value) return <Skeleton />;
  return (
    <div class="overview" data-testid="overview">
      <Figures />
      <div class="first-row">
        <RatePanel />
        <div class="side">
          <AlertsPanel />
          <AgentsPanel />
        </div>
      </div>
      <HostsPanel />
      <StreamPanel />
    </div>
  );
}

/** The page's shape before the first message, so that nothing jumps when it comes. */
function Skeleton() {
  return (
    <div class="overview skeleton" aria-busy="true" aria-label="Loading live data">
      <div class="figures">
        {[0, 1, 2, 3].map((i) => (
          <div key={i} class="figure bone" />
        ))}
      </div>
      <div class="first-row">
        <div class="panel rate-panel bone" />
        <div class="side">
          <div class="panel side-panel bone" />
          <div class="panel side-panel bone" />
        </div>
      </div>
      <div class="panel host bone" />
      <div class="panel stream bone" />
    </div>
  );
}
