/** Creates or changes a rule. What the hub finds wrong stands at the field that caused it. */

import { useState } from "preact/hooks";
import { type ApiError, call, type FieldError } from "../api/client";
import type { Channel, Page, Rule, RuleDraft } from "../api/types";
import { resource, useFresh } from "../lib/resource";
import { Choice, LEVELS } from "../parts/choice";
import { Dialog } from "../parts/dialog";
import { Field } from "../parts/field";
import { correct, FormFoot } from "../parts/form-foot";
import { refused } from "../parts/submit";
import { say } from "../parts/toast";
import { Backtest } from "./backtest";
import { asKind, KINDS, readWindow, sentence, words } from "./rule-draft";
import { KindFields } from "./rule-kinds";

const AGGREGATES = ["count()", "rate()", "sum(data.value)", "avg(data.value)", "min(data.value)", "max(data.value)", "p95(data.ms)", "p99(data.ms)", "distinct(user_id)"];
const SHOWN = new Set(["name", "kind", "pattern", "absence", "anomaly", "plugin", "config", "match", "aggregate", "window", "group_by", "condition", "threshold", "for", "evaluate", "level", "channels", "suppression_minutes"]);

const channels = resource(async () => (await call<Page<Channel>>("GET", "/api/v1/channels?limit=500")).data);

interface RuleFormProps {
  rule: Rule | null;
  draft: RuleDraft;
  close: () => void;
  saved: () => void;
  /** Shows the rule as JSON instead; only of one that is saved. */
  asText?: () => void;
}

