/** Channels: where notifications go, and whether they arrive. */

import { signal } from "@preact/signals";
import { useState } from "preact/hooks";
import { ApiError, call } from "../api/client";
import { mayEdit } from "../api/session";
import type { Channel, Level, Page, Plugin } from "../api/types";
import { dateTime } from "../lib/format";
import { resource, useFresh } from "../lib/resource";
import { LevelBadge } from "../parts/badge";
import { Dialog } from "../parts/dialog";
import { Field } from "../parts/field";
import { Icon } from "../parts/icons";
import { Empty, Failure, Loading } from "../parts/states";
import { complain, reason, say } from "../parts/toast";
import { readSettings, settingFields, type SettingField } from "./channel-setting";

const LEVELS: Level[] = ["info", "warning", "error", "critical"];

const channels = resource(async () => (await call<Page<Channel>>("GET", "/api/v1/channels?limit=500")).data);
const plugins = resource(async () => (await call<Page<Plugin>>("GET", "/api/v1/plugins")).data.filter((plugin) => plugin.kind === "channel"));
const adding = signal(false);
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

async function remove(channel: Channel): Promise<void> {
  // A refusal (it is in use) is a note, which an open dialog would cover.
  removing.value = null;
  try {
    await call("DELETE", path(channel));
    say(`Deleted: ${channel.name}`);
    await channels.reload();
  } catch (error) {
    complain(error);
  }
}

export function ChannelsPage() {
  useFresh(channels.reload);
  return (
    <section class="panel page" aria-label="Channels">
      <header class="panel-head page-head">
        <p class="lead">Where alerts are told. Each channel is a plugin with its settings.</p>
        {mayEdit() && (
          <button type="button" class="primary" onClick={() => (adding.value = true)}>
            <Icon name="plus" />
            New channel
          </button>
        )}
      </header>
      <Body />
      {adding.value && (
        <ChannelForm
          close={() => (adding.value = false)}
          saved={() => {
            adding.value = false;
            void channels.reload();
          }}
        />
      )}
      {removing.value !== null && (
        <Dialog title="Delete channel" close={() => (removing.value = null)}>
          <p class="dialog-lead">
            Delete <b>{removing.value.name}</b>? Nothing is told there any more.
          </p>
          <div class="dialog-foot">
            <button type="button" onClick={() => (removing.value = null)}>
              Keep it
            </button>
            <button type="button" class="danger" onClick={() => removing.value !== null && void remove(removing.value)}>
              Delete
            </button>
          </div>
        </Dialog>
      )}
    </section>
  );
}

