/** Escalation policies. */

import { escalations, type Escalation } from "../api/routing";
import { policies } from "./known";
import { Documents } from "./documents";
import { stepsText } from "./view";

const fresh = (): Escalation => ({ name: "", steps: [{ after: "5m", channels: [] }, { after: "15m", channels: [] }], repeat: 1, resume_after: null });

export function Escalations() {
  return (
    <Documents
      title="Escalation"
      lead="Who is told next when nobody acknowledges."
      what="escalation policy"
      hint="Steps are taken one after the other until somebody acknowledges. A channel is the name of one, or oncall:SCHEDULE."
      none="No policy: an alert that nobody acknowledges is told of again where it was."
      known={policies}
      api={escalations}
      fresh={fresh}
      testid="escalations"
      show={(policy) => (
        <>
          <h3>{policy.name}</h3>
          <p class="wrap">{stepsText(policy)}</p>
        </>
      )}
    />
  );
}
