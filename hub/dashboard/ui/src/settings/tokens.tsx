/** API tokens of programs: make one, see it once, revoke it. */

import { signal } from "@preact/signals";
import { useState } from "preact/hooks";
import { call } from "../api/client";
import type { ApiToken, Page, Role } from "../api/types";
import { dateTime } from "../lib/format";
import { resource, useFresh } from "../lib/resource";
import { at } from "../live/store";
import { Copy } from "../parts/copy";
import { Dialog } from "../parts/dialog";
import { Field } from "../parts/field";
import { IconButton } from "../parts/icon-button";
import { Icon } from "../parts/icons";
import { Empty, Fetched } from "../parts/states";
import { complain, say } from "../parts/toast";
import { FormFoot } from "../parts/form-foot";
import { RoleChoice } from "./role-choice";
import { useSubmit } from "../parts/submit";
import { validity } from "./validity";

/** Commands on the hub's machine make a token for a minute; spent ones are nobody's concern, and the next command removes them. */
const spent = ({ name, expires_at }: ApiToken): boolean => name.startsWith("command-line-") && validity(expires_at, Date.now()).over;

const tokens = resource(async () => (await call<Page<ApiToken>>("GET", "/api/v1/tokens?limit=500")).data.filter((token) => !spent(token)));
const adding = signal(false);
const made = signal<{ name: string; token: string } | null>(null);
const removing = signal<ApiToken | null>(null);

async function revoke(token: ApiToken): Promise<void> {
  try {
    await call("DELETE", `/api/v1/tokens/${encodeURIComponent(token.name)}`);
    say(`Revoked: ${token.name}`);
    removing.value = null;
    await tokens.reload();
  } catch (error) {
    complain(error);
  }
}

export function Tokens() {
  useFresh(tokens.reload);
  const token = removing.value;
  return (
    <section class="panel" aria-label="API tokens" data-testid="tokens">
      <header class="panel-head page-head">
        <h2>API tokens</h2>
        <p class="lead grow">For programs that send events or call the API.</p>
        <button type="button" class="primary" onClick={() => (adding.value = true)}>
          <Icon name="plus" />
          New token
        </button>
      </header>
      <Fetched of={tokens} rows={3}>{(list) => <List list={list} />}</Fetched>
      {adding.value && <NewForm close={() => (adding.value = false)} />}
      {made.value !== null && <Shown name={made.value.name} token={made.value.token} close={() => (made.value = null)} />}
      {token !== null && (
        <Dialog title="Revoke token" close={() => (removing.value = null)}>
          <p class="dialog-lead">
            Revoke <b>{token.name}</b>? Programs that use it are refused from then on.
          </p>
          <div class="dialog-foot">
            <button type="button" onClick={() => (removing.value = null)}>
              Keep
            </button>
            <button type="button" class="danger" onClick={() => void revoke(token)}>
              Revoke
            </button>
          </div>
        </Dialog>
      )}
    </section>
  );
}

function List({ list }: { list: ApiToken[] }) {
  if (list.length === 0) return <Empty icon="settings" title="No API tokens yet">A program needs one to send events over HTTP.</Empty>;
  return (
    <div class="table-box" tabIndex={0}>
      <table class="table stack">
        <thead>
          <tr>
            <th>Token</th>
            <th>Role</th>
            <th>Made</th>
            <th>Valid</th>
            <th>
              <span class="sr-only">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {list.map((token) => (
            <Row key={token.name} token={token} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Row({ token }: { token: ApiToken }) {
  const { text, over } = validity(token.expires_at, at.value || Date.now());
  return (
    <tr class={over ? "disabled" : ""}>
      <td>
        <b>{token.name}</b>
      </td>
      <td data-label="Role">{token.role}</td>
      <td data-label="Made">{dateTime(token.created_at)}</td>
      <td data-label="Valid" title={token.expires_at === null ? "" : dateTime(token.expires_at)}>{text}</td>
      <td class="row-actions">
        <IconButton icon="trash" label={`Revoke ${token.name}`} title="Revoke" onClick={() => (removing.value = token)} />
      </td>
    </tr>
  );
}

function NewForm({ close }: { close: () => void }) {
  const [name, setName] = useState("");
  const [role, setRole] = useState<Role>("ingest");
  const [ttl, setTtl] = useState("365d");
  const form = useSubmit(async () => {
    const answer = await call<{ data: { name: string; token: string } }>("POST", "/api/v1/tokens", { name, role, ttl });
    made.value = answer.data;
    close();
    await tokens.reload();
  });
  return (
    <Dialog title="New API token" close={close}>
      <form onSubmit={form.submit} noValidate>
        <div class="form-grid">
          <Field label="What it is for" hint="letters, digits and . _ - @" errors={form.wrong("name")} class="span-4">
            {(ids) => <input {...ids} value={name} maxLength={64} autofocus autocomplete="off" autocapitalize="none" spellcheck={false} onInput={(e) => setName(e.currentTarget.value)} />}
          </Field>
          <Field label="Valid for" hint="12h, 90d" errors={form.wrong("ttl")} class="span-2">
            {(ids) => <input {...ids} class="mono" value={ttl} onInput={(e) => setTtl(e.currentTarget.value)} />}
          </Field>
          <RoleChoice role={role} change={setRole} errors={form.wrong("role")} />
        </div>
        <FormFoot form={form} close={close} action="Create token" />
      </form>
    </Dialog>
  );
}

function Shown({ name, token, close }: { name: string; token: string; close: () => void }) {
  return (
    <Dialog title={`Token for ${name}`} close={close} wide>
      <p class="dialog-lead">This is the only time that it is shown: the hub keeps no copy. Programs send it in a header:</p>
      <div class="command">
        <code data-testid="token">Authorization: Bearer {token}</code>
        <Copy text={token} what="the token" />
      </div>
      <div class="dialog-foot">
        <button type="button" class="primary" onClick={close}>
          I have kept it
        </button>
      </div>
    </Dialog>
  );
}