function Body() {
  const list = channels.data.value;
  if (list === null) return channels.error.value === null ? <Loading /> : <Failure error={channels.error.value} retry={() => void channels.reload()} />;
  if (list.length === 0) return <Empty icon="channels" title="No channels yet">Add one, and name it in a rule or in the routing tree.</Empty>;
  return (
    <div class="table-box" tabIndex={0}>
      <table class="table">
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
              </td>
              <td>{channel.plugin}</td>
              <td class="mono">
                {Object.entries(channel.config).map(([key, setting]) => (
                  <small key={key} class="clip">
                    {key} = {typeof setting === "string" ? setting : JSON.stringify(setting)}
                  </small>
                ))}
              </td>
              <td>
                <LevelBadge level={channel.level} />
              </td>
              <td>
                {channel.enabled ? <Health channel={channel} /> : <span class="faint">disabled</span>}
              </td>
              <td class="row-actions">
                {mayEdit() && (
                  <>
                    <button type="button" class="small" disabled={testing.value !== null} onClick={() => void test(channel)}>
                      {testing.value === channel.name ? "Sending…" : "Send test"}
                    </button>
                    <button type="button" class="ghost square" aria-label={`Delete ${channel.name}`} title="Delete" onClick={() => (removing.value = channel)}>
                      <Icon name="trash" />
                    </button>
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

function ChannelForm({ close, saved }: { close: () => void; saved: () => void }) {
  const [name, setName] = useState("");
  const [plugin, setPlugin] = useState("webhook");
  const [level, setLevel] = useState<Level>("info");
  const [texts, setTexts] = useState<Record<string, string>>({});
  const [failure, setFailure] = useState<ApiError | null>(null);
  const [busy, setBusy] = useState(false);
  useFresh(plugins.reload);

  const all = plugins.data.value ?? [];
  const names = [...new Set(["webhook", ...all.map((each) => each.name)])].sort();
  const chosen = all.find((each) => each.name === plugin);
  const fields = settingFields(chosen?.config_schema);
  const wrong = (field: string) => (failure?.fields ?? []).filter((error) => error.field === field || error.field.startsWith(`${field}.`));

  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    const config = readSettings(fields, texts);
    try {
      await call("POST", "/api/v1/channels", { name, plugin, config, level });
      say(`Created: ${name}`);
      saved();
    } catch (error) {
      setBusy(false);
      if (error instanceof ApiError && error.status >= 400 && error.status < 500) setFailure(error);
      else complain(error);
    }
  };

  return (
    <Dialog title="New channel" close={close}>
      <form onSubmit={(event) => void submit(event)} noValidate>
        <div class="form-grid">
          <Field label="Name" errors={wrong("name")} class="span-6">
            {(ids) => <input {...ids} value={name} autofocus onInput={(e) => setName(e.currentTarget.value)} />}
          </Field>
          <Field label="Plugin" errors={wrong("plugin")} class="span-3">
            {(ids) => (
              <select
                {...ids}
                value={plugin}
                onChange={(e) => {
                  setPlugin(e.currentTarget.value);
                  setTexts({});
                }}
              >
                {names.map((each) => (
                  <option key={each}>{each}</option>
                ))}
              </select>
            )}
          </Field>
          <Field label="From level" errors={wrong("level")} class="span-3">
            {(ids) => (
              <select {...ids} value={level} onChange={(e) => setLevel(e.currentTarget.value as Level)}>
                {LEVELS.map((each) => (
                  <option key={each}>{each}</option>
                ))}
              </select>
            )}
          </Field>
          <fieldset class="field span-6">
            <legend>Settings</legend>
            {chosen !== undefined && chosen.description !== "" && <p class="field-note">{chosen.description}</p>}
            {fields.map((field) => (
              <Field key={`${plugin}.${field.key}`} label={field.required ? field.title : `${field.title} (optional)`} hint={field.hint} errors={wrong(`config.${field.key}`)}>
                {(ids) => <Setting field={field} ids={ids} text={texts[field.key] ?? ""} change={(text) => setTexts({ ...texts, [field.key]: text })} />}
              </Field>
            ))}
            {wrong("config").map((error) => (
              <p key={error.field + error.reason} class="field-error">
                {error.field}: {error.reason}
              </p>
            ))}
          </fieldset>
        </div>
        <div class="dialog-foot">
          <div class="form-failure" role="alert">
            {failure !== null && (
              <p class="text-error">
                {reason(failure)}
                {failure.correlationId !== null && <small class="correlation">{failure.correlationId}</small>}
              </p>
            )}
          </div>
          <button type="button" onClick={close}>
            Cancel
          </button>
          <button type="submit" class="primary" disabled={busy}>
            Create channel
          </button>
        </div>
      </form>
    </Dialog>
  );
}

interface SettingProps {
  field: SettingField;
  ids: { id: string; "aria-describedby": string; "aria-invalid": boolean };
  text: string;
  change: (text: string) => void;
}

function Setting({ field: { key, kind, choices }, ids, text, change }: SettingProps) {
  const label = `Value of ${key}`;
  if (kind === "choice") {
    return (
      <select {...ids} aria-label={label} value={text} onChange={(e) => change(e.currentTarget.value)}>
        {["", ...choices].map((each) => (
          <option key={each}>{each}</option>
        ))}
      </select>
    );
  }
  const common = { ...ids, class: "mono", spellcheck: false, "aria-label": label, value: text, onInput: (e: InputEvent & { currentTarget: HTMLInputElement }) => change(e.currentTarget.value) };
  if (kind === "secret") return <input {...common} type="password" autocomplete="off" />;
  if (kind === "number") return <input {...common} type="number" step="any" />;
  return <input {...common} type="text" autocomplete="off" />;
}

/** Whether a channel takes what it is sent. */
function Health({ channel: { health } }: { channel: Channel }) {
  const waiting = health.waiting > 0 ? `, ${health.waiting} waiting` : "";
  if (health.breaker === "closed") return <>{health.failures > 0 ? `failing${waiting}` : `enabled${waiting}`}</>;
  const until = health.paused_until === null ? "" : ` until ${dateTime(health.paused_until)}`;
  return <span class="text-warning">{`paused after ${health.failures} failures${until}${waiting}`}</span>;
}