export function RuleForm({ rule, draft: initial, close, saved, asText }: RuleFormProps) {
  const [draft, setDraft] = useState(initial);
  const [group, setGroup] = useState(initial.group_by.join(", "));
  const [failure, setFailure] = useState<ApiError | null>(null);
  const [busy, setBusy] = useState(false);
  const [trying, setTrying] = useState(false);
  useFresh(channels.reload);

  const set = <K extends keyof RuleDraft>(key: K, value: RuleDraft[K]): void => setDraft({ ...draft, [key]: value });
  const found = failure?.fields ?? [];
  const wrong = (field: string): FieldError[] => found.filter((error) => error.field.split(/[.[]/)[0] === field);
  const below = (field: string): FieldError[] => found.filter((error) => error.field === field || error.field.startsWith(`${field}.`) || error.field.startsWith(`${field}[`));
  const windows = draft.kind === "threshold" || draft.kind === "anomaly";
  const elsewhere = found.filter((error) => !SHOWN.has(error.field.split(/[.[]/)[0] ?? ""));

  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    try {
      if (rule === null) await call("POST", "/api/v1/rules", draft);
      else await call("PUT", `/api/v1/rules/${encodeURIComponent(rule.id)}`, draft);
      say(rule === null ? `Created: ${draft.name}` : `Saved: ${draft.name}`);
      saved();
    } catch (error) {
      setBusy(false);
      refused(error, setFailure);
    }
  };

  return (
    <Dialog title={rule === null ? "New rule" : "Edit rule"} close={close} wide>
      <form class="rule-form" onSubmit={(event) => void submit(event)} noValidate>
        <div class="form-grid">
          <Field label="Name" errors={wrong("name")} class="span-4">
            {(ids) => <input {...ids} value={draft.name} maxLength={128} autofocus={rule === null} onInput={(e) => set("name", e.currentTarget.value)} />}
          </Field>
          <Field label="Level" errors={wrong("level")} class="span-2">
            {(ids) => <Choice {...ids} of={LEVELS} value={draft.level} change={(level) => set("level", level)} />}
          </Field>
          <Field label="Kind" errors={wrong("kind")} class="span-4">
            {(ids) => (
              <Choice
                {...ids}
                of={KINDS.map(([value, name]) => ({ value, name }))}
                value={draft.kind}
                change={(kind) => {
                  const other = asKind(draft, kind);
                  setDraft(other);
                  setGroup(other.group_by.join(", "));
                  setFailure(null);
                }}
              />
            )}
          </Field>
          <Field label="Match" hint="CEL over type, source, severity, data, metadata, tags; true takes every event." errors={wrong("match")} class="span-6">
            {(ids) => <textarea {...ids} class="mono" rows={2} spellcheck={false} value={draft.match} onInput={(e) => set("match", e.currentTarget.value)} />}
          </Field>
          {windows && (
            <Field label="Aggregate" errors={wrong("aggregate")} class="span-2">
              {(ids) => (
                <>
                  <input {...ids} class="mono" list="aggregates" spellcheck={false} value={draft.aggregate} onInput={(e) => set("aggregate", e.currentTarget.value)} />
                  <datalist id="aggregates">
                    {AGGREGATES.map((each) => (
                      <option key={each} value={each} />
                    ))}
                  </datalist>
                </>
              )}
            </Field>
          )}
          {windows && (
            <Field label="Window" hint='5m, {"size":"5m","slide":"1m"}' errors={wrong("window")} class="span-2">
              {(ids) => <input {...ids} class="mono" value={typeof draft.window === "string" ? draft.window : JSON.stringify(draft.window)} onInput={(e) => set("window", readWindow(e.currentTarget.value))} />}
            </Field>
          )}
          {draft.kind !== "plugin" && (
            <Field label="Group by" hint="attributes, by comma" errors={wrong("group_by")} class="span-2">
              {(ids) => (
                <input
                  {...ids}
                  class="mono"
                  spellcheck={false}
                  value={group}
                  onInput={(e) => {
                    setGroup(e.currentTarget.value);
                    set("group_by", words(e.currentTarget.value));
                  }}
                />
              )}
            </Field>
          )}
          <KindFields draft={draft} change={(part) => setDraft({ ...draft, ...part })} wrong={below} />
          {draft.kind === "threshold" && (
            <Field label="Condition" hint="CEL over value, threshold, labels" errors={wrong("condition")} class="span-4">
              {(ids) => <input {...ids} class="mono" spellcheck={false} value={draft.condition} onInput={(e) => set("condition", e.currentTarget.value)} />}
            </Field>
          )}
          {draft.kind === "threshold" && (
            <Field label="Threshold" errors={wrong("threshold")} class="span-2">
              {(ids) => (
                <input {...ids} class="mono" type="number" step="any" value={draft.threshold ?? ""} onInput={(e) => set("threshold", e.currentTarget.value === "" ? null : Number(e.currentTarget.value))} />
              )}
            </Field>
          )}
          <Field label="For" hint="how long it must hold" errors={wrong("for")} class="span-2">
            {(ids) => <input {...ids} class="mono" value={draft.for} onInput={(e) => set("for", e.currentTarget.value)} />}
          </Field>
          {(draft.kind === "threshold" || draft.kind === "pattern") && (
            <Field label="Evaluate" errors={wrong("evaluate")} class="span-2">
              {(ids) => (
                <select {...ids} value={draft.evaluate} onChange={(e) => set("evaluate", e.currentTarget.value as RuleDraft["evaluate"])}>
                  <option value="auto">auto</option>
                  <option value="eager">eager</option>
                  <option value="on_close">when the window closes</option>
                </select>
              )}
            </Field>
          )}
          <Field label="Quiet after telling" hint="minutes" errors={wrong("suppression_minutes")} class="span-2">
            {(ids) => <input {...ids} class="mono" type="number" min={0} value={draft.suppression_minutes} onInput={(e) => set("suppression_minutes", Number(e.currentTarget.value))} />}
          </Field>
          <ChannelChoice chosen={draft.channels} change={(names) => set("channels", names)} errors={wrong("channels")} />
        </div>
        <p class="sentence">{sentence(draft)}</p>
        <FormFoot form={{ busy, failure }} words={(refusal) => (elsewhere.length > 0 ? elsewhere.map((e) => `${e.field}: ${e.reason}`).join("; ") : correct(refusal))} close={close} action={rule === null ? "Create rule" : "Save"}>
          {asText !== undefined && (
            <button type="button" class="ghost" onClick={asText}>
              As JSON
            </button>
          )}
          <button type="button" class="ghost" onClick={() => setTrying(true)}>
            Backtest
          </button>
        </FormFoot>
      </form>
      {trying && <Backtest name={draft.name} of={{ draft }} close={() => setTrying(false)} />}
    </Dialog>
  );
}

function ChannelChoice({ chosen, change, errors }: { chosen: string[]; change: (names: string[]) => void; errors: FieldError[] }) {
  const known = (channels.data.value ?? []).map((channel) => channel.name);
  const all = [...new Set([...known, ...chosen])].sort();
  return (
    <fieldset class="span-6 field">
      <legend>Channels</legend>
      <div class="choices">
        {all.length === 0 && <span class="faint">There are no channels yet.</span>}
        {all.map((name) => (
          <label key={name} class="choice">
            <input type="checkbox" checked={chosen.includes(name)} onChange={(e) => change(e.currentTarget.checked ? [...chosen, name] : chosen.filter((other) => other !== name))} />
            {name}
          </label>
        ))}
      </div>
      {errors.map((error) => (
        <p key={error.reason} class="field-error">
          {error.reason}
        </p>
      ))}
    </fieldset>
  );
}
