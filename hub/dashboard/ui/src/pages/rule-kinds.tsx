/** The fields that a kind of rule has for itself. */

import type { FieldError } from "../api/client";
import { call } from "../api/client";
import type { AbsenceSpec, AnomalySpec, Page, PatternSpec, Plugin, RuleDraft } from "../api/types";
import { resource, useFresh } from "../lib/resource";
import { Field, Mistakes } from "../parts/field";
import { IconButton } from "../parts/icon-button";
import { Icon } from "../parts/icons";
import { setting } from "./channel-setting";
import { expectedGroups, expectedText, NEW_ABSENCE, NEW_ANOMALY, NEW_PATTERN, settingText } from "./rule-draft";

const plugins = resource(async () => (await call<Page<Plugin>>("GET", "/api/v1/plugins")).data.filter((plugin) => plugin.kind === "rule"));

interface KindProps {
  draft: RuleDraft;
  change: (part: Partial<RuleDraft>) => void;
  /** What is wrong with a field, or with anything below it. */
  wrong: (field: string) => FieldError[];
}

export function KindFields(props: KindProps) {
  switch (props.draft.kind) {
    case "pattern":
      return <Pattern {...props} />;
    case "absence":
      return <Absence {...props} />;
    case "anomaly":
      return <Anomaly {...props} />;
    case "plugin":
      return <ByPlugin {...props} />;
    case "threshold":
      return null;
  }
}

function Pattern({ draft, change, wrong }: KindProps) {
  const pattern = draft.pattern ?? NEW_PATTERN;
  const set = (part: Partial<PatternSpec>): void => change({ pattern: { ...pattern, ...part } });
  const step = (place: number, part: Partial<PatternSpec["steps"][number]>): void => set({ steps: pattern.steps.map((each, i) => (i === place ? { ...each, ...part } : each)) });
  const last = pattern.steps.length - 1;
  return (
    <>
      <Field label="Within" hint="from the first event to the last" errors={wrong("pattern.within")} class="span-2">
        {(ids) => <input {...ids} class="mono" value={pattern.within} onInput={(e) => set({ within: e.currentTarget.value })} />}
      </Field>
      <fieldset class="field span-6">
        <legend>Steps, in their order</legend>
        {pattern.steps.map((each, i) => (
          <div key={i} class="step-row">
            <input aria-label={`Name of step ${i + 1}`} placeholder="name" value={each.name} onInput={(e) => step(i, { name: e.currentTarget.value })} />
            <input class="mono" aria-label={`Match of step ${i + 1}`} placeholder="type == '…'" spellcheck={false} value={each.match} onInput={(e) => step(i, { match: e.currentTarget.value })} />
            <input class="mono" type="number" min={1} max={1000} aria-label={`Least number of events of step ${i + 1}`} title="At least so many" disabled={each.not} value={each.count} onInput={(e) => step(i, { count: Number(e.currentTarget.value) })} />
            <label class="choice" title="No such event may come">
              <input type="checkbox" checked={each.not} disabled={i === 0} onChange={(e) => step(i, { not: e.currentTarget.checked, count: 1 })} />
              must not come
            </label>
            <IconButton icon="close" label={`Remove step ${i + 1}`} disabled={last === 0} onClick={() => set({ steps: pattern.steps.filter((_, other) => other !== i) })} />
          </div>
        ))}
        <button type="button" class="small" onClick={() => set({ steps: [...pattern.steps, { name: `step ${last + 2}`, match: "", count: 1, not: false }] })}>
          <Icon name="plus" />
          Add a step
        </button>
        <Mistakes errors={wrong("pattern.steps").concat(wrong("pattern").filter((error) => error.field === "pattern"))} />
      </fieldset>
    </>
  );
}

function Absence({ draft, change, wrong }: KindProps) {
  const absence = draft.absence ?? NEW_ABSENCE;
  const set = (part: Partial<AbsenceSpec>): void => change({ absence: { ...absence, ...part } });
  return (
    <>
      <Field label="Silent for" errors={wrong("absence.silent_for")} class="span-2">
        {(ids) => <input {...ids} class="mono" value={absence.silent_for} onInput={(e) => set({ silent_for: e.currentTarget.value })} />}
      </Field>
      <Field label="Forget after" hint="a group that nobody expects" errors={wrong("absence.forget_after")} class="span-2">
        {(ids) => <input {...ids} class="mono" value={absence.forget_after} onInput={(e) => set({ forget_after: e.currentTarget.value })} />}
      </Field>
      <Field label="Expect" hint={`One group a line, values by comma in the order of “Group by”: ${draft.group_by.join(", ") || "–"}`} errors={wrong("absence.expect")} class="span-6">
        {(ids) => <textarea {...ids} class="mono" rows={3} spellcheck={false} value={expectedText(absence.expect ?? [], draft.group_by)} onChange={(e) => set({ expect: expectedGroups(e.currentTarget.value, draft.group_by) })} />}
      </Field>
    </>
  );
}

