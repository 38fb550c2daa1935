/** What an administrator does with a plugin, each after a question that says what it means. */

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { act, type Act, remove } from "../api/plugins";
import { isAdmin } from "../api/session";
import type { Plugin } from "../api/types";
import { Confirm } from "../parts/confirm";
import { Icon } from "../parts/icons";
import { say } from "../parts/toast";
import { Rights } from "./rights";
import { type Entry, isShipped, rightsOf, rightText, type Uses, usesText } from "./view";

interface Question {
  title: string;
  action: string;
  danger?: boolean;
  text: ComponentChildren;
  run: () => Promise<void>;
}

interface ActionsProps {
  entry: Entry;
  uses: Uses;
  changed: () => Promise<void>;
  close: () => void;
}

export function Actions({ entry: { name, plugin }, uses, changed, close }: ActionsProps) {
  const [asked, ask] = useState<Question | null>(null);
  const used = usesText(uses, 10);
  const does = (what: Act, done: string) => async () => {
    await act(name, what);
    say(done);
    await changed();
  };
  const questions: Record<string, Question> = {
    enable: { title: "Enable plugin", action: "Enable", text: <p>Enable {name}? Its rules go on from where they stopped.</p>, run: does("enable", `Enabled: ${name}`) },
    release: {
      title: "Release from quarantine",
      action: "Release",
      text: (
        <>
          <p>
            Release {name} {plugin.version}? It goes on from where it was, with the same code: when it fails five times within a minute it is back in quarantine.
          </p>
          {plugin.previous_version !== null && <p>Rollback goes back to version {plugin.previous_version} instead.</p>}
        </>
      ),
      run: does("enable", `Released: ${name}`),
    },
    disable: {
      title: "Disable plugin",
      action: "Disable",
      danger: true,
      text: (
        <p>
          Disable {name}? {used === "" ? "Nobody uses it." : <>It is used by {used}.</>} Its rules wait where they are, its channels try again later.
        </p>
      ),
      run: does("disable", `Disabled: ${name}`),
    },
    rollback: {
      title: "Roll back",
      action: `Back to ${plugin.previous_version ?? ""}`,
      text: (
        <p>
          Go from version {plugin.version} of {name} back to {plugin.previous_version}? It takes over between two batches of events; once more comes back to {plugin.version}.
        </p>
      ),
      run: does("rollback", `Rolled back: ${name} ${plugin.previous_version ?? ""}`),
    },
    promote: {
      title: "Promote the shadow",
      action: `Promote ${plugin.shadow_version ?? ""}`,
      text: (
        <p>
          Let version {plugin.shadow_version} of {name} take over from {plugin.version}? State of rules goes over; rollback comes back.
        </p>
      ),
      run: does("promote", `Promoted: ${name} ${plugin.shadow_version ?? ""}`),
    },
    discard: {
      title: "Discard the shadow",
      action: "Discard",
      danger: true,
      text: (
        <p>
          End version {plugin.shadow_version} of {name}, with the comparison so far? Version {plugin.version} goes on.
        </p>
      ),
      run: does("discard", `Discarded: the shadow of ${name}`),
    },
    remove: {
      title: "Remove plugin",
      action: "Remove",
      danger: true,
      text: (
        <p>
          Remove {name} with all its versions? {used === "" ? "Nobody uses it." : <>It is used by {used}: they do nothing any more until a plugin of this name is installed.</>}
        </p>
      ),
      run: async () => {
        // Who uses it was named in the question; whoever has come since is named by the hub's refusal.
        await remove(name, used !== "");
        say(`Removed: ${name}`);
        close();
        await changed();
      },
    },
  };
  const own = !isShipped(plugin);
  const loaded = plugin.state === "active" || plugin.state === "quarantined" || plugin.state === "disabled";
  const offered = [
    plugin.state === "quarantined" && "release",
    plugin.state === "disabled" && "enable",
    plugin.shadow_version !== null && "promote",
    plugin.shadow_version !== null && "discard",
    loaded && own && plugin.previous_version !== null && "rollback",
    (plugin.state === "active" || plugin.state === "quarantined") && "disable",
    (loaded || plugin.state === "awaiting_approval") && own && "remove",
  ].filter((each): each is string => typeof each === "string");
  if (offered.length === 0) return null;
  return (
    <>
      <div class="actions" data-testid="plugin-actions">
        {offered.map((key, i) => (
          <button key={key} type="button" class={i === 0 && (key === "release" || key === "enable" || key === "promote") ? "primary" : ""} onClick={() => ask(questions[key] ?? null)}>
            {WORDS[key]}
          </button>
        ))}
      </div>
      {asked !== null && (
        <Confirm title={asked.title} action={asked.action} danger={asked.danger ?? false} close={() => ask(null)} run={asked.run}>
          {asked.text}
        </Confirm>
      )}
    </>
  );
}

const WORDS: Record<string, string> = {
  release: "Release from quarantine",
  enable: "Enable",
  promote: "Promote the shadow",
  discard: "Discard the shadow",
  rollback: "Roll back",
  disable: "Disable",
  remove: "Remove",
};

const ASKED = { granted: "approved before", new: "new", unused: "not asked for any more" };

/** What a version that waits asks for, beside what was approved. */
export function Approve({ waiting, running, changed }: { waiting: Plugin; running: Plugin | null; changed: () => Promise<void> }) {
  const [asking, setAsking] = useState(false);
  const rights = rightsOf(waiting);
  const fresh = rights.filter(({ state }) => state === "new");
  return (
    <section class="approve" aria-label="Approval" data-testid="approve">
      <p>
        <b>Version {waiting.version} waits for approval.</b> {running === null ? "Nothing of this name runs." : `Version ${running.version} goes on until then.`}
      </p>
      {rights.length === 0 ? <p class="faint">It asks for no rights: it can compute and log, and nothing else.</p> : <Rights rights={rights} fresh="plus" words={ASKED} />}
      {isAdmin() ? (
        <button type="button" class="primary" onClick={() => setAsking(true)}>
          Approve
        </button>
      ) : (
        <p class="faint">An administrator can approve it.</p>
      )}
      {asking && (
        <Confirm
          title="Approve plugin"
          action="Approve"
          close={() => setAsking(false)}
          run={async () => {
            const done = await act(waiting.name, "approve");
            say(`Approved: ${done.name} ${done.version}`);
            await changed();
          }}
        >
          <p>
            Let {waiting.name} {waiting.version} run{running === null ? "" : ` in place of ${running.version}`}?{" "}
            {fresh.length === 0 ? "It asks for no rights that were not approved before." : `It gets ${fresh.length === 1 ? "a new right" : `${fresh.length} new rights`}:`}
          </p>
          {fresh.length > 0 && (
            <ul class="rights">
              {fresh.map(({ right }) => (
                <li key={right} class="right-new">
                  <Icon name="plus" />
                  <span>{rightText(right)}</span>
                </li>
              ))}
            </ul>
          )}
        </Confirm>
      )}
    </section>
  );
}
