/** People who sign in: add, change, remove. */

import { signal } from "@preact/signals";
import { useState } from "preact/hooks";
import { call } from "../api/client";
import type { Me, Page, Role, User } from "../api/types";
import { dateTime } from "../lib/format";
import { resource, useFresh } from "../lib/resource";
import { Dialog } from "../parts/dialog";
import { Field } from "../parts/field";
import { IconButton } from "../parts/icon-button";
import { Icon } from "../parts/icons";
import { Fetched } from "../parts/states";
import { complain, say } from "../parts/toast";
import { FormFoot } from "../parts/form-foot";
import { RoleChoice } from "./role-choice";
import { useSubmit } from "../parts/submit";

const users = resource(async () => (await call<Page<User>>("GET", "/api/v1/users?limit=500")).data);
const adding = signal(false);
const editing = signal<User | null>(null);
const removing = signal<User | null>(null);

const path = (user: User): string => `/api/v1/users/${encodeURIComponent(user.username)}`;

async function remove(user: User): Promise<void> {
  try {
    await call("DELETE", path(user));
    say(`Removed: ${user.username}`);
    removing.value = null;
    await users.reload();
  } catch (error) {
    complain(error);
  }
}

export function Users({ me }: { me: Me }) {
  useFresh(users.reload);
  const user = removing.value;
  return (
    <section class="panel" aria-label="Users" data-testid="users">
      <header class="panel-head page-head">
        <h2>Users</h2>
        <p class="lead grow">People who sign in with a password.</p>
        <button type="button" class="primary" onClick={() => (adding.value = true)}>
          <Icon name="plus" />
          Add user
        </button>
      </header>
      <Fetched of={users} rows={3}>{(list) => <List list={list} me={me} />}</Fetched>
      {adding.value && <AddForm close={() => (adding.value = false)} />}
      {editing.value !== null && <EditForm user={editing.value} close={() => (editing.value = null)} />}
      {user !== null && (
        <Dialog title="Remove user" close={() => (removing.value = null)}>
          <p class="dialog-lead">
            Remove <b>{user.username}</b>? Open sign-ins end at once. Rules, alerts and tokens stay.
          </p>
          <div class="dialog-foot">
            <button type="button" onClick={() => (removing.value = null)}>
              Keep
            </button>
            <button type="button" class="danger" onClick={() => void remove(user)}>
              Remove
            </button>
          </div>
        </Dialog>
      )}
    </section>
  );
}

function List({ list, me }: { list: User[]; me: Me }) {
  return (
    <div class="table-box" tabIndex={0}>
      <table class="table stack">
        <thead>
          <tr>
            <th>Name</th>
            <th>Role</th>
            <th>Since</th>
            <th>
              <span class="sr-only">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {list.map((user) => (
            <tr key={user.username}>
              <td>
                <b>{user.username}</b>
                {user.username === me.name && <span class="badge">you</span>}
              </td>
              <td data-label="Role">{user.role}</td>
              <td data-label="Since">{dateTime(user.created_at)}</td>
              <td class="row-actions">
                {user.username !== me.name && (
                  <>
                    <IconButton icon="edit" label={`Edit ${user.username}`} title="Role and password" onClick={() => (editing.value = user)} />
                    <IconButton icon="trash" label={`Remove ${user.username}`} title="Remove" onClick={() => (removing.value = user)} />
                  </>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function AddForm({ close }: { close: () => void }) {
  const [username, setUsername] = useState("");
  const [password, setPassword] = useState("");
  const [role, setRole] = useState<Role>("viewer");
  const form = useSubmit(async () => {
    await call("POST", "/api/v1/users", { username, password, role });
    say(`Added: ${username}`);
    close();
    await users.reload();
  });
  return (
    <Dialog title="Add user" close={close}>
      <form onSubmit={form.submit} noValidate>
        <div class="form-grid">
          <Field label="Name" hint="letters, digits and . _ - @" errors={form.wrong("name", "username")} class="span-6">
            {(ids) => <input {...ids} value={username} maxLength={64} autofocus autocomplete="off" autocapitalize="none" spellcheck={false} onInput={(e) => setUsername(e.currentTarget.value)} />}
          </Field>
          <Field label="Password" hint="at least 8 characters; it can be changed after signing in" errors={form.wrong("password")} class="span-6">
            {(ids) => <input {...ids} type="password" autocomplete="new-password" value={password} onInput={(e) => setPassword(e.currentTarget.value)} />}
          </Field>
          <RoleChoice role={role} change={setRole} errors={form.wrong("role")} />
        </div>
        <FormFoot form={form} close={close} action="Add user" />
      </form>
    </Dialog>
  );
}

function EditForm({ user, close }: { user: User; close: () => void }) {
  const [role, setRole] = useState<Role>(user.role);
  const [password, setPassword] = useState("");
  const form = useSubmit(async () => {
    await call("PUT", path(user), { ...(role === user.role ? {} : { role }), ...(password === "" ? {} : { password }) });
    say(`Saved: ${user.username}`);
    close();
    await users.reload();
  });
  const unchanged = role === user.role && password === "";
  return (
    <Dialog title={`Edit ${user.username}`} close={close}>
      <form onSubmit={form.submit} noValidate>
        <p class="dialog-lead">Open sign-ins of this user end when you save.</p>
        <div class="form-grid">
          <RoleChoice role={role} change={setRole} errors={form.wrong("role")} />
          <Field label="New password" hint="leave it empty to keep the present one" errors={form.wrong("password")} class="span-6">
            {(ids) => <input {...ids} type="password" autocomplete="new-password" value={password} onInput={(e) => setPassword(e.currentTarget.value)} />}
          </Field>
        </div>
        <FormFoot form={{ ...form, busy: form.busy || unchanged }} close={close} action="Save" />
      </form>
    </Dialog>
  );
}
