/** Alerts: a list by state, and for the chosen one its labels, what it rests on and its timeline. */

import { computed, effect, signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { acknowledge, resolve } from "../api/alerts";
import { call } from "../api/client";
import { mayEdit } from "../api/session";
import type { Alert, Page } from "../api/types";
import { ago, dateTime, doer, value } from "../lib/format";
import { resource, useFresh } from "../lib/resource";
import { agents, alerts as live, at } from "../live/store";
import { Labels, LevelBadge, StateBadge } from "../parts/badge";
import { DetailPane, useEscape } from "../parts/detail";
import { Dialog } from "../parts/dialog";
import { DialogFoot } from "../parts/form-foot";
import { Search } from "../parts/search";
import { Empty, Fetched } from "../parts/states";
import { complain, say } from "../parts/toast";
import { reason } from "./silence-draft";
import { SilenceForm } from "./silence-form";

const VIEWS = ["open", "resolved", "all"] as const;
type View = (typeof VIEWS)[number];

const view = signal<View>("open");
const chosen = signal<string | null>(null);
const text = signal("");
const history = resource(async () => (await call<Page<Alert>>("GET", "/api/v1/alerts?limit=200")).data);

const merged = computed(() => {
  const newest = new Map((history.data.value ?? []).map((alert) => [alert.id, alert]));
  for (const alert of live.value) newest.set(alert.id, alert);
  return [...newest.values()].sort((a, b) => began(b).localeCompare(began(a)));
});

const shown = computed(() => {
  const wanted = text.value.toLowerCase();
  return merged.value.filter(
    (alert) =>
      (view.value === "all" || (alert.state === "resolved") === (view.value === "resolved")) &&
      `${alert.title} ${alert.rule_name} ${alert.level} ${Object.values(alert.labels).join(" ")}`.toLowerCase().includes(wanted),
  );
});

/** Alerts name agents by id, people know them by host. */
function hostOf(agent: string): string {
  return agents.value.find(({ id }) => id === agent)?.name ?? agent;
}

function began(alert: Alert): string {
  return alert.fired_at ?? alert.pending_at ?? "";
}

export function AlertsPage() {
  useFresh(history.reload);
  // An alert that leaves the live list was resolved: only the history has its end.
  useEffect(() => {
    let known = live.peek().length;
    return effect(() => {
      const now = live.value.length;
      if (now < known) void history.reload();
      known = now;
    });
  }, []);

  const current = merged.value.find((alert) => alert.id === chosen.value) ?? null;
  return (
    <section class="panel page" aria-label="Alerts">
      <header class="panel-head page-head">
        <div class="tabs" role="group" aria-label="Which alerts">
          {VIEWS.map((each) => (
            <button key={each} type="button" aria-pressed={view.value === each} onClick={() => (view.value = each)}>
              {each}
            </button>
          ))}
        </div>
        <Search text={text} what="alerts" hint="Filter by title, rule or label" />
      </header>
      <Fetched of={history} rows={6}>
        {() =>
          shown.value.length === 0 ? (
            <Empty icon="check" title={text.value !== "" ? "No alert matches" : view.value === "open" ? "Nothing is firing" : "No alerts yet"} />
          ) : (
            <div class={current === null ? "split" : "split open"}>
              <ul class="cards">
                {shown.value.map((alert) => (
                  <li key={alert.id}>
                    <button type="button" class={`card edge-${alert.level}`} aria-pressed={alert.id === chosen.value} onClick={() => (chosen.value = alert.id === chosen.value ? null : alert.id)}>
                      <span class="card-title">{alert.title}</span>
                      <span class="alert-meta">
                        <LevelBadge level={alert.level} />
                        <StateBadge state={alert.state} />
                        {alert.flapping && <span class="badge">flapping</span>}
                        {alert.muted_by.length > 0 && <span class="badge">muted</span>}
                        <span>value {value(alert.value)}</span>
                        <span>{ago(began(alert) === "" ? null : began(alert), at.value)}</span>
                      </span>
                      <Labels labels={alert.labels} skip={["rule", "level", "alertname"]} />
                    </button>
                  </li>
                ))}
              </ul>
              {current !== null && <Detail key={current.id} alert={current} />}
            </div>
          )
        }
      </Fetched>
    </section>
  );
}

function close(): void {
  chosen.value = null;
}

function Detail({ alert }: { alert: Alert }) {
  const over = alert.state === "resolved";
  useEscape(close);
  return (
    <DetailPane label="Alert" class="alert-detail" title={alert.title} lead={alert.rule_name} close={close}>
      <p class="alert-meta">
        <LevelBadge level={alert.level} />
        <StateBadge state={alert.state} />
        <span>value {value(alert.value)}</span>
      </p>
      {alert.message !== "" && <p class="alert-message">{alert.message}</p>}
      <Labels labels={alert.labels} />
      {!alert.completeness.complete && alert.completeness.missing.length > 0 && (
        <p class="note text-warning">Rests on incomplete data: nothing yet from {alert.completeness.missing.map(hostOf).join(", ")}.</p>
      )}
      {alert.flapping && <p class="note">Its condition comes and goes; it stays open until that has been quiet for a while.</p>}
      {alert.muted_by.length > 0 && <p class="note">Nobody is told of it: {alert.muted_by.map(reason).join(", ")}.</p>}
      {!over && mayEdit() && <Actions alert={alert} />}
      <h4>Timeline</h4>
      <ol class="timeline">
        {alert.timeline.map((entry, i) => (
          <li key={i} class={`what-${entry.what}`}>
            <time>{dateTime(entry.at)}</time>
            <b>{entry.what}</b>{" "}
            <span class="faint">
              by {doer(entry.by)}
              {entry.value !== null && <> at value {value(entry.value)}</>}
            </span>
            {entry.detail !== "" && <p>{entry.detail}</p>}
          </li>
        ))}
      </ol>
    </DetailPane>
  );
}

const silencing = signal<Alert | null>(null);
const dialog = signal<{ alert: Alert; action: "acknowledge" | "resolve" } | null>(null);

function Actions({ alert }: { alert: Alert }) {
  return (
    <>
      <div class="actions">
        {alert.state !== "acknowledged" && (
          <button type="button" class="primary" onClick={() => (dialog.value = { alert, action: "acknowledge" })}>
            Acknowledge
          </button>
        )}
        <button type="button" onClick={() => (dialog.value = { alert, action: "resolve" })}>
          Resolve
        </button>
        <button type="button" onClick={() => (silencing.value = alert)}>
          Silence
        </button>
      </div>
      {silencing.value !== null && <SilenceForm alert={silencing.value} close={() => (silencing.value = null)} />}
      {dialog.value !== null && <Ask {...dialog.value} />}
    </>
  );
}

function Ask({ alert, action }: { alert: Alert; action: "acknowledge" | "resolve" }) {
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const comment = String(new FormData(event.currentTarget as HTMLFormElement).get("comment") ?? "");
    try {
      const changed = await (action === "acknowledge" ? acknowledge : resolve)(alert.id, comment);
      history.data.value = (history.data.peek() ?? []).map((each) => (each.id === changed.id ? changed : each));
      say(action === "acknowledge" ? `Acknowledged: ${alert.title}` : `Resolved: ${alert.title}`);
      dialog.value = null;
    } catch (error) {
      complain(error);
    }
  };
  return (
    <Dialog title={action === "acknowledge" ? "Acknowledge alert" : "Resolve alert"} close={() => (dialog.value = null)}>
      <form onSubmit={(event) => void submit(event)}>
        <p class="dialog-lead">{alert.title}</p>
        <div class="field">
          <label for="comment">Comment</label>
          <textarea id="comment" name="comment" rows={3} maxLength={1000} placeholder="What do others need to know? (optional)" autofocus />
        </div>
        <DialogFoot close={() => (dialog.value = null)} action={action === "acknowledge" ? "Acknowledge" : "Resolve"} />
      </form>
    </Dialog>
  );
}