function Anomaly({ draft, change, wrong }: KindProps) {
  const anomaly = draft.anomaly ?? NEW_ANOMALY;
  const set = (part: Partial<AnomalySpec>): void => change({ anomaly: { ...anomaly, ...part } });
  const method = (method: AnomalySpec["method"]): void => {
    const { time_zone: zone, ...rest } = anomaly;
    change({ anomaly: method === "seasonal" && zone !== undefined ? { ...rest, method, time_zone: zone } : { ...rest, method } });
  };
  const optional = <K extends "learning" | "time_zone">(key: K, text: string): void => {
    const { [key]: _before, ...rest } = anomaly;
    change({ anomaly: text.trim() === "" ? (rest as AnomalySpec) : { ...(rest as AnomalySpec), [key]: text } });
  };
  return (
    <>
      <Field label="Method" errors={wrong("anomaly.method")} class="span-2">
        {(ids) => (
          <select {...ids} value={anomaly.method} onChange={(e) => method(e.currentTarget.value as AnomalySpec["method"])}>
            <option value="robust">the last windows</option>
            <option value="seasonal">the hour of the week</option>
          </select>
        )}
      </Field>
      <Field label="Sensitivity" errors={wrong("anomaly.sensitivity").concat(wrong("anomaly.deviations"))} class="span-2">
        {(ids) => (
          <select {...ids} value={anomaly.sensitivity} onChange={(e) => set({ sensitivity: e.currentTarget.value as AnomalySpec["sensitivity"] })}>
            <option>low</option>
            <option>medium</option>
            <option>high</option>
          </select>
        )}
      </Field>
      <Field label="Side" errors={wrong("anomaly.direction")} class="span-2">
        {(ids) => (
          <select {...ids} value={anomaly.direction} onChange={(e) => set({ direction: e.currentTarget.value as AnomalySpec["direction"] })}>
            <option>both</option>
            <option>above</option>
            <option>below</option>
          </select>
        )}
      </Field>
      <Field label="Windows remembered" errors={wrong("anomaly.history")} class="span-2">
        {(ids) => <input {...ids} class="mono" type="number" min={10} max={1000} value={anomaly.history} onInput={(e) => set({ history: Number(e.currentTarget.value) })} />}
      </Field>
      <Field label="Learn for" hint="30 windows, and a week by the hour" errors={wrong("anomaly.learning")} class="span-2">
        {(ids) => <input {...ids} class="mono" value={anomaly.learning ?? ""} onInput={(e) => optional("learning", e.currentTarget.value)} />}
      </Field>
      <Field label="Least difference" errors={wrong("anomaly.min_change")} class="span-2">
        {(ids) => <input {...ids} class="mono" type="number" min={0} step="any" value={anomaly.min_change} onInput={(e) => set({ min_change: Number(e.currentTarget.value) })} />}
      </Field>
      {anomaly.method === "seasonal" && (
        <Field label="Time zone" hint="whose week it is; UTC without" errors={wrong("anomaly.time_zone")} class="span-2">
          {(ids) => <input {...ids} class="mono" placeholder="Europe/Vienna" value={anomaly.time_zone ?? ""} onInput={(e) => optional("time_zone", e.currentTarget.value)} />}
        </Field>
      )}
    </>
  );
}

function ByPlugin({ draft, change, wrong }: KindProps) {
  useFresh(plugins.reload);
  const all = plugins.data.value ?? [];
  const chosen = draft.plugin ?? "";
  const names = [...new Set([...all.map((plugin) => plugin.name), ...(chosen === "" ? [] : [chosen])])].sort();
  const known = all.find((plugin) => plugin.name === chosen)?.config_schema?.properties ?? {};
  const config = draft.config ?? {};
  const keys = [...new Set([...Object.keys(known), ...Object.keys(config)])];
  const set = (key: string, text: string): void => {
    const { [key]: _before, ...rest } = config;
    change({ config: text === "" ? rest : { ...rest, [key]: setting(text) } });
  };
  return (
    <>
      <Field label="Plugin" errors={wrong("plugin")} class="span-2">
        {(ids) => (
          <select {...ids} value={chosen} onChange={(e) => change({ plugin: e.currentTarget.value, config: {} })}>
            <option value="">choose …</option>
            {names.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        )}
      </Field>
      {keys.map((key) => (
        <Field key={key} label={known[key]?.title ?? key} hint={known[key]?.description ?? ""} errors={wrong(`config.${key}`)} class="span-2">
          {(ids) => <input {...ids} class="mono" spellcheck={false} value={settingText(config[key])} onInput={(e) => set(key, e.currentTarget.value)} />}
        </Field>
      ))}
      <div class="span-6">
        <Mistakes errors={wrong("config").filter((error) => error.field === "config")} />
      </div>
    </>
  );
}
