/** A section of documents that are told apart by their name: listed in words, written as JSON. */

import { type ComponentChildren, Fragment } from "preact";
import { useState } from "preact/hooks";
import type { Named } from "../api/routing";
import { mayEdit } from "../api/session";
import type { Resource } from "../lib/resource";
import { Confirm } from "../parts/confirm";
import { DocumentForm } from "../parts/document-form";
import { Icon } from "../parts/icons";
import { Failure, Loading } from "../parts/states";
import { say } from "../parts/toast";

interface DocumentsProps<T extends { name: string }> {
  title: string;
  lead: string;
  /** `on-call schedule` */
  what: string;
  hint: string;
  none: string;
  known: Resource<T[]>;
  api: Named<T>;
  /** What a new one begins with. */
  fresh: () => unknown;
  show: (value: T) => ComponentChildren;
  /** After a change. */
  changed: () => Promise<unknown>;
  testid: string;
}

export function Documents<T extends { name: string }>({ title, lead, what, hint, none, known, api, fresh, show, changed, testid }: DocumentsProps<T>) {
  const [editing, setEditing] = useState<T | "new" | null>(null);
  const [removing, setRemoving] = useState<T | null>(null);
  const list = known.data.value;
  return (
    <section class="panel" aria-label={title} data-testid={testid}>
      <header class="panel-head page-head">
        <h2>{title}</h2>
        <p class="lead grow">{lead}</p>
        {mayEdit() && (
          <button type="button" onClick={() => setEditing("new")}>
            <Icon name="plus" />
            New<span class="sr-only"> {what}</span>
          </button>
        )}
      </header>
      {list === null ? (
        known.error.value === null ? (
          <Loading rows={2} />
        ) : (
          <Failure error={known.error.value} retry={() => void known.reload()} />
        )
      ) : list.length === 0 ? (
        <p class="none faint">{none}</p>
      ) : (
        <ul class="cards">
          {list.map((value) => (
            <li key={value.name} class="item" data-name={value.name}>
              <div class="item-what">
                <Fragment>{show(value)}</Fragment>
              </div>
              {mayEdit() && (
                <div class="item-actions">
                  <button type="button" class="ghost square" aria-label={`Edit ${value.name}`} title="Edit" onClick={() => setEditing(value)}>
                    <Icon name="edit" />
                  </button>
                  <button type="button" class="ghost square" aria-label={`Delete ${value.name}`} title="Delete" onClick={() => setRemoving(value)}>
                    <Icon name="trash" />
                  </button>
                </div>
              )}
            </li>
          ))}
        </ul>
      )}
      {editing !== null && (
        <DocumentForm
          title={editing === "new" ? `New ${what}` : `Edit ${editing.name}`}
          hint={hint}
          value={editing === "new" ? fresh() : editing}
          action={editing === "new" ? "Create" : "Save"}
          close={() => setEditing(null)}
          save={async (value) => {
            await (editing === "new" ? api.create(value) : api.replace(editing.name, value));
            say(editing === "new" ? `Created: ${what}` : `Saved: ${editing.name}`);
            await changed();
          }}
        />
      )}
      {removing !== null && (
        <Confirm
          title={`Delete ${what}`}
          action="Delete"
          danger
          close={() => setRemoving(null)}
          run={async () => {
            await api.remove(removing.name);
            say(`Deleted: ${removing.name}`);
            await changed();
          }}
        >
          <p>
            Delete the {what} <b>{removing.name}</b>?
          </p>
        </Confirm>
      )}
    </section>
  );
}
