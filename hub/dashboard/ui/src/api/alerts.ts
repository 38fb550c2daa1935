/** What a person does with an alert. */

import { patchAlert } from "../live/store";
import { call } from "./client";
import type { Alert } from "./types";

async function act(id: string, action: "acknowledge" | "resolve", comment: string): Promise<Alert> {
  const answer = await call<{ data: Alert }>("POST", `/api/v1/alerts/${encodeURIComponent(id)}/${action}`, { comment });
  patchAlert(answer.data);
  return answer.data;
}

export const acknowledge = (id: string, comment: string): Promise<Alert> => act(id, "acknowledge", comment);
export const resolve = (id: string, comment: string): Promise<Alert> => act(id, "resolve", comment);
