/** Changes a rule as JSON: for fields that the form does not show. What the hub finds wrong is listed under it. */

import { useState } from "preact/hooks";
import { ApiError, call, type FieldError } from "../api/client";
import type { Rule } from "../api/types";
import { Dialog } from "../parts/dialog";
import { Field } from "../parts/field";
import { complain, say } from "../parts/toast";
import { draftOf } from "./rule-draft";

interface RuleTextProps {
  rule: Rule;
  close: () => void;
  saved: () => void;
}

export function RuleText({ rule, close, saved }: RuleTextProps) {
  const [text, setText] = useState(JSON.stringify(draftOf(rule), null, 2));
  const [errors, setErrors] = useState<FieldError[]>([]);
  const [busy, setBusy] = useState(false);

  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    let draft: unknown;
    try {
      draft = JSON.parse(text);
    } catch (error) {
      setErrors([{ field: "", reason: `This is no JSON: ${(error as Error).message}` }]);
      return;
    }
    setBusy(true);
    try {
      await call("PUT", `/api/v1/rules/${encodeURIComponent(rule.id)}`, draft);
      say(`Saved: ${rule.name}`);
      saved();
    } catch (error) {
      setBusy(false);
      if (error instanceof ApiError && error.status >= 400 && error.status < 500) {
        const found = error.fields.map((each) => ({ ...each, reason: `${each.field}: ${each.reason}` }));
        setErrors(found.length > 0 ? found : [{ field: "", reason: error.message }]);
      } else complain(error);
    }
  };

  return (
    <Dialog title={`Edit ${rule.kind} rule`} close={close} wide>
      <form class="rule-form" onSubmit={(event) => void submit(event)} noValidate>
        <Field label="Rule" hint="As the API takes it." errors={errors}>
          {(ids) => <textarea {...ids} class="mono" rows={24} spellcheck={false} value={text} onInput={(e) => setText(e.currentTarget.value)} />}
        </Field>
        <div class="dialog-foot">
          <button type="button" onClick={close}>
            Cancel
          </button>
          <button type="submit" class="primary" disabled={busy}>
            Save
          </button>
        </div>
      </form>
    </Dialog>
  );
}
