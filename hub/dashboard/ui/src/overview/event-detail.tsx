/** One event in full. */

import type { TelemetryEvent } from "../api/types";
import { dateTime } from "../lib/format";
import { SeverityMark } from "../parts/badge";
import { Copy } from "../parts/copy";
import { DetailPane } from "../parts/detail";
import { Json } from "../parts/json";

export function EventDetail({ event, close }: { event: TelemetryEvent; close: () => void }) {
  return (
    <DetailPane
      label="Selected event"
      testid="event-detail"
      title={event.type}
      lead={`${event.source} · ${dateTime(event.timestamp)}`}
      head={
        <>
          <SeverityMark severity={event.severity} />
          <Copy text={JSON.stringify(event, null, 2)} what="the event as JSON" />
        </>
      }
      close={close}
    >
      <Json value={event} />
    </DetailPane>
  );
}
