/** The dialog that silences what an alert's labels mean, and says beforehand which alerts those are. */

import { useState } from "preact/hooks";
import { create, type Matcher } from "../api/silences";
import type { Alert } from "../api/types";
import { Choice } from "../parts/choice";
import { Dialog } from "../parts/dialog";
import { Field } from "../parts/field";
import { DialogFoot } from "../parts/form-foot";
import { complain, say } from "../parts/toast";
import { LENGTHS, matchersOf } from "./silence-draft";
import { Meaning, useMeant } from "./silence-meaning";

export function SilenceForm({ alert, close }: { alert: Alert; close: () => void }) {
  const [left, setLeft] = useState<Set<string>>(new Set(["level"]));
  const [length, setLength] = useState(LENGTHS[1]!.value);
  const [comment, setComment] = useState("");
  const matchers: Matcher[] = matchersOf(alert.labels, left);
  const meant = useMeant(matchers);

  const toggle = (name: string): void => {
    const next = new Set(left);
    if (!next.delete(name)) next.add(name);
    setLeft(next);
  };

  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    try {
      const made = await create({ matchers, ends_at: Date.now() + length, comment });
      say(`Silenced: ${made.alerts.length} open ${made.alerts.length === 1 ? "alert" : "alerts"}`);
      close();
    } catch (error) {
      complain(error);
    }
  };

  return (
    <Dialog title="Silence" close={close}>
      <form onSubmit={(event) => void submit(event)}>
        <fieldset class="field">
          <legend>Alerts with</legend>
          {Object.entries(alert.labels).map(([name, value]) => (
            <label key={name} class="check">
              <input type="checkbox" checked={!left.has(name)} onChange={() => toggle(name)} />
              <span>
                {name} = {value}
              </span>
            </label>
          ))}
        </fieldset>
        <Field label="For">
          {(ids) => <Choice {...ids} of={LENGTHS} value={length} change={setLength} />}
        </Field>
        <Field label="Comment">{(ids) => <textarea {...ids} rows={2} maxLength={1000} value={comment} onInput={(event) => setComment(event.currentTarget.value)} />}</Field>
        <Meaning meant={meant} nothing="Choose a label" />
        <DialogFoot close={close} action="Silence" disabled={matchers.length === 0} />
      </form>
    </Dialog>
  );
}
