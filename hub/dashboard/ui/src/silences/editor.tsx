/** The form of a silence: matchers, from when, how long; it says which open alerts it means before it is made. */

import { useState } from "preact/hooks";
import { change, create, type Matcher, type Silence } from "../api/silences";
import { Choice } from "../parts/choice";
import { Dialog } from "../parts/dialog";
import { Field, Mistakes } from "../parts/field";
import { FormFoot } from "../parts/form-foot";
import { IconButton } from "../parts/icon-button";
import { Icon } from "../parts/icons";
import { useSubmit } from "../parts/submit";
import { say } from "../parts/toast";
import { LENGTHS } from "../pages/silence-draft";
import { Meaning, useMeant } from "../pages/silence-meaning";
import { localText, localTime, typed } from "./view";

const OPS: Matcher["op"][] = ["=", "!=", "=~", "!~"];
const WORDS: Record<Matcher["op"], string> = { "=": "is", "!=": "is not", "=~": "matches", "!~": "does not match" };
const NONE: Matcher = { name: "", op: "=", value: "" };

interface SilenceEditorProps {
  /** What is changed, or made again when it is over; null for a new one. */
  silence: Silence | null;
  close: () => void;
  saved: (made: Silence) => void;
}

export function SilenceEditor({ silence, close, saved }: SilenceEditorProps) {
  const changes = silence !== null && silence.state !== "expired";
  const [rows, setRows] = useState<Matcher[]>(silence?.matchers ?? [NONE]);
  const [begins, setBegins] = useState(changes && silence.state === "pending" ? localText(Date.parse(silence.starts_at)) : "");
  const [ends, setEnds] = useState(changes ? localText(Date.parse(silence.ends_at)) : "");
  const [length, setLength] = useState(LENGTHS[1]?.value ?? 0);
  const [comment, setComment] = useState(silence?.comment ?? "");
  const matchers = typed(rows);
  const meant = useMeant(matchers);
  const begin = localTime(begins);
  const end = localTime(ends) ?? (begin ?? Date.now()) + length;

  const form = useSubmit(async () => {
    const starts_at = begin ?? (changes ? Date.parse(silence.starts_at) : null);
    const draft = { matchers, ends_at: end, comment, ...(starts_at === null ? {} : { starts_at }) };
    const made = changes ? await change(silence.id, draft) : await create(draft);
    say(made.state === "pending" ? "The silence begins later" : `Silenced: ${made.alerts.length} open ${made.alerts.length === 1 ? "alert" : "alerts"}`);
    saved(made);
  });

  const set = (nth: number, part: Partial<Matcher>): void => setRows(rows.map((row, i) => (i === nth ? { ...row, ...part } : row)));
  const wrong = (form.failure?.fields ?? []).filter(({ field }) => field.startsWith("matchers"));

  return (
    <Dialog title={changes ? "Change silence" : "New silence"} close={close} wide>
      <form onSubmit={form.submit} noValidate>
        <fieldset class="field">
          <legend>Alerts whose labels all match</legend>
          {rows.map((row, i) => (
            <div key={i} class="matcher-row">
              <input aria-label={`Label ${i + 1}`} class="mono" placeholder="source" value={row.name} autofocus={i === 0} autocapitalize="none" spellcheck={false} onInput={(e) => set(i, { name: e.currentTarget.value })} />
              <select aria-label={`How label ${i + 1} is compared`} value={row.op} onChange={(e) => set(i, { op: e.currentTarget.value as Matcher["op"] })}>
                {OPS.map((op) => (
                  <option key={op} value={op}>
                    {WORDS[op]} ({op})
                  </option>
                ))}
              </select>
              <input aria-label={`Value ${i + 1}`} class="mono" placeholder={row.op === "=~" || row.op === "!~" ? "web-[0-9]+" : "web-1"} value={row.value} autocapitalize="none" spellcheck={false} onInput={(e) => set(i, { value: e.currentTarget.value })} />
              <IconButton icon="close" label={`Remove matcher ${i + 1}`} disabled={rows.length === 1} onClick={() => setRows(rows.filter((_, other) => other !== i))} />
            </div>
          ))}
          <button type="button" class="small" onClick={() => setRows([...rows, NONE])}>
            <Icon name="plus" />
            Matcher
          </button>
          <Mistakes errors={wrong} />
        </fieldset>
        <Meaning meant={meant} nothing="Name a label" />
        <div class="form-grid">
          <Field label="From" hint="now when empty" errors={form.wrong("starts_at")} class="span-2">
            {(ids) => <input {...ids} type="datetime-local" value={begins} onInput={(e) => setBegins(e.currentTarget.value)} />}
          </Field>
          <Field label="For" class="span-2">
            {(ids) => <Choice {...ids} of={LENGTHS} value={length} disabled={ends !== ""} change={setLength} />}
          </Field>
          <Field label="Or until" errors={form.wrong("ends_at")} class="span-2">
            {(ids) => <input {...ids} type="datetime-local" value={ends} onInput={(e) => setEnds(e.currentTarget.value)} />}
          </Field>
          <Field label="Comment" hint="why, for others" errors={form.wrong("comment")} class="span-6">
            {(ids) => <textarea {...ids} rows={2} maxLength={1000} value={comment} onInput={(e) => setComment(e.currentTarget.value)} />}
          </Field>
        </div>
        <FormFoot form={{ ...form, busy: form.busy || matchers.length === 0 }} close={close} action={changes ? "Save" : "Silence"} />
      </form>
    </Dialog>
  );
}
