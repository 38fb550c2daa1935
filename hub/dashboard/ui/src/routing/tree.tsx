/** The routing tree and the rules of inhibition, and where an alert would go by them. */

import { useState } from "preact/hooks";
import { type Route, saveRouting, type Way, ways } from "../api/routing";
import { mayEdit } from "../api/session";
import type { Level } from "../api/types";
import { dateTime } from "../lib/format";
import { Choice, LEVELS } from "../parts/choice";
import { DocumentForm } from "../parts/document-form";
import { Icon } from "../parts/icons";
import { Fetched } from "../parts/states";
import { reason, say } from "../parts/toast";
import { tree } from "./known";
import { editableRouting, inhibitionText, labelsOf, says, takes } from "./view";

export function Tree() {
  const [editing, setEditing] = useState(false);
  const routing = tree.data.value;
  return (
    <section class="panel" aria-label="Routing" data-testid="tree">
      <header class="panel-head page-head">
        <h2>Routes</h2>
        <p class="lead grow">
          Where alerts go whose rule names no channels.
          {routing?.provisioned !== undefined && <span class="badge">kept in {routing.provisioned}</span>}
        </p>
        {mayEdit() && routing !== null && routing.provisioned === undefined && (
          <button type="button" onClick={() => setEditing(true)}>
            <Icon name="edit" />
            Edit<span class="sr-only"> the routing</span>
          </button>
        )}
      </header>
      <Fetched of={tree} rows={2}>
        {({ route, inhibit, version, updated_at }) => (
          <div class="section-body">
            <ul class="tree">
              <Node route={route} root />
            </ul>
            {inhibit.length > 0 && (
              <>
                <h4>Inhibition</h4>
                <ul>
                  {inhibit.map((rule, i) => (
                    <li key={i} class="wrap">
                      {inhibitionText(rule)}
                    </li>
                  ))}
                </ul>
              </>
            )}
            <Try />
            {version > 0 && <p class="faint">Changed {dateTime(updated_at)}, version {version}.</p>}
          </div>
        )}
      </Fetched>
      {editing && routing !== null && (
        <DocumentForm
          title="Edit the routing"
          hint="A route takes what it leaves out from the one above; the first that matches takes the alert. Channels are names, or oncall:SCHEDULE."
          value={editableRouting(routing)}
          action="Save"
          close={() => setEditing(false)}
          save={async (value) => {
            await saveRouting(value);
            say("Saved: the routing");
            await tree.reload();
          }}
        />
      )}
    </section>
  );
}

function Node({ route, root = false }: { route: Route; root?: boolean }) {
  const own = says(route);
  return (
    <li>
      <p class="wrap">
        <code>{takes(route, root)}</code> <span class={own.length === 0 ? "faint" : ""}>{own.length === 0 ? (root ? "tells nobody" : "as above") : own.join(", ")}</span>
      </p>
      {route.routes.length > 0 && (
        <ul>
          {route.routes.map((each, i) => (
            <Node key={i} route={each} />
          ))}
        </ul>
      )}
    </li>
  );
}

/** Where an alert would go that may never have been. */
function Try() {
  const [text, setText] = useState("");
  const [level, setLevel] = useState<Level>("critical");
  const [found, setFound] = useState<Way[] | null>(null);
  const [wrong, setWrong] = useState("");
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const labels = labelsOf(text);
    if (labels === null) {
      setWrong("Write labels as name=value, with spaces between them.");
      return;
    }
    try {
      setFound(await ways({ level, ...labels }, level));
      setWrong("");
    } catch (error) {
      setWrong(reason(error));
    }
  };
  return (
    <form class="try" onSubmit={(event) => void submit(event)}>
      <h4>Where would an alert go?</h4>
      <div class="try-row">
        <input class="mono" aria-label="Labels of the alert" placeholder="alertname=errors source=web-1" value={text} autocapitalize="none" spellcheck={false} onInput={(e) => setText(e.currentTarget.value)} />
        <Choice aria-label="Level of the alert" of={LEVELS} value={level} change={setLevel} />
        <button type="submit">Look</button>
      </div>
      <div aria-live="polite" data-testid="ways">
        {wrong !== "" && <p class="field-error">{wrong}</p>}
        {wrong === "" &&
          found?.map((way, i) => (
            <p key={i} class="wrap">
              <code>{way.route === "" ? "the root" : way.route}</code>{" "}
              <b>{way.tells.length === 0 ? "nobody is told" : `tells ${way.tells.join(", ")}`}</b>
              {way.escalation !== null && `, escalates by ${way.escalation}`}
              <span class="faint">
                , first after {way.group_wait}, news every {way.group_interval}, again every {way.repeat_interval}
              </span>
            </p>
          ))}
      </div>
    </form>
  );
}
