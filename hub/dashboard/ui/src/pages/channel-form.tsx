/** Makes and changes a channel: its plugin's settings, and when, how often and in which words it tells. */

import { useState } from "preact/hooks";
import { type ApiError, call, type FieldError } from "../api/client";
import { plugins as fetchPlugins } from "../api/plugins";
import type { Channel, Level } from "../api/types";
import { resource, useFresh } from "../lib/resource";
import { Choice, LEVELS } from "../parts/choice";
import { Dialog } from "../parts/dialog";
import { Field, Mistakes } from "../parts/field";
import { FormFoot } from "../parts/form-foot";
import { refused } from "../parts/submit";
import { reason, say } from "../parts/toast";
import { readSettings, settingFields, settingTexts } from "./channel-setting";
import { Setting } from "./channel-setting-input";

const plugins = resource(async () => (await fetchPlugins()).filter((plugin) => plugin.kind === "channel"));

interface ChannelFormProps {
  /** What is changed; null for a new one. */
  channel: Channel | null;
  close: () => void;
  saved: () => void;
}

export function ChannelForm({ channel, close, saved }: ChannelFormProps) {
  const [name, setName] = useState(channel?.name ?? "");
  const [plugin, setPlugin] = useState(channel?.plugin ?? "webhook");
  const [level, setLevel] = useState<Level>(channel?.level ?? "info");
  const [enabled, setEnabled] = useState(channel?.enabled ?? true);
  const [texts, setTexts] = useState<Record<string, string>>(() => settingTexts(channel?.config ?? {}));
  const [rate, setRate] = useState(String(channel?.rate_per_minute ?? ""));
  const [hours, setHours] = useState(channel?.active_hours ? JSON.stringify(channel.active_hours, null, 1) : "");
  const [title, setTitle] = useState(channel?.title_template ?? "");
  const [body, setBody] = useState(channel?.body_template ?? "");
  const [failure, setFailure] = useState<ApiError | null>(null);
  const [hoursWrong, setHoursWrong] = useState<FieldError[]>([]);
  const [busy, setBusy] = useState(false);
  useFresh(plugins.reload);

  const all = plugins.data.value ?? [];
  const names = [...new Set(["webhook", plugin, ...all.map((each) => each.name)])].sort();
  const chosen = all.find((each) => each.name === plugin);
  const fields = settingFields(chosen?.config_schema);
  const wrong = (field: string) => (failure?.mistakes ?? []).filter((error) => error.field === field || error.field.startsWith(`${field}.`));
  // A refusal of the settings as a whole stands at the foot of the form.
  const wrongSettings = (failure?.fields ?? []).filter((error) => error.field.startsWith("config"));
  const more = rate !== "" || hours !== "" || title !== "" || body !== "";

  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    let active_hours: unknown = null;
    try {
      if (hours.trim() !== "") active_hours = JSON.parse(hours);
      setHoursWrong([]);
    } catch (error) {
      setHoursWrong([{ field: "active_hours", reason: `this is no JSON: ${(error as Error).message}` }]);
      return;
    }
    // What the form does not show, because the plugin's schema is not known or does not name it, stays as it was.
    const kept = channel?.plugin === plugin ? Object.entries(channel.config).filter(([key]) => !fields.some((field) => field.key === key)) : [];
    const config = { ...Object.fromEntries(kept), ...readSettings(fields, texts) };
    const draft = {
      name,
      plugin,
      config,
      level,
      enabled,
      active_hours,
      rate_per_minute: rate.trim() === "" ? null : Number(rate),
      title_template: title.trim() === "" ? null : title,
      body_template: body.trim() === "" ? null : body,
    };
    setBusy(true);
    try {
      await (channel === null ? call("POST", "/api/v1/channels", draft) : call("PUT", `/api/v1/channels/${encodeURIComponent(channel.name)}`, draft));
      say(channel === null ? `Created: ${name}` : `Saved: ${name}`);
      saved();
    } catch (error) {
      setBusy(false);
      refused(error, setFailure);
    }
  };

  return (
    <Dialog title={channel === null ? "New channel" : `Edit ${channel.name}`} close={close}>
      <form onSubmit={(event) => void submit(event)} noValidate>
        <div class="form-grid">
          <Field label="Name" errors={wrong("name")} class="span-6" {...(channel === null ? {} : { hint: "a name cannot be changed" })}>
            {(ids) => <input {...ids} value={name} autofocus={channel === null} disabled={channel !== null} onInput={(e) => setName(e.currentTarget.value)} />}
          </Field>
          <Field label="Plugin" errors={wrong("plugin")} class="span-3">
            {(ids) => (
              <Choice
                {...ids}
                of={names}
                value={plugin}
                change={(other) => {
                  setPlugin(other);
                  setTexts(other === channel?.plugin ? settingTexts(channel.config) : {});
                }}
              />
            )}
          </Field>
          <Field label="From level" errors={wrong("level")} class="span-3">
            {(ids) => <Choice {...ids} of={LEVELS} value={level} change={setLevel} />}
          </Field>
          <fieldset class="field span-6">
            <legend>Settings</legend>
            {chosen !== undefined && chosen.description !== "" && <p class="field-note">{chosen.description}</p>}
            {fields.map((field) => (
              <Field key={`${plugin}.${field.key}`} label={field.required ? field.title : `${field.title} (optional)`} hint={field.hint} errors={wrong(`config.${field.key}`)}>
                {(ids) => <Setting field={field} ids={ids} text={texts[field.key] ?? ""} change={(text) => setTexts({ ...texts, [field.key]: text })} />}
              </Field>
            ))}
            <Mistakes errors={wrongSettings} />
          </fieldset>
          <label class="check span-6">
            <input type="checkbox" checked={enabled} onChange={(e) => setEnabled(e.currentTarget.checked)} />
            <span>Enabled</span>
          </label>
          <details class="unfold span-6" open={more}>
            <summary>When, how often, in which words</summary>
            <div class="form-grid">
              <Field label="Notifications a minute, at most" hint="1 to 6000; without end when empty" errors={wrong("rate_per_minute")} class="span-6">
                {(ids) => <input {...ids} type="number" min={1} max={6000} value={rate} onInput={(e) => setRate(e.currentTarget.value)} />}
              </Field>
              <Field label="Active hours" hint={'{"time_zone": "Europe/Vienna", "spans": [{"days": ["mon"], "from": "08:00", "to": "18:00"}]}; at other times notifications wait'} errors={[...hoursWrong, ...wrong("active_hours")]} class="span-6">
                {(ids) => <textarea {...ids} class="mono" rows={3} spellcheck={false} value={hours} onInput={(e) => setHours(e.currentTarget.value)} />}
              </Field>
              <Field label="Template of the title" hint="the hub's own words when empty" errors={wrong("title_template")} class="span-6">
                {(ids) => <input {...ids} class="mono" spellcheck={false} value={title} onInput={(e) => setTitle(e.currentTarget.value)} />}
              </Field>
              <Field label="Template of the text" errors={wrong("body_template")} class="span-6">
                {(ids) => <textarea {...ids} class="mono" rows={3} spellcheck={false} value={body} onInput={(e) => setBody(e.currentTarget.value)} />}
              </Field>
            </div>
          </details>
        </div>
        <FormFoot form={{ busy, failure }} words={reason} close={close} action={channel === null ? "Create channel" : "Save"} />
      </form>
    </Dialog>
  );
}
