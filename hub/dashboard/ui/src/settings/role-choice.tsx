/** Chooses a role, and says what it may do. */

import type { FieldError } from "../api/client";
import type { Role } from "../api/types";
import { Choice } from "../parts/choice";
import { Field } from "../parts/field";
import { MAY, ROLES } from "./roles";

export function RoleChoice({ role, change, errors }: { role: Role; change: (role: Role) => void; errors: FieldError[] }) {
  return (
    <Field label="Role" hint={MAY[role]} errors={errors} class="span-6">
      {(ids) => <Choice {...ids} of={ROLES} value={role} change={change} />}
    </Field>
  );
}
