/** The end of a form in a dialog: what went wrong in all, and its buttons. */

import type { ComponentChildren } from "preact";
import { ApiError } from "../api/client";
import { reason } from "./toast";

interface DialogFootProps {
  close: () => void;
  action: string;
  disabled?: boolean;
  /** What stands before the two buttons. */
  children?: ComponentChildren;
}

/** The buttons alone, for a form that has another place for what went wrong. */
export function DialogFoot({ close, action, disabled = false, children }: DialogFootProps) {
  return (
    <div class="dialog-foot">
      {children}
      <button type="button" onClick={close}>
        Cancel
      </button>
      <button type="submit" class="primary" disabled={disabled}>
        {action}
      </button>
    </div>
  );
}

interface FormFootProps<E> {
  form: { busy: boolean; failure: E | null };
  /** Says what went wrong. */
  words?: (failure: E) => string;
  close: () => void;
  action: string;
  /** Further buttons, before the two. */
  children?: ComponentChildren;
}

export function FormFoot<E>({ form: { busy, failure }, words = correct, close, action, children }: FormFootProps<E>) {
  return (
    <DialogFoot close={close} action={action} disabled={busy}>
      <div class="form-failure" role="alert">
        {failure !== null && (
          <p class="text-error">
            {words(failure)}
            {failure instanceof ApiError && failure.correlationId !== null && <small class="correlation">{failure.correlationId}</small>}
          </p>
        )}
      </div>
      {children}
    </DialogFoot>
  );
}

/** Asks for the marked fields to be corrected, when there are any. */
export function correct(failure: unknown): string {
  return failure instanceof ApiError && failure.fields.length > 0 ? "Please correct the marked fields." : reason(failure);
}
