/** A section of documents that are told apart by their name: listed in words, written as JSON. */

import { type ComponentChildren, Fragment } from "preact";
import { useState } from "preact/hooks";
import type { Named } from "../api/routing";
import { mayEdit } from "../api/session";
import type { Resource } from "../lib/resource";
import { Confirm } from "../parts/confirm";
import { DocumentForm } from "../parts/document-form";
import { IconButton } from "../parts/icon-button";
import { Icon } from "../parts/icons";
import { Fetched } from "../parts/states";
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
  /** After a change, when more than the list is to be fetched again. */
  changed?: () => Promise<unknown>;
  testid: string;
}

export function Documents<T extends { name: string }>({ title, lead, what, hint, none, known, api, fresh, show, changed = known.reload, testid }: DocumentsProps<T>) {
  const [editing, setEditing] = useState<T | "new" | null>(null);
  const [removing, setRemoving] = useState<T | null>(null);
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
      <Fetched of={known} rows={2}>
        {(list) =>
          list.length === 0 ? (
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
                      <IconButton icon="edit" label={`Edit ${value.name}`} title="Edit" onClick={() => setEditing(value)} />
                      <IconButton icon="trash" label={`Delete ${value.name}`} title="Delete" onClick={() => setRemoving(value)} />
                    </div>
                  )}
                </li>
              ))}
            </ul>
          )
        }
      </Fetched>
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
