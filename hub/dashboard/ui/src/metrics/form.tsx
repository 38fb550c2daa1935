/** Declares a metric. */

import { useState } from "preact/hooks";
import { declare, type Metric, type MetricDraft, type Placement } from "../api/metrics";
import { Choice, type Option } from "../parts/choice";
import { Dialog } from "../parts/dialog";
import { Field } from "../parts/field";
import { say } from "../parts/toast";
import { words } from "../pages/rule-draft";
import { FormFoot } from "../parts/form-foot";
import { useSubmit } from "../parts/submit";
import { newMetric } from "./view";

const PLACES: Option<Placement>[] = [
  { value: "auto", name: "on the hosts when all can, else at the hub" },
  { value: "hub", name: "at the hub, from the log" },
  { value: "edge", name: "on the hosts" },
];

export function MetricForm({ close, saved }: { close: () => void; saved: (metric: Metric) => void }) {
  const [draft, setDraft] = useState<MetricDraft>(newMetric);
  const [groups, setGroups] = useState("");
  const set = (part: Partial<MetricDraft>): void => setDraft({ ...draft, ...part });
  const form = useSubmit(async () => {
    const metric = await declare({ ...draft, group_by: words(groups) });
    say(`Declared: ${metric.name}`);
    saved(metric);
  });
  const common = { class: "mono", spellcheck: false, autocapitalize: "none" } as const;
  return (
    <Dialog title="New metric" close={close}>
      <form onSubmit={form.submit} noValidate>
        <p class="dialog-lead">It is kept from now on: in windows of a minute, an hour and a day that outlive the events.</p>
        <div class="form-grid">
          <Field label="Name" errors={form.wrong("name")} class="span-6">
            {(ids) => <input {...ids} value={draft.name} autofocus spellcheck={false} onInput={(e) => set({ name: e.currentTarget.value })} />}
          </Field>
          <Field label="Match" hint="CEL over an event: which events count" errors={form.wrong("match")} class="span-6">
            {(ids) => <textarea {...ids} {...common} rows={2} value={draft.match} onInput={(e) => set({ match: e.currentTarget.value })} />}
          </Field>
          <Field label="Aggregate" hint="count(), sum(data.ms), p99(data.ms), distinct(user_id)" errors={form.wrong("aggregate")} class="span-4">
            {(ids) => <input {...ids} {...common} value={draft.aggregate} onInput={(e) => set({ aggregate: e.currentTarget.value })} />}
          </Field>
          <Field label="Window" hint="such as 10s or 1m" errors={form.wrong("window")} class="span-2">
            {(ids) => <input {...ids} {...common} value={draft.window} onInput={(e) => set({ window: e.currentTarget.value })} />}
          </Field>
          <Field label="For each" hint="attributes, such as source, data.country" errors={form.wrong("group_by")} class="span-6">
            {(ids) => <input {...ids} {...common} value={groups} onInput={(e) => setGroups(e.currentTarget.value)} />}
          </Field>
          <Field label="Computed" errors={form.wrong("placement", "keep_events")} class="span-6">
            {(ids) => <Choice {...ids} of={PLACES} value={draft.placement} change={(placement) => set({ placement })} />}
          </Field>
          {draft.placement === "edge" && (
            <label class="check span-6">
              <input type="checkbox" checked={draft.keep_events} onChange={(e) => set({ keep_events: e.currentTarget.checked })} />
              <span>Hosts send the events as well; without, no query and no rule sees them</span>
            </label>
          )}
          <Field label="Description" errors={form.wrong("description")} class="span-6">
            {(ids) => <input {...ids} value={draft.description} onInput={(e) => set({ description: e.currentTarget.value })} />}
          </Field>
        </div>
        <FormFoot form={form} close={close} action="Declare metric" />
      </form>
    </Dialog>
  );
}
