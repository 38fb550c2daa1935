/** Channels: where notifications go, and whether they arrive. */

import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { all, call } from "../api/client";
import { mayEdit } from "../api/session";
import type { Channel } from "../api/types";
import { every } from "../lib/looking";
import { resource, useFresh } from "../lib/resource";
import { LevelBadge } from "../parts/badge";
import { Confirm } from "../parts/confirm";
import { IconButton } from "../parts/icon-button";
import { Icon } from "../parts/icons";
import { Empty, Fetched } from "../parts/states";
import { complain, say } from "../parts/toast";
import { ChannelForm } from "./channel-form";
import { healthText } from "./channel-health";

/** Breakers open and close, and what waits gets less, by themselves. */
const LOOK_MS = 5_000;

const channels = resource(() => all<Channel>("/api/v1/channels"));
const editing = signal<Channel | "new" | null>(null);
const removing = signal<Channel | null>(null);
const testing = signal<string | null>(null);

const path = (channel: Channel): string => `/api/v1/channels/${encodeURIComponent(channel.name)}`;

async function test(channel: Channel): Promise<void> {
  testing.value = channel.name;
  try {
    const answer = await call<{ data?: { state?: string; error?: string | null } }>("POST", `${path(channel)}/test`);
    if (answer.data?.state === "failed" || typeof answer.data?.error === "string") complain(new Error(`${channel.name}: ${answer.data.error ?? "the test message was not delivered"}`));
    else say(`${channel.name}: the test message was delivered`);
  } catch (error) {
    complain(error);
  } finally {
    testing.value = null;
  }
}

/** What waits for the channel was named in the question, and is given up. */
async function remove(channel: Channel): Promise<void> {
  await call("DELETE", `${path(channel)}?force=${channel.health.waiting > 0}`);
  say(`Deleted: ${channel.name}`);
  await channels.reload();
}

export function ChannelsPage() {
  useFresh(channels.reload);
  useEffect(() => every(LOOK_MS, channels.reload), []);
  const goes = removing.value;
  return (
    <section class="panel page" aria-label="Channels">
      <header class="panel-head page-head">
        <p class="lead">Where alerts are told. Each channel is a plugin with its settings.</p>
        {mayEdit() && (
          <button type="button" class="primary" onClick={() => (editing.value = "new")}>
            <Icon name="plus" />
            New channel
          </button>
        )}
      </header>
      <Fetched of={channels}>{(list) => <Body list={list} />}</Fetched>
      {editing.value !== null && (
        <ChannelForm
          channel={editing.value === "new" ? null : editing.value}
          close={() => (editing.value = null)}
          saved={() => {
            editing.value = null;
            void channels.reload();
          }}
        />
      )}
      {goes !== null && (
        <Confirm title="Delete channel" action="Delete" danger close={() => (removing.value = null)} run={() => remove(goes)}>
          <p>
            Delete <b>{goes.name}</b>? Nothing is told there any more.
            {goes.health.waiting > 0 && ` ${goes.health.waiting} ${goes.health.waiting === 1 ? "notification waits and is" : "notifications wait and are"} given up.`}
          </p>
        </Confirm>
      )}
    </section>
  );
}

function Body({ list }: { list: Channel[] }) {
  if (list.length === 0) return <Empty icon="channels" title="No channels yet">Add one, and name it in a rule or in the routing tree.</Empty>;
  return (
    <div class="table-box" tabIndex={0}>
      <table class="table stack">
        <thead>
          <tr>
            <th>Channel</th>
            <th>Plugin</th>
            <th>Settings</th>
            <th>From level</th>
            <th>State</th>
            <th>
              <span class="sr-only">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {list.map((channel) => (
            <tr key={channel.name} class={channel.enabled ? "" : "disabled"}>
              <td>
                <b>{channel.name}</b>
                {channel.provisioned !== undefined && (
                  <span class="badge" title={`Kept in ${channel.provisioned}; change it there`}>
                    file
                  </span>
                )}
              </td>
              <td data-label="Plugin">{channel.plugin}</td>
              <td class="mono" data-label="Settings">
                {Object.entries(channel.config).map(([key, setting]) => (
                  <small key={key} class="clip">
                    {key} = {typeof setting === "string" ? setting : JSON.stringify(setting)}
                  </small>
                ))}
              </td>
              <td data-label="From level">
                <LevelBadge level={channel.level} />
              </td>
              <td data-label="State">
                <Health channel={channel} />
              </td>
              <td class="row-actions">
                {mayEdit() && (
                  <>
                    <button type="button" class="small" disabled={testing.value !== null} onClick={() => void test(channel)}>
                      {testing.value === channel.name ? "Sending…" : "Send test"}
                    </button>
                    {channel.provisioned === undefined && (
                      <>
                        <IconButton icon="edit" label={`Edit ${channel.name}`} title="Edit" onClick={() => (editing.value = channel)} />
                        <IconButton icon="trash" label={`Delete ${channel.name}`} title="Delete" onClick={() => (removing.value = channel)} />
                      </>
                    )}
                  </>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** Whether a channel takes what it is sent. */
function Health({ channel }: { channel: Channel }) {
  const { state, words, notes } = healthText(channel);
  return (
    <>
      <span class={`badge breaker-${state}`} data-breaker={channel.health.breaker}>
        {words}
      </span>
      {notes.map((note) => (
        <small key={note}>{note}</small>
      ))}
    </>
  );
}
