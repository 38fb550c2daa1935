/** Chooses a role, and says what it may do. */

import type { FieldError } from "../api/client";
import type { Role } from "../api/types";
import { Field } from "../parts/field";
import { MAY, ROLES } from "./roles";

export function RoleChoice({ role, change, errors }: { role: Role; change: (role: Role) => void; errors: FieldError[] }) {
  return (
    <Field label="Role" hint={MAY[role]} errors={errors} class="span-6">
      {(ids) => (
        <select {...ids} value={role} onChange={(e) => change(e.currentTarget.value as Role)}>
          {ROLES.map((each) => (
            <option key={each}>{each}</option>
          ))}
        </select>
      )}
    </Field>
  );
}
