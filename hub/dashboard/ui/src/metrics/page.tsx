/** Metrics: those that come with the hub and those that were declared, each with its values over time. */

import { computed, signal } from "@preact/signals";
import { type Metric, metrics, remove } from "../api/metrics";
import { mayEdit } from "../api/session";
import { dateTime } from "../lib/format";
import { resource, useFresh } from "../lib/resource";
import { Confirm } from "../parts/confirm";
import { DetailPane, useEscape } from "../parts/detail";
import { Icon } from "../parts/icons";
import { Search } from "../parts/search";
import { Empty, Fetched } from "../parts/states";
import { say } from "../parts/toast";
import { MetricChart } from "./chart";
import { MetricForm } from "./form";
import { asksText, placedText } from "./view";

const list = resource(metrics);
const text = signal("");
const chosen = signal<string | null>(null);
const declaring = signal(false);
const removing = signal<Metric | null>(null);

const shown = computed(() => {
  const wanted = text.value.toLowerCase();
  return (list.data.value ?? [])
    .filter((metric) => `${metric.name} ${metric.description} ${asksText(metric)}`.toLowerCase().includes(wanted))
    .sort((a, b) => Number(a.builtin) - Number(b.builtin) || a.name.localeCompare(b.name));
});

export function MetricsPage() {
  useFresh(list.reload);
  const current = list.data.value?.find(({ id }) => id === chosen.value) ?? null;
  const goes = removing.value;
  return (
    <section class="panel page" aria-label="Metrics">
      <header class="panel-head page-head">
        <Search text={text} what="metrics" hint="Filter by name or expression" />
        {mayEdit() && (
          <button type="button" class="primary" onClick={() => (declaring.value = true)}>
            <Icon name="plus" />
            New metric
          </button>
        )}
      </header>
      <Fetched of={list} rows={6}>
        {() =>
          shown.value.length === 0 ? (
            <Empty icon="search" title={text.value === "" ? "No metrics" : "No metric matches"} />
          ) : (
            <div class={current === null ? "split" : "split open narrow"}>
              <ul class="cards" data-testid="metrics">
                {shown.value.map((metric) => (
                  <li key={metric.id}>
                    <button type="button" class="card" data-metric={metric.id} aria-pressed={metric.id === chosen.value} onClick={() => (chosen.value = metric.id === chosen.value ? null : metric.id)}>
                      <span class="card-title">
                        {metric.name} {metric.builtin && <span class="badge">built in</span>}
                        {metric.placed.at === "edge" && <span class="badge">on hosts</span>}
                      </span>
                      {metric.description !== "" && <span class="plugin-line">{metric.description}</span>}
                      <span class="plugin-line mono faint">{asksText(metric)}</span>
                    </button>
                  </li>
                ))}
              </ul>
              {current !== null && <Detail key={current.id} metric={current} />}
            </div>
          )
        }
      </Fetched>
      {declaring.value && (
        <MetricForm
          close={() => (declaring.value = false)}
          saved={(metric) => {
            declaring.value = false;
            text.value = "";
            chosen.value = metric.id;
            void list.reload();
          }}
        />
      )}
      {goes !== null && (
        <Confirm
          title="Remove metric"
          action="Remove"
          danger
          close={() => (removing.value = null)}
          run={async () => {
            await remove(goes.id);
            say(`Removed: ${goes.name}`);
            if (chosen.value === goes.id) chosen.value = null;
            await list.reload();
          }}
        >
          <p>
            Remove <b>{goes.name}</b> with all values that it has kept? Rules and dashboards that ask for it by PromQL find nothing any more.
          </p>
        </Confirm>
      )}
    </section>
  );
}

function close(): void {
  chosen.value = null;
}

function Detail({ metric }: { metric: Metric }) {
  useEscape(close);
  return (
    <DetailPane
      label="Metric"
      class="metric-detail"
      testid="metric"
      title={metric.name}
      lead={metric.description === "" ? asksText(metric) : metric.description}
      head={
        mayEdit() &&
        !metric.builtin && (
          <button type="button" class="small" onClick={() => (removing.value = metric)}>
            Remove
          </button>
        )
      }
      close={close}
    >
      {metric.description !== "" && <p class="mono wrap">{asksText(metric)}</p>}
      <p class="faint wrap">
        {placedText(metric)} {metric.builtin ? "It has seen all of the log." : `Events stored since ${dateTime(metric.since)} count.`} In PromQL it is <code>{metric.id}</code>.
      </p>
      <MetricChart metric={metric} />
    </DetailPane>
  );
}
