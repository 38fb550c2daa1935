/** The lines of a plugin as they come; they can be held, and filtered by level. */

import { useEffect, useRef, useState } from "preact/hooks";
import { type Line, type LineLevel, logs } from "../api/plugins";
import { clockMs } from "../lib/format";
import { again } from "../lib/looking";
import { Icon } from "../parts/icons";
import { reason } from "../parts/toast";
import { follow } from "./lines";

const LEVELS: LineLevel[] = ["debug", "info", "warn", "error"];
const LOOK_MS = 1_000;

export function LogView({ name }: { name: string }) {
  const [level, setLevel] = useState<LineLevel>("debug");
  const [held, setHeld] = useState(false);
  const [lines, setLines] = useState<Line[] | null>(null);
  const [dropped, setDropped] = useState(0);
  const [failure, setFailure] = useState<unknown>(null);
  const box = useRef<HTMLDivElement>(null);
  const atEnd = useRef(true);
  const seen = useRef(0);

  useEffect(() => {
    seen.current = 0;
    setLines(null);
  }, [level]);

  useEffect(() => {
    if (held) return;
    return again(
      LOOK_MS,
      () => logs(name, seen.current, level),
      (answer) => {
        const from = seen.current;
        seen.current = answer.last;
        setDropped(answer.dropped);
        setLines((before) => follow(before ?? [], answer, from));
        setFailure(null);
      },
      setFailure,
    );
  }, [name, level, held]);

  useEffect(() => {
    const element = box.current;
    if (element !== null && atEnd.current) element.scrollTop = element.scrollHeight;
  }, [lines]);

  return (
    <section class="log" aria-label="Log">
      <div class="log-head">
        <label>
          <select
            value={level}
            aria-label="From level"
            onChange={(event) => {
              setLevel(event.currentTarget.value as LineLevel);
              setHeld(false);
            }}
          >
            {LEVELS.map((each) => (
              <option key={each} value={each}>
                {each === "debug" ? "all lines" : each === "error" ? "errors" : `${each} and above`}
              </option>
            ))}
          </select>
        </label>
        <button type="button" class={held ? "toggle on" : "toggle"} aria-pressed={held} onClick={() => setHeld(!held)}>
          <Icon name={held ? "play" : "pause"} />
          {held ? "Go on" : "Pause"}
        </button>
        <span class="faint" role="status">
          {failure !== null ? reason(failure) : held ? "held" : "following"}
          {dropped > 0 && `, ${dropped} lines above the limit were dropped`}
        </span>
      </div>
      <div
        class="log-lines"
        ref={box}
        tabIndex={0}
        role="log"
        aria-label="Lines"
        onScroll={(event) => {
          const { scrollTop, scrollHeight, clientHeight } = event.currentTarget;
          atEnd.current = scrollHeight - scrollTop - clientHeight < 24;
        }}
      >
        {lines === null ? (
          <p class="faint">Looking …</p>
        ) : lines.length === 0 ? (
          <p class="faint">It has said nothing {level === "debug" ? "since the hub started" : "at this level"}.</p>
        ) : (
          lines.map((line) => (
            <p key={line.seq} class={`line line-${line.level}`}>
              <time>{clockMs(line.at)}</time> <b>{line.level}</b> {line.used_by !== "" && <span class="faint">{line.used_by}: </span>}
              {line.line}
            </p>
          ))
        )}
      </div>
    </section>
  );
}
