/** The live event stream: only the rows in sight exist, each at its fixed place. */

import { signal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import type { Severity, TelemetryEvent } from "../api/types";
import { clockMs, count, summary, whole } from "../lib/format";
import { skipped } from "../live/store";
import { SeverityMark } from "../parts/badge";
import { Icon } from "../parts/icons";
import { Empty } from "../parts/states";
import { EventDetail } from "./event-detail";
import { pause, paused, query, scroll, scrolled, selected, severities, toggleSeverity, visible, waiting } from "./stream-state";

export const ROW = 30;
const OVERSCAN = 4;
const SEVERITIES: Severity[] = ["critical", "high", "medium", "low"];

const top = signal(0);
const height = signal(420);

export function StreamPanel() {
  return (
    <section class="panel stream" aria-labelledby="stream-heading">
      <header class="panel-head stream-head">
        <h2 id="stream-heading">Live events</h2>
        <label class="search">
          <Icon name="search" />
          <span class="sr-only">Filter events</span>
          <input
            id="filter"
            type="search"
            placeholder="Filter: text, type:…, source:…, -word"
            autocomplete="off"
            spellcheck={false}
            value={query.value}
            onInput={(event) => (query.value = event.currentTarget.value)}
            onKeyDown={(event) => {
              if (event.key !== "Escape") return;
              query.value = "";
              event.currentTarget.blur();
            }}
          />
          <kbd>/</kbd>
        </label>
        <div class="chips" role="group" aria-label="Severities">
          {SEVERITIES.map((severity) => (
            <button key={severity} type="button" class={`chip severity-${severity}`} aria-pressed={severities.value.has(severity)} onClick={() => toggleSeverity(severity)}>
              <i aria-hidden="true" />
              {severity}
            </button>
          ))}
        </div>
        <button type="button" class={paused.value ? "toggle on" : "toggle"} aria-pressed={paused.value} onClick={() => pause(!paused.value)}>
          <Icon name={paused.value ? "play" : "pause"} />
          {paused.value ? "Resume" : "Pause"}
        </button>
      </header>
      <div class={selected.value === null ? "stream-body" : "stream-body with-detail"}>
        <List />
        {selected.value !== null && <EventDetail event={selected.value} close={() => (selected.value = null)} />}
      </div>
      <Foot />
    </section>
  );
}

function List() {
  const box = useRef<HTMLDivElement>(null);

  useLayoutEffect(() => {
    const element = box.current;
    if (element === null) return;
    top.value = element.scrollTop;
    const watch = new ResizeObserver(() => (height.value = element.clientHeight));
    watch.observe(element);
    return () => watch.disconnect();
  }, []);

  useEffect(() => {
    if (!scrolled.value && box.current !== null) box.current.scrollTop = 0;
  }, [scrolled.value]);

  const rows = visible.value;
  const first = Math.max(0, Math.floor(top.value / ROW) - OVERSCAN);
  const last = Math.min(rows.length, Math.ceil((top.value + height.value) / ROW) + OVERSCAN);
  const filtered = query.value !== "" || severities.value.size > 0;

  const move = (event: KeyboardEvent): void => {
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (event.key === "Escape") selected.value = null;
    if (step === 0) return;
    event.preventDefault();
    const now = rows.findIndex((row) => row.id === selected.value?.id);
    const next = Math.min(rows.length - 1, Math.max(0, now + step));
    selected.value = rows[next] ?? null;
    box.current?.scrollTo({ top: Math.max(0, (next - 3) * ROW) });
  };

  return (
    <div class="stream-list">
      <div class="row row-head" aria-hidden="true">
        <span>Time</span>
        <span>Severity</span>
        <span>Type</span>
        <span>Source</span>
        <span>What</span>
      </div>
      <div
        ref={box}
        class="rows"
        data-testid="stream"
        role="listbox"
        aria-label="Events, newest first"
        tabIndex={0}
        onKeyDown={move}
        onScroll={(event) => {
          top.value = event.currentTarget.scrollTop;
          scroll(event.currentTarget.scrollTop > ROW / 2);
        }}
      >
        <div class="spacer" style={{ height: `${rows.length * ROW}px` }}>
          {rows.slice(first, last).map((event, i) => (
            <Row key={i} event={event} offset={(first + i) * ROW} place={first + i + 1} of={rows.length} />
          ))}
        </div>
      </div>
      {rows.length === 0 && (
        <div class="stream-empty">
          {filtered ? (
            <Empty icon="search" title="No event matches the filter">
              <button
                type="button"
                class="small"
                onClick={() => {
                  query.value = "";
                  severities.value = new Set();
                }}
              >
                Clear the filter
              </button>
            </Empty>
          ) : (
            <Empty icon="bolt" title="Waiting for the first event" />
          )}
        </div>
      )}
      {!paused.value && scrolled.value && waiting.value > 0 && (
        <button type="button" class="newer" onClick={() => scroll(false)}>
          <Icon name="up" />
          {count(waiting.value)} newer
        </button>
      )}
    </div>
  );
}

function Row({ event, offset, place, of }: { event: TelemetryEvent; offset: number; place: number; of: number }) {
  const on = selected.value?.id === event.id;
  return (
    <div
      class={on ? "row on" : "row"}
      style={{ transform: `translateY(${offset}px)` }}
      role="option"
      aria-selected={on}
      aria-posinset={place}
      aria-setsize={of}
      data-type={event.type}
      onClick={() => (selected.value = on ? null : event)}
    >
      <span class="row-time">{clockMs(event.timestamp)}</span>
      <SeverityMark severity={event.severity} />
      <span class="row-type">{event.type}</span>
      <span class="row-source">{event.source}</span>
      <span class="row-what">{summary(event.data)}</span>
    </div>
  );
}

function Foot() {
  return (
    <footer class="stream-foot">
      <span>
        {whole(visible.value.length)} event{visible.value.length === 1 ? "" : "s"} shown
      </span>
      {paused.value && <span class="text-warning">paused, {count(waiting.value)} newer</span>}
      {skipped.value > 0 && (
        <span title="The stream shows a sample when more events arrive than a person can read. All of them are stored.">
          sampled: {count(skipped.value)} not shown
        </span>
      )}
    </footer>
  );
}
