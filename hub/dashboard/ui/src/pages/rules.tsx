/** Rules: what is watched, and the form that writes them. */

import { computed, signal } from "@preact/signals";
import { call } from "../api/client";
import { mayEdit } from "../api/session";
import type { Page, Rule } from "../api/types";
import { resource, useFresh } from "../lib/resource";
import { firing } from "../live/store";
import { LevelBadge } from "../parts/badge";
import { Dialog } from "../parts/dialog";
import { IconButton } from "../parts/icon-button";
import { Icon } from "../parts/icons";
import { Search } from "../parts/search";
import { Empty, Fetched } from "../parts/states";
import { complain, say } from "../parts/toast";
import { Backtest } from "./backtest";
import { draftOf, looksAt, newRule, summary } from "./rule-draft";
import { RuleForm } from "./rule-form";
import { RuleText } from "./rule-text";

const rules = resource(async () => (await call<Page<Rule>>("GET", "/api/v1/rules?limit=500")).data);
const text = signal("");
const editing = signal<Rule | "new" | null>(null);
const removing = signal<Rule | null>(null);
const trying = signal<Rule | null>(null);
/** The rule that is edited is shown as JSON. */
const asJson = signal(false);

const shown = computed(() => {
  const wanted = text.value.toLowerCase();
  return (rules.data.value ?? [])
    .filter((rule) => `${rule.name} ${rule.kind} ${looksAt(draftOf(rule))} ${rule.plugin ?? rule.aggregate ?? ""} ${rule.tags.join(" ")}`.toLowerCase().includes(wanted))
    .sort((a, b) => a.name.localeCompare(b.name));
});

const path = (rule: Rule): string => `/api/v1/rules/${encodeURIComponent(rule.id)}`;

function edited(what: Rule | "new"): void {
  asJson.value = false;
  editing.value = what;
}

async function enable(rule: Rule, enabled: boolean): Promise<void> {
  try {
    await call("PUT", path(rule), { ...draftOf(rule), enabled });
    await rules.reload();
  } catch (error) {
    complain(error);
  }
}

async function remove(rule: Rule): Promise<void> {
  try {
    await call("DELETE", path(rule));
    say(`Deleted: ${rule.name}`);
    removing.value = null;
    await rules.reload();
  } catch (error) {
    complain(error);
  }
}

export function RulesPage() {
  useFresh(rules.reload);
  const open = editing.value;
  return (
    <section class="panel page" aria-label="Rules">
      <header class="panel-head page-head">
        <Search text={text} what="rules" hint="Filter by name, expression or tag" />
        {mayEdit() && (
          <button type="button" class="primary" onClick={() => edited("new")}>
            <Icon name="plus" />
            New rule
          </button>
        )}
      </header>
      <Fetched of={rules} rows={6}>{() => <Body />}</Fetched>
      {open !== null && open !== "new" && asJson.value && (
        <RuleText
          rule={open}
          close={() => (editing.value = null)}
          saved={() => {
            editing.value = null;
            void rules.reload();
          }}
        />
      )}
      {open !== null && (open === "new" || !asJson.value) && (
        <RuleForm
          key={open === "new" ? "" : open.id}
          rule={open === "new" ? null : open}
          draft={open === "new" ? newRule() : draftOf(open)}
          {...(open === "new" ? {} : { asText: () => (asJson.value = true) })}
          close={() => (editing.value = null)}
          saved={() => {
            editing.value = null;
            void rules.reload();
          }}
        />
      )}
      {trying.value !== null && <Backtest name={trying.value.name} of={{ id: trying.value.id }} close={() => (trying.value = null)} />}
      {removing.value !== null && (
        <Dialog title="Delete rule" close={() => (removing.value = null)}>
          <p class="dialog-lead">
            Delete <b>{removing.value.name}</b>? Its open alerts are resolved; its history stays.
          </p>
          <div class="dialog-foot">
            <button type="button" onClick={() => (removing.value = null)}>
              Keep it
            </button>
            <button type="button" class="danger" onClick={() => removing.value !== null && void remove(removing.value)}>
              Delete
            </button>
          </div>
        </Dialog>
      )}
    </section>
  );
}

function Body() {
  if (shown.value.length === 0) {
    return text.value === "" ? (
      <Empty icon="rules" title="No rules yet">
        A rule watches an aggregate, a pattern or a silence, and fires an alert for each group in which it finds it.
      </Empty>
    ) : (
      <Empty icon="search" title="No rule matches" />
    );
  }
  return (
    <div class="table-box" tabIndex={0}>
      <table class="table stack">
        <thead>
          <tr>
            <th>Rule</th>
            <th>Fires when</th>
            <th class="num">Window</th>
            <th>Level</th>
            <th>Tells</th>
            <th>On</th>
            <th>
              <span class="sr-only">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {shown.value.map((rule) => (
            <Row key={rule.id} rule={rule} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Row({ rule }: { rule: Rule }) {
  const alarms = firing.value.filter((alert) => alert.rule_id === rule.id).length;
  const edit = mayEdit() && rule.provisioned === undefined;
  const draft = draftOf(rule);
  const { fires, over } = summary(draft);
  const events = looksAt(draft);
  return (
    <tr class={rule.enabled ? "" : "disabled"}>
      <td>
        <b>{rule.name}</b>
        {alarms > 0 && <span class={`badge level-${rule.level}`}>{alarms} firing</span>}
        {rule.kind !== "threshold" && <span class="badge">{rule.kind}</span>}
        {rule.provisioned !== undefined && (
          <span class="badge" title={`Kept in ${rule.provisioned}; change it there`}>
            file
          </span>
        )}
        {rule.group_by.length > 0 && <small>for each {rule.group_by.join(", ")}</small>}
      </td>
      <td class="mono" data-label="Fires when">
        <span>{fires}</span>
        <small class="clip" title={events}>
          {events}
        </small>
      </td>
      <td class="num" data-label="Window">
        {over}
        {rule.for !== "0s" && <small>for {rule.for}</small>}
      </td>
      <td data-label="Level">
        <LevelBadge level={rule.level} />
      </td>
      <td data-label="Tells">{rule.channels.length === 0 ? <span class="faint">by the routing</span> : rule.channels.join(", ")}</td>
      <td data-label="On">
        <label class="switch">
          <input type="checkbox" checked={rule.enabled} disabled={!edit} aria-label={`${rule.name} is enabled`} onChange={(event) => void enable(rule, event.currentTarget.checked)} />
          <i aria-hidden="true" />
        </label>
      </td>
      <td class="row-actions">
        <IconButton icon="back" label={`Backtest ${rule.name}`} title="Backtest" onClick={() => (trying.value = rule)} />
        {edit && (
          <>
            <IconButton icon="edit" label={`Edit ${rule.name}`} title="Edit" onClick={() => edited(rule)} />
            <IconButton icon="trash" label={`Delete ${rule.name}`} title="Delete" onClick={() => (removing.value = rule)} />
          </>
        )}
      </td>
    </tr>
  );
}
