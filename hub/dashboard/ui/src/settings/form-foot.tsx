/** The end of a form in a dialog: what went wrong in all, and its two buttons. */

import { reason } from "../parts/toast";
import type { Submission } from "./submit";

export function FormFoot({ form, close, action }: { form: Submission; close: () => void; action: string }) {
  const { failure } = form;
  return (
    <div class="dialog-foot">
      <div class="form-failure" role="alert">
        {failure !== null && (
          <p class="text-error">
            {failure.fields.length > 0 ? "Please correct the marked fields." : reason(failure)}
            {failure.correlationId !== null && <small class="correlation">{failure.correlationId}</small>}
          </p>
        )}
      </div>
      <button type="button" onClick={close}>
        Cancel
      </button>
      <button type="submit" class="primary" disabled={form.busy}>
        {action}
      </button>
    </div>
  );
}
