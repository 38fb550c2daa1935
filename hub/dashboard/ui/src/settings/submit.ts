/** Sends a form once, and keeps what the hub found wrong with it. */

import { useState } from "preact/hooks";
import { ApiError, type FieldError } from "../api/client";
import { complain } from "../parts/toast";

export interface Submission {
  busy: boolean;
  failure: ApiError | null;
  /** What is wrong with a field, under any of its names. */
  wrong: (...names: string[]) => FieldError[];
  submit: (event: SubmitEvent) => void;
}

export function useSubmit(work: () => Promise<void>): Submission {
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<ApiError | null>(null);
  const run = async (): Promise<void> => {
    setBusy(true);
    setFailure(null);
    try {
      await work();
    } catch (error) {
      if (error instanceof ApiError && error.status >= 400 && error.status < 500) setFailure(error);
      else complain(error);
    } finally {
      setBusy(false);
    }
  };
  return {
    busy,
    failure,
    wrong: (...names) => (failure?.fields ?? []).filter((error) => names.includes(error.field)),
    submit: (event) => {
      event.preventDefault();
      if (!busy) void run();
    },
  };
}
