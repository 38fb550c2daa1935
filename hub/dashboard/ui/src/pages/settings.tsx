/** Settings: the own account; for administrators also users and API tokens. */

import { isAdmin, session } from "../api/session";
import { Account } from "../settings/account";
import { Tokens } from "../settings/tokens";
import { Users } from "../settings/users";

export function SettingsPage() {
  const state = session.value;
  if (state.phase !== "signed-in") return null;
  return (
    <div class="page sections" data-testid="settings">
      <Account me={state.me} />
      {isAdmin() ? (
        <>
          <Users me={state.me} />
          <Tokens />
        </>
      ) : (
        <p class="faint">Users and API tokens are kept by administrators.</p>
      )}
    </div>
  );
}
