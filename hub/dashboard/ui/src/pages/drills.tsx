/** Fire drills: the list, every hop of the chosen one, and a form that begins one. */

import { computed, signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { call } from "../api/client";
import { drill, type Drill, drills } from "../api/drills";
import { mayEdit } from "../api/session";
import type { Page, Rule } from "../api/types";
import { ago, clockMs, dateTime, doer, span } from "../lib/format";
import { resource, useFresh } from "../lib/resource";
import { A } from "../lib/router";
import { agents, at } from "../live/store";
import { DetailPane, useEscape } from "../parts/detail";
import { Dialog } from "../parts/dialog";
import { Field } from "../parts/field";
import { DialogFoot } from "../parts/form-foot";
import { Icon } from "../parts/icons";
import { Empty, Fetched } from "../parts/states";
import { complain, say } from "../parts/toast";
import { delivery, steps } from "./drill-view";

/** A drill that is under way is looked at this often. */
const LOOK_MS = 1000;

const list = resource(drills);
const chosen = signal<string | null>(null);
const asking = signal(false);
const current = computed(() => list.data.value?.find(({ id }) => id === chosen.value) ?? null);
const running = computed(() => list.data.value?.some(({ state }) => state === "running") ?? false);

export function DrillsPage() {
  useFresh(list.reload);
  const busy = running.value;
  useEffect(() => {
    if (!busy) return;
    const timer = setInterval(() => void list.reload(), LOOK_MS);
    return () => clearInterval(timer);
  }, [busy]);
  return (
    <section class="panel page" aria-label="Drills">
      <header class="panel-head page-head">
        <p class="faint">A marked event goes from an agent to a person, and every hop is timed.</p>
        {mayEdit() && (
          <button type="button" class="primary" onClick={() => (asking.value = true)}>
            <Icon name="bolt" />
            Begin a drill
          </button>
        )}
      </header>
      <Fetched of={list}>
        {(all) =>
          all.length === 0 ? (
            <Empty icon="drills" title="No drill yet">
              A drill says whether an alert would reach a person, before one has to.
            </Empty>
          ) : (
            <div class={current.value === null ? "split" : "split open"}>
              <ul class="cards">
                {all.map((each) => (
                  <Card key={each.id} each={each} />
                ))}
              </ul>
              {current.value !== null && <Detail key={current.value.id} each={current.value} />}
            </div>
          )
        }
      </Fetched>
      {asking.value && <Form close={() => (asking.value = false)} />}
    </section>
  );
}

const EDGE = { running: "info", passed: "ok", failed: "critical" } as const;

function Card({ each }: { each: Drill }) {
  const took = delivery(each);
  return (
    <li>
      <button type="button" class={`card edge-${EDGE[each.state]}`} aria-pressed={each.id === chosen.value} onClick={() => (chosen.value = each.id === chosen.value ? null : each.id)}>
        <span class="card-title">{each.target}</span>
        <span class="alert-meta">
          <span class={`badge drill-${each.state}`}>{each.state}</span>
          {each.lost_at !== undefined && <span>lost at {each.lost_at}</span>}
          {took !== null && <span>at the channels after {span(took)}</span>}
          <span>{each.schedule === undefined ? `by ${doer(each.by)}` : `schedule ${each.schedule}`}</span>
          <span>{ago(each.started_at, at.value)}</span>
        </span>
      </button>
    </li>
  );
}

function close(): void {
  chosen.value = null;
}

function Detail({ each }: { each: Drill }) {
  useEscape(close);
  return (
    <DetailPane label="Drill" title={each.target} lead={`${dateTime(each.started_at)} by ${doer(each.by)}`} close={close}>
      <p class="alert-meta">
        <span class={`badge drill-${each.state}`}>{each.state}</span>
        <span>{each.request.from_hub === true ? "from the hub" : `agent ${each.agent}`}</span>
        <span>
          {delivery(each) === null ? "tells" : "told"} {each.channels.join(", ")}
        </span>
      </p>
      {each.reason !== undefined && (
        <p class="note text-warning">
          Lost at {each.lost_at}: {each.reason}
        </p>
      )}
      <p class="note">A real alert would tell {each.would_tell.length === 0 ? "nobody" : each.would_tell.join(", ")}.</p>
      {each.notes.map((note) => (
        <p key={note} class="note">
          {note}
        </p>
      ))}
      {each.state === "running" && each.alert_id !== undefined && (
        <p class="note">
          It waits for a person: acknowledge its alert under <A to="/alerts">Alerts</A>, or from the message.
        </p>
      )}
      <h4>Hops</h4>
      <ol class="timeline hops">
        {steps(each).map((step) => (
          <li key={step.hop} class={`hop-${step.state}`}>
            <time>{step.at === null ? "–" : clockMs(step.at)}</time>
            <b>{step.hop}</b> <span class="faint">{step.state === "done" ? step.took : step.state === "waits" ? "waited for" : step.state === "lost" ? "did not happen" : "not reported"}</span>
            <p>
              {step.words}
              {step.detail !== "" && <>: {step.detail}</>}
            </p>
          </li>
        ))}
      </ol>
    </DetailPane>
  );
}

const rules = resource(async () => (await call<Page<Rule>>("GET", "/api/v1/rules?limit=1000")).data);
const channels = resource(async () => (await call<Page<{ name: string }>>("GET", "/api/v1/channels?limit=1000")).data);

function Form({ close }: { close: () => void }) {
  useFresh(rules.reload);
  useFresh(channels.reload);
  const [rule, setRule] = useState("");
  const [agent, setAgent] = useState("");
  const [told, setTold] = useState("");
  const [person, setPerson] = useState(true);
  const connected = agents.value.filter((each) => each.connected);
  const known = rules.data.value ?? [];

  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    try {
      const begun = await drill({
        rule: rule === "" ? (known[0]?.id ?? "") : rule,
        from_hub: agent === "@hub",
        page: told === "@page",
        acknowledge: person,
        ...(agent === "" || agent === "@hub" ? {} : { agent }),
        ...(told === "" || told === "@page" ? {} : { channels: [told] }),
      });
      say(`The drill of ${begun.target} has begun`);
      await list.reload();
      chosen.value = begun.id;
      close();
    } catch (error) {
      complain(error);
    }
  };

  return (
    <Dialog title="Begin a fire drill" close={close}>
      <form onSubmit={(event) => void submit(event)}>
        <p class="dialog-lead">The message says that it is a drill. Windows and real alerts do not notice it.</p>
        <Field label="Rule">
          {(ids) => (
            <select {...ids} value={rule === "" ? (known[0]?.id ?? "") : rule} onChange={(event) => setRule(event.currentTarget.value)}>
              {known.map((each) => (
                <option key={each.id} value={each.id}>
                  {each.name}
                </option>
              ))}
            </select>
          )}
        </Field>
        <Field label="Agent" hint={connected.length === 0 ? "No agent is connected; the event can begin in the hub." : "Who makes the event"}>
          {(ids) => (
            <select {...ids} value={agent} onChange={(event) => setAgent(event.currentTarget.value)}>
              <option value="">any that is connected</option>
              {connected.map((each) => (
                <option key={each.id} value={each.id}>
                  {each.name}
                </option>
              ))}
              <option value="@hub">none: from the hub</option>
            </select>
          )}
        </Field>
        <Field label="Tell">
          {(ids) => (
            <select {...ids} value={told} onChange={(event) => setTold(event.currentTarget.value)}>
              <option value="">the channels for drills</option>
              {(channels.data.value ?? []).map((each) => (
                <option key={each.name} value={each.name}>
                  {each.name}
                </option>
              ))}
              <option value="@page">page whom the real alert would tell</option>
            </select>
          )}
        </Field>
        <label class="check">
          <input type="checkbox" checked={person} onChange={(event) => setPerson(event.currentTarget.checked)} />
          <span>A person has to acknowledge</span>
        </label>
        <DialogFoot close={close} action="Begin" disabled={known.length === 0} />
      </form>
    </Dialog>
  );
}
