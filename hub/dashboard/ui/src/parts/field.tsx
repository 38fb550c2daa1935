/** A form field with its label, its hint and what the hub found wrong with it. */

import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";
import type { FieldError } from "../api/client";

interface FieldProps {
  label: string;
  hint?: string;
  errors?: FieldError[];
  children: (ids: { id: string; "aria-describedby": string; "aria-invalid": boolean }) => ComponentChildren;
  class?: string;
}

export function Field({ label, hint, errors = [], children, class: extra }: FieldProps) {
  const id = useId();
  const note = `${id}-note`;
  return (
    <div class={`field ${errors.length > 0 ? "wrong" : ""} ${extra ?? ""}`}>
      <label for={id}>{label}</label>
      {children({ id, "aria-describedby": note, "aria-invalid": errors.length > 0 })}
      <div id={note} class="field-note">
        {errors.length > 0
          ? errors.map((error) => (
              <p key={error.reason} class="field-error">
                {place(error)}
                {error.reason}
              </p>
            ))
          : hint !== undefined && <p>{hint}</p>}
      </div>
    </div>
  );
}

function place(error: FieldError): string {
  if (error.line === undefined || error.column === undefined) return "";
  return error.line > 1 ? `Line ${error.line}, column ${error.column}: ` : `Column ${error.column}: `;
}

/** What is wrong with a group of fields, each by its name. */
export function Mistakes({ errors }: { errors: FieldError[] }) {
  return (
    <>
      {errors.map((error) => (
        <p key={error.field + error.reason} class="field-error">
          {error.field}: {error.reason}
        </p>
      ))}
    </>
  );
}
