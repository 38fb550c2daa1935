/** Asks before something is done, and keeps a refusal in sight. */

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { Dialog } from "./dialog";
import { reason } from "./toast";

interface ConfirmProps {
  title: string;
  /** What the button says. */
  action: string;
  danger?: boolean;
  close: () => void;
  run: () => Promise<void>;
  children: ComponentChildren;
}

export function Confirm({ title, action, danger = false, close, run, children }: ConfirmProps) {
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<unknown>(null);
  const go = async (): Promise<void> => {
    setBusy(true);
    setFailure(null);
    try {
      await run();
      close();
    } catch (error) {
      setFailure(error);
      setBusy(false);
    }
  };
  return (
    <Dialog title={title} close={close}>
      <div class="dialog-lead confirm">{children}</div>
      <div class="dialog-foot">
        <div class="form-failure" role="alert">
          {failure !== null && <p class="text-error">{reason(failure)}</p>}
        </div>
        <button type="button" onClick={close}>
          Cancel
        </button>
        <button type="button" class={danger ? "danger" : "primary"} disabled={busy} onClick={() => void go()}>
          {action}
        </button>
      </div>
    </Dialog>
  );
}
