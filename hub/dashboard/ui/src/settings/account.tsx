/** The own account: who one is, and a new password. */

import { signal } from "@preact/signals";
import { useState } from "preact/hooks";
import { call } from "../api/client";
import { signIn } from "../api/session";
import type { Me } from "../api/types";
import { Dialog } from "../parts/dialog";
import { Field } from "../parts/field";
import { say } from "../parts/toast";
import { FormFoot } from "../parts/form-foot";
import { MAY } from "./roles";
import { useSubmit } from "../parts/submit";

const changing = signal(false);

export function Account({ me }: { me: Me }) {
  return (
    <section class="panel" aria-label="Your account" data-testid="account">
      <header class="panel-head page-head">
        <p>
          Signed in as <b>{me.name}</b> <span class="badge">{me.role}</span> <span class="faint">{MAY[me.role]}</span>
        </p>
        <button type="button" onClick={() => (changing.value = true)}>
          Change password
        </button>
      </header>
      {changing.value && <PasswordForm me={me} close={() => (changing.value = false)} />}
    </section>
  );
}

function PasswordForm({ me, close }: { me: Me; close: () => void }) {
  const [current, setCurrent] = useState("");
  const [password, setPassword] = useState("");
  const [again, setAgain] = useState("");
  const differs = again !== "" && again !== password;
  const form = useSubmit(async () => {
    if (again !== password) return;
    await call("PUT", `/api/v1/users/${encodeURIComponent(me.name)}`, { password, current_password: current });
    // The hub has ended all sign-ins of this user, this one too.
    await signIn(me.name, password);
    say("Your password is changed. Other sign-ins of yours have ended.");
    close();
  });
  return (
    <Dialog title="Change your password" close={close}>
      <form onSubmit={form.submit} noValidate>
        <input type="text" name="username" autocomplete="username" value={me.name} readOnly hidden />
        <div class="form-grid">
          <Field label="Present password" errors={form.wrong("current_password")} class="span-6">
            {(ids) => <input {...ids} type="password" autocomplete="current-password" value={current} autofocus onInput={(e) => setCurrent(e.currentTarget.value)} />}
          </Field>
          <Field label="New password" hint="at least 8 characters" errors={form.wrong("password")} class="span-6">
            {(ids) => <input {...ids} type="password" autocomplete="new-password" value={password} onInput={(e) => setPassword(e.currentTarget.value)} />}
          </Field>
          <Field label="New password again" errors={differs ? [{ field: "again", reason: "differs from the new password" }] : []} class="span-6">
            {(ids) => <input {...ids} type="password" autocomplete="new-password" value={again} onInput={(e) => setAgain(e.currentTarget.value)} />}
          </Field>
        </div>
        <FormFoot form={{ ...form, busy: form.busy || current === "" || password === "" || again !== password }} close={close} action="Change password" />
      </form>
    </Dialog>
  );
}
