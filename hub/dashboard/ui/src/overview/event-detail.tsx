/** One event in full. */

import type { TelemetryEvent } from "../api/types";
import { dateTime } from "../lib/format";
import { SeverityMark } from "../parts/badge";
import { Copy } from "../parts/copy";
import { Icon } from "../parts/icons";
import { Json } from "../parts/json";

export function EventDetail({ event, close }: { event: TelemetryEvent; close: () => void }) {
  return (
    <aside class="detail" aria-label="Selected event" data-testid="event-detail">
      <header class="detail-head">
        <div>
          <h3>{event.type}</h3>
          <p>
            {event.source} · {dateTime(event.timestamp)}
          </p>
        </div>
        <SeverityMark severity={event.severity} />
        <Copy text={JSON.stringify(event, null, 2)} what="the event as JSON" />
        <button type="button" class="ghost square" onClick={close} aria-label="Close">
          <Icon name="close" />
        </button>
      </header>
      <div class="detail-body" tabIndex={0}>
        <Json value={event} />
      </div>
    </aside>
  );
}
