/** Changes a rule as JSON: for fields that the form does not show. */

import { call } from "../api/client";
import type { Rule } from "../api/types";
import { DocumentForm } from "../parts/document-form";
import { say } from "../parts/toast";
import { draftOf } from "./rule-draft";

interface RuleTextProps {
  rule: Rule;
  close: () => void;
  saved: () => void;
}

export function RuleText({ rule, close, saved }: RuleTextProps) {
  return (
    <DocumentForm
      title={`Edit ${rule.kind} rule`}
      hint="The rule as the API takes it."
      value={draftOf(rule)}
      action="Save"
      close={close}
      save={async (value) => {
        await call("PUT", `/api/v1/rules/${encodeURIComponent(rule.id)}`, value);
        say(`Saved: ${rule.name}`);
        saved();
      }}
    />
  );
}
