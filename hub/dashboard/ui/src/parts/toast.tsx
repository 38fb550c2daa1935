/** Short notes on what an action did; failures carry the correlation id that the hub's log has too. */

import { signal } from "@preact/signals";
import { ApiError } from "../api/client";
import { IconButton } from "./icon-button";
import { Icon } from "./icons";

interface Note {
  id: number;
  tone: "good" | "bad";
  text: string;
  correlation: string | null;
}

const STAYS_MS = { good: 4_000, bad: 12_000 };
const notes = signal<Note[]>([]);
let last = 0;

function show(tone: Note["tone"], text: string, correlation: string | null): void {
  const id = ++last;
  notes.value = [...notes.value.slice(-3), { id, tone, text, correlation }];
  setTimeout(() => dismiss(id), STAYS_MS[tone]);
}

function dismiss(id: number): void {
  notes.value = notes.value.filter((note) => note.id !== id);
}

export function say(text: string): void {
  show("good", text, null);
}

export function complain(error: unknown): void {
  show("bad", reason(error), error instanceof ApiError ? error.correlationId : null);
}

export function reason(error: unknown): string {
  return error instanceof Error ? error.message : "Something unexpected went wrong.";
}

export function Toasts() {
  return (
    <div class="toasts" role="status">
      {notes.value.map((note) => (
        <div key={note.id} class={`toast ${note.tone}`}>
          <Icon name={note.tone === "good" ? "check" : "alerts"} />
          <div>
            <p>{note.text}</p>
            {note.correlation !== null && <p class="correlation">{note.correlation}</p>}
          </div>
          <IconButton icon="close" label="Dismiss" onClick={() => dismiss(note.id)} />
        </div>
      ))}
    </div>
  );
}
