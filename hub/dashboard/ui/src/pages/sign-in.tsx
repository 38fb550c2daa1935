/** Sign-in. */

import { useState } from "preact/hooks";
import { ApiError } from "../api/client";
import { signIn } from "../api/session";
import { Logo } from "../parts/icons";
import { reason } from "../parts/toast";

export function SignIn({ notice }: { notice: string | null }) {
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);

  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    setBusy(true);
    setError(null);
    try {
      await signIn(String(form.get("username")), String(form.get("password")));
    } catch (failure) {
      setError(failure);
      setBusy(false);
    }
  };

  return (
    <main class="sign-in">
      <form class="panel sign-in-card" onSubmit={(event) => void submit(event)} aria-labelledby="sign-in-heading">
        <div class="sign-in-brand">
          <Logo />
          <h1 id="sign-in-heading">StreamFlow</h1>
        </div>
        <p class="sign-in-lead">Sign in to see your telemetry, live.</p>
        <div class="field">
          <label for="username">User name</label>
          <input id="username" name="username" autocomplete="username" required autofocus spellcheck={false} autocapitalize="none" />
        </div>
        <div class="field">
          <label for="password">Password</label>
          <input id="password" name="password" type="password" autocomplete="current-password" required />
        </div>
        <button type="submit" class="primary wide" disabled={busy}>
          {busy ? "Signing in…" : "Sign in"}
        </button>
        <div class="sign-in-note" role="alert">
          {error !== null ? (
            <>
              <p class="text-error">{reason(error)}</p>
              {error instanceof ApiError && error.correlationId !== null && <p class="correlation">{error.correlationId}</p>}
            </>
          ) : notice !== null ? (
            <p>{notice}</p>
          ) : (
            <p class="faint">
              The hub printed the password of <code>admin</code> at its first start.
            </p>
          )}
        </div>
      </form>
    </main>
  );
}
