/** A document of the hub, edited as JSON: what is wrong with it stands at its line, also what the hub finds. */

import { useMemo, useRef, useState } from "preact/hooks";
import { isMistake, lineOf, placeOf, readJson } from "../lib/json-places";
import { Dialog } from "./dialog";
import { DialogFoot } from "./form-foot";
import { refused } from "./submit";

interface DocumentFormProps {
  title: string;
  /** What is edited, or what a new one begins with. */
  value: unknown;
  /** A line for people, above the text. */
  hint: string;
  action: string;
  close: () => void;
  save: (value: unknown) => Promise<void>;
}

/** A mistake and where it stands in the text. */
interface Marked {
  field: string;
  reason: string;
  offset: number;
}

export function DocumentForm({ title, value, hint, action, close, save }: DocumentFormProps) {
  const [text, setText] = useState(() => JSON.stringify(value, null, 2));
  const [found, setFound] = useState<Marked[]>([]);
  const [busy, setBusy] = useState(false);
  const area = useRef<HTMLTextAreaElement>(null);
  const gutter = useRef<HTMLDivElement>(null);
  const lines = useMemo(() => text.split("\n").length, [text]);
  const wrong = new Set(found.map(({ offset }) => lineOf(text, offset).line));

  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const read = readJson(text);
    if (isMistake(read)) {
      setFound([{ field: "", reason: read.reason, offset: read.offset }]);
      return;
    }
    setBusy(true);
    setFound([]);
    try {
      await save(read.value);
      close();
    } catch (error) {
      setBusy(false);
      refused(error, ({ mistakes }) => setFound(mistakes.map((each) => ({ ...each, offset: placeOf(read.places, each.field) }))));
    }
  };

  const show = (offset: number): void => {
    const element = area.current;
    if (element === null) return;
    const end = text.indexOf("\n", offset);
    element.focus();
    element.setSelectionRange(offset, end < 0 ? text.length : end);
    element.scrollTop = Math.max(0, (lineOf(text, offset).line - 4) * LINE_PX);
  };

  return (
    <Dialog title={title} close={close} wide>
      <form onSubmit={(event) => void submit(event)} noValidate>
        <p class="dialog-lead">{hint}</p>
        <div class={found.length > 0 ? "document wrong" : "document"}>
          <div class="document-lines" ref={gutter} aria-hidden="true">
            {Array.from({ length: lines }, (_, i) => (
              <i key={i} class={wrong.has(i + 1) ? "wrong" : ""}>
                {i + 1}
              </i>
            ))}
          </div>
          <textarea
            ref={area}
            class="mono"
            rows={20}
            spellcheck={false}
            autocapitalize="none"
            wrap="off"
            autofocus
            aria-label={title}
            aria-invalid={found.length > 0}
            aria-describedby="document-mistakes"
            value={text}
            onInput={(e) => setText(e.currentTarget.value)}
            onScroll={(e) => gutter.current !== null && (gutter.current.scrollTop = e.currentTarget.scrollTop)}
          />
        </div>
        <div role="alert">
          <ul id="document-mistakes" class="document-mistakes">
            {found.map(({ field, reason, offset }) => (
              <li key={field + reason}>
                <button type="button" class="link" onClick={() => show(offset)}>
                  Line {lineOf(text, offset).line}
                </button>
                <span>
                  {field !== "" && field !== "." && <code>{field}</code>} {reason}
                </span>
              </li>
            ))}
          </ul>
        </div>
        <DialogFoot close={close} action={action} disabled={busy} />
      </form>
    </Dialog>
  );
}

/** Height of a line of the text, as the style sheet has it. */
const LINE_PX = 18;
