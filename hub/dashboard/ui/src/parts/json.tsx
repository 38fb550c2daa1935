/** A JSON value, indented and coloured. */

import type { VNode } from "preact";

export function Json({ value }: { value: unknown }) {
  return <pre class="json">{render(value, 0)}</pre>;
}

function render(value: unknown, depth: number): VNode | (VNode | string)[] {
  if (value === null || value === undefined) return <span class="j-null">null</span>;
  if (typeof value === "string") return <span class="j-string">{JSON.stringify(value)}</span>;
  if (typeof value === "number") return <span class="j-number">{String(value)}</span>;
  if (typeof value === "boolean") return <span class="j-bool">{String(value)}</span>;
  const list = Array.isArray(value);
  const entries = Object.entries(value);
  const [open, close] = list ? ["[", "]"] : ["{", "}"];
  if (entries.length === 0) return <span>{open + close}</span>;
  const indent = "  ".repeat(depth + 1);
  return [
    open,
    ...entries.map(([key, part], i) => (
      <span key={key}>
        {`\n${indent}`}
        {!list && <span class="j-key">{JSON.stringify(key)}</span>}
        {!list && ": "}
        {render(part, depth + 1)}
        {i < entries.length - 1 && ","}
      </span>
    )),
    `\n${"  ".repeat(depth)}${close}`,
  ];
}
