/** Sends a form once, and keeps what the hub found wrong with it. */

import { useState } from "preact/hooks";
import { ApiError, type FieldError } from "../api/client";
import { complain } from "./toast";

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
      refused(error, setFailure);
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

/** What the hub refuses is shown where it was asked for; every other failure is told of beside the page. */
export function refused(error: unknown, show: (refusal: ApiError) => void): void {
  if (error instanceof ApiError && error.status >= 400 && error.status < 500) show(error);
  else complain(error);
}
