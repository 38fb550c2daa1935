/** Silences: which there are, when each ends, whom it means; ended, prolonged and made here. */

import { computed, signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { mayEdit } from "../api/session";
import { change, expire, type Silence, silences } from "../api/silences";
import { doer } from "../lib/format";
import { every } from "../lib/looking";
import { resource, useFresh } from "../lib/resource";
import { at } from "../live/store";
import { LevelBadge } from "../parts/badge";
import { Confirm } from "../parts/confirm";
import { Icon } from "../parts/icons";
import { Search } from "../parts/search";
import { Empty, Fetched } from "../parts/states";
import { complain, say } from "../parts/toast";
import { SilenceEditor } from "./editor";
import { counts, matcherText, shownSilences, VIEWS, type View, whenText } from "./view";

const HOUR = 3_600_000;
const LISTED = 5;
/** They begin and end by themselves. */
const LOOK_MS = 10_000;

const list = resource(silences);
const view = signal<View>("active");
const text = signal("");
const ending = signal<Silence | null>(null);
const writing = signal<Silence | "new" | null>(null);
const shown = computed(() => shownSilences(list.data.value ?? [], view.value, text.value));
const numbers = computed(() => counts(list.data.value ?? []));

async function prolong(silence: Silence): Promise<void> {
  const { id, matchers, starts_at, ends_at, comment } = silence;
  try {
    await change(id, { matchers, starts_at: Date.parse(starts_at), ends_at: Date.parse(ends_at) + HOUR, comment });
    say("Prolonged by an hour");
    await list.reload();
  } catch (error) {
    complain(error);
  }
}

export function SilencesPage() {
  useFresh(list.reload);
  useEffect(() => every(LOOK_MS, list.reload), []);
  const ends = ending.value;
  return (
    <section class="panel page" aria-label="Silences">
      <header class="panel-head page-head">
        <div class="tabs" role="group" aria-label="Which silences">
          {VIEWS.map((each) => (
            <button key={each} type="button" aria-pressed={view.value === each} onClick={() => (view.value = each)}>
              {each} <span class="tab-count">{list.data.value === null ? "" : numbers.value[each]}</span>
            </button>
          ))}
        </div>
        <Search text={text} what="silences" hint="Filter by label, comment or person" />
        {mayEdit() && (
          <button type="button" class="primary" onClick={() => (writing.value = "new")}>
            <Icon name="plus" />
            New silence
          </button>
        )}
      </header>
      <Fetched of={list}>{() => <Body />}</Fetched>
      {ends !== null && (
        <Confirm
          title="End silence"
          action="End it now"
          danger
          close={() => (ending.value = null)}
          run={async () => {
            await expire(ends.id);
            say("The silence is over");
            await list.reload();
          }}
        >
          <p>
            End the silence of <b>{ends.matchers.map(matcherText).join(", ")}</b>?{" "}
            {ends.alerts.length === 0 ? "No open alert is silenced by it." : `${ends.alerts.length} open ${ends.alerts.length === 1 ? "alert is" : "alerts are"} told of again.`}
          </p>
        </Confirm>
      )}
      {writing.value !== null && (
        <SilenceEditor
          silence={writing.value === "new" ? null : writing.value}
          close={() => (writing.value = null)}
          saved={(made) => {
            writing.value = null;
            view.value = made.state;
            void list.reload();
          }}
        />
      )}
    </section>
  );
}

function Body() {
  if (shown.value.length === 0) {
    return (
      <Empty icon="silences" title={text.value !== "" ? "No silence matches" : view.value === "all" ? "No silences yet" : `No ${view.value} silence`}>
        {text.value === "" && "A silence keeps alerts from being told for a time; they fire all the same. Recurring ones are maintenance windows, under Routing."}
      </Empty>
    );
  }
  return (
    <ul class="cards" data-testid="silences">
      {shown.value.map((silence) => (
        <Item key={silence.id} silence={silence} />
      ))}
    </ul>
  );
}

function Item({ silence }: { silence: Silence }) {
  const { id, matchers, state, comment, created_by, alerts } = silence;
  return (
    <li class={`item ${state === "active" ? "edge-warning" : state === "pending" ? "edge-info" : ""}`} data-silence={id}>
      <div class="item-what">
        <p class="alert-meta">
          <span class={`badge silence-${state}`}>{state}</span>
          <span>{whenText(silence, at.value)}</span>
          <span>by {doer(created_by)}</span>
        </p>
        <p class="labels">
          {matchers.map((matcher) => (
            <code key={matcherText(matcher)} class="label">
              {matcherText(matcher)}
            </code>
          ))}
        </p>
        {comment !== "" && <p class="wrap">{comment}</p>}
        {state !== "expired" && (
          <p class="faint">
            {alerts.length === 0 ? "It means no open alert." : `It means ${alerts.length} open ${alerts.length === 1 ? "alert" : "alerts"}:`}{" "}
            {alerts.slice(0, LISTED).map((each) => (
              <span key={each.id} class="wrap">
                <LevelBadge level={each.level} /> {each.title}{" "}
              </span>
            ))}
            {alerts.length > LISTED && `and ${alerts.length - LISTED} more`}
          </p>
        )}
      </div>
      {mayEdit() && (
        <div class="item-actions">
          {state !== "expired" && (
            <>
              <button type="button" class="small" onClick={() => void prolong(silence)}>
                One hour more
              </button>
              <button type="button" class="small" onClick={() => (writing.value = silence)}>
                Change
              </button>
              <button type="button" class="small" onClick={() => (ending.value = silence)}>
                End
              </button>
            </>
          )}
          {state === "expired" && (
            <button type="button" class="small" onClick={() => (writing.value = silence)}>
              Silence again
            </button>
          )}
        </div>
      )}
    </li>
  );
}
