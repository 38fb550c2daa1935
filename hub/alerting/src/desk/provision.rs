//! Makes rules, channels and routing what files say.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use streamflow_model::{Channel, Instant, Routing, RoutingDraft, Rule, RuleDraft};
use streamflow_web::{ApiError, ApiResult};
use uuid::Uuid;

use super::{Desk, delete, put, unused};
use crate::{
    documents::{CHANNEL, ROUTING, RULE},
    matchers::wrong,
    provision::{Provisioned, RefusedPart, refused},
    route::{Compiled, Known},
};

/// Who makes the changes.
const BY: &str = "provisioning";

/// A file that plugins have nothing against.
#[derive(Debug)]
pub(crate) struct Ready {
    /// Its name.
    pub(crate) name: String,
    /// Rules.
    pub(crate) rules: Vec<RuleDraft>,
    /// Channels, with sealed secrets.
    pub(crate) channels: Vec<ReadyChannel>,
    /// Routing.
    pub(crate) routing: Option<RoutingDraft>,
}

/// A channel of a file.
#[derive(Debug)]
pub(crate) struct ReadyChannel {
    /// As it is to be.
    pub(crate) channel: Channel,
    /// As it stands, when that is the same apart from the file that it is kept in.
    pub(crate) same: Option<Arc<Channel>>,
}

impl Desk {
    /// Makes rules, channels and routing what the files say. What is the same stays untouched; what came from a `broken` file,
    /// or from one that has a mistake, stays as it is.
    pub(crate) fn provision(
        &mut self,
        mut files: Vec<Ready>,
        mut broken: BTreeSet<String>,
        now: i64,
    ) -> ApiResult<Provisioned> {
        let mut done = Provisioned::default();
        // What a refused file would have brought is missing for others, so one mistake may lead to the next.
        loop {
            let found = self.mistakes(&files);
            if found.is_empty() {
                break;
            }
            files.retain(|file| found.iter().all(|part| part.file != file.name));
            broken.extend(found.iter().map(|part| part.file.clone()));
            done.refused.extend(found);
        }
        let (mut rules, mut channels, mut routing) = (BTreeSet::new(), BTreeSet::new(), false);
        // A route, or a rule, may name a channel of another file.
        for file in &mut files {
            for ready in std::mem::take(&mut file.channels) {
                channels.insert(ready.channel.name.clone());
                self.provision_channel(ready, &file.name, &mut done, now)?;
            }
        }
        for file in files {
            for draft in file.rules {
                rules.insert(draft.name.clone());
                self.provision_rule(draft, &file.name, &mut done, now)?;
            }
            if let Some(draft) = file.routing {
                routing = true;
                self.provision_routing(draft, &file.name, &mut done, now)?;
            }
        }
        self.drop_rules(&rules, &broken, &mut done, now)?;
        if !routing && gone(self.book.routing().provisioned.as_ref(), &broken) {
            // Whom to tell is not forgotten with the file; it can be edited again.
            self.mark_routing(None, now)?;
            done.changed.push("routing".to_owned());
        }
        self.drop_channels(&channels, &broken, &mut done, now)?;
        done.rules = self
            .book
            .rules()
            .values()
            .filter(|rule| rule.provisioned.is_some())
            .count();
        Ok(done)
    }

    /// Whether anything is kept in files.
    pub(crate) fn holds(&self) -> bool {
        self.book.rules().values().any(|rule| rule.provisioned.is_some())
            || self.book.channels().values().any(|one| one.provisioned.is_some())
            || self.book.routing().provisioned.is_some()
    }

    /// Lets go of everything that files held; answers how much that was.
    pub(crate) fn release(&mut self, now: i64) -> ApiResult<usize> {
        let held = self.book.rules().values().filter(|rule| rule.provisioned.is_some());
        let rules: Vec<Rule> = held.map(|rule| Rule::clone(rule)).collect();
        let held = self.book.channels().values();
        let held = held.filter(|channel| channel.provisioned.is_some());
        let channels: Vec<Channel> = held.map(|channel| Channel::clone(channel)).collect();
        let mut count = rules.len() + channels.len();
        for rule in rules {
            self.keep_rule(
                Rule {
                    provisioned: None,
                    ..rule
                },
                now,
            )?;
        }
        for channel in channels {
            self.put_channel(Channel {
                provisioned: None,
                ..channel
            })?;
        }
        if self.book.routing().provisioned.is_some() {
            count += 1;
            self.mark_routing(None, now)?;
        }
        Ok(count)
    }

    /// What is wrong with the files, as they would be together.
    fn mistakes(&self, files: &[Ready]) -> Vec<RefusedPart> {
        let register = self.book.register();
        let channels = files.iter().flat_map(|file| &file.channels);
        let coming: BTreeSet<&str> = channels.map(|ready| ready.channel.name.as_str()).collect();
        let known = |name: &str| {
            if coming.contains(name) {
                Ok(())
            } else {
                register.knows_target(name)
            }
        };
        let mut found = Vec::new();
        let (mut rules, mut named) = (BTreeMap::new(), BTreeMap::new());
        let mut routing: Option<&str> = None;
        let twice = |what: &str, name: &str, other: &str| {
            wrong("name", format!("there is a {what} called `{name}` in {other} already"))
        };
        for file in files {
            let of = |kind, name: &str, error| refused(&file.name, kind, name, error);
            for ready in &file.channels {
                let name = ready.channel.name.as_str();
                if let Some(other) = named.insert(name, &file.name) {
                    found.push(of("channels", name, twice("channel", name, other)));
                }
            }
            for rule in &file.rules {
                let name = rule.name.as_str();
                if let Some(other) = rules.insert(name, &file.name) {
                    found.push(of("rules", name, twice("rule", name, other)));
                }
                let unknown = rule.channels.iter().filter_map(|target| known(target).err());
                found.extend(unknown.map(|reason| of("rules", name, wrong("channels", reason))));
                if let Some(policy) = &rule.escalation
                    && !register.escalations().contains_key(policy)
                {
                    let reason = format!("there is no escalation policy called `{policy}`");
                    found.push(of("rules", name, wrong("escalation", reason)));
                }
            }
            if let Some(draft) = &file.routing {
                if let Some(other) = routing.replace(&file.name) {
                    let reason = format!("there is a routing in {other} already; only one file may hold it");
                    found.push(of("routing", "", wrong("routing", reason)));
                }
                let errors = compile(draft, &known, &|name| register.escalations().contains_key(name));
                found.extend(errors.err().into_iter().flatten().map(|error| of("routing", "", error)));
            }
        }
        found
    }

    fn provision_rule(&mut self, draft: RuleDraft, file: &str, done: &mut Provisioned, now: i64) -> ApiResult<()> {
        let what = format!("rule `{}`", draft.name);
        let before = self.book.rules().values().find(|rule| rule.draft.name == draft.name);
        let before = before.map(|rule| Rule::clone(rule));
        let kept_in = Some(file.to_owned());
        let rule = match before {
            Some(before) if before.draft == draft && before.provisioned == kept_in => {
                done.unchanged += 1;
                return Ok(());
            }
            // The same rule in another place: nothing about it is new.
            Some(before) if before.draft == draft => {
                done.unchanged += 1;
                Rule {
                    provisioned: kept_in,
                    ..before
                }
            }
            Some(before) => {
                done.changed.push(what);
                Rule {
                    draft,
                    version: before.version + 1,
                    updated_at: Instant(now),
                    provisioned: kept_in,
                    ..before
                }
            }
            None => {
                done.added.push(what);
                Rule {
                    id: Uuid::now_v7().to_string(),
                    draft,
                    version: 1,
                    created_at: Instant(now),
                    updated_at: Instant(now),
                    provisioned: kept_in,
                }
            }
        };
        self.keep_rule(rule, now)
    }

    fn keep_rule(&mut self, rule: Rule, now: i64) -> ApiResult<()> {
        put(&mut self.ops, RULE, rule.id.clone(), &rule)?;
        self.book.put_rule(rule, BY, now);
        self.rules_changed = true;
        Ok(())
    }

    fn provision_channel(
        &mut self,
        ready: ReadyChannel,
        file: &str,
        done: &mut Provisioned,
        now: i64,
    ) -> ApiResult<()> {
        let ReadyChannel { channel, same } = ready;
        let what = format!("channel `{}`", channel.name);
        let before = self.book.channels().get(&channel.name);
        let before = before.map(|channel| Channel::clone(channel));
        let kept_in = Some(file.to_owned());
        let channel = match before {
            // It may have been changed since it was compared.
            Some(before) if same.as_deref() == Some(&before) => {
                done.unchanged += 1;
                if before.provisioned == kept_in {
                    return Ok(());
                }
                before
            }
            Some(before) => {
                done.changed.push(what);
                Channel {
                    created_at: before.created_at,
                    updated_at: Instant(now),
                    ..channel
                }
            }
            None => {
                done.added.push(what);
                Channel {
                    created_at: Instant(now),
                    updated_at: Instant(now),
                    ..channel
                }
            }
        };
        self.put_channel(Channel {
            provisioned: kept_in,
            ..channel
        })
    }

    fn provision_routing(
        &mut self,
        draft: RoutingDraft,
        file: &str,
        done: &mut Provisioned,
        now: i64,
    ) -> ApiResult<()> {
        let before = self.book.routing();
        let kept_in = Some(file.to_owned());
        if before.draft == draft {
            done.unchanged += 1;
            if before.provisioned == kept_in {
                return Ok(());
            }
            return self.mark_routing(kept_in, now);
        }
        let routing = Routing {
            version: before.version + 1,
            updated_at: Instant(now),
            provisioned: kept_in,
            draft,
        };
        done.changed.push("routing".to_owned());
        let compiled = self.compile_routing(&routing.draft)?;
        put(&mut self.ops, ROUTING.0, ROUTING.1.to_owned(), &routing)?;
        self.book.set_routing(routing, compiled, now);
        Ok(())
    }

    fn mark_routing(&mut self, file: Option<String>, now: i64) -> ApiResult<()> {
        let routing = Routing {
            provisioned: file,
            ..self.book.routing().clone()
        };
        let compiled = self.compile_routing(&routing.draft)?;
        put(&mut self.ops, ROUTING.0, ROUTING.1.to_owned(), &routing)?;
        self.book.set_routing(routing, compiled, now);
        Ok(())
    }

    /// Removes rules that no file holds any more.
    fn drop_rules(
        &mut self,
        wanted: &BTreeSet<String>,
        broken: &BTreeSet<String>,
        done: &mut Provisioned,
        now: i64,
    ) -> ApiResult<()> {
        let rules = self.book.rules().values();
        let old = rules.filter(|rule| gone(rule.provisioned.as_ref(), broken) && !wanted.contains(&rule.draft.name));
        let old: Vec<(String, String)> = old.map(|rule| (rule.id.clone(), rule.draft.name.clone())).collect();
        for (id, name) in old {
            self.remove_rule(&id, BY, now)?;
            done.removed.push(format!("rule `{name}`"));
        }
        Ok(())
    }

    /// Removes channels that no file holds any more. One that something still names stays, and can be edited again; one that still
    /// has something to tell, such as the end of an alert whose rule went with it, goes when that is told.
    fn drop_channels(
        &mut self,
        wanted: &BTreeSet<String>,
        broken: &BTreeSet<String>,
        done: &mut Provisioned,
        now: i64,
    ) -> ApiResult<()> {
        let health = self.outbox.health(now);
        let channels = self.book.channels().values();
        let old =
            channels.filter(|channel| gone(channel.provisioned.as_ref(), broken) && !wanted.contains(&channel.name));
        let old: Vec<Channel> = old.map(|channel| Channel::clone(channel)).collect();
        for channel in old {
            let name = channel.name.clone();
            if let Err(error) = unused("channel", self.book.users_of(&name)) {
                tracing::warn!(channel = name, %error, "the file of a channel is gone, but the channel stays");
                self.put_channel(Channel {
                    provisioned: None,
                    ..channel
                })?;
                done.changed.push(format!("channel `{name}`"));
                continue;
            }
            let waits = health.get(&name).is_some_and(|health| health.waiting > 0);
            if waits || self.book.tells(&name) {
                done.leaving += 1;
                continue;
            }
            delete(&mut self.ops, CHANNEL, name.clone());
            self.outbox.close_channel(&name);
            self.book.remove_channel(&name);
            self.channels_changed = true;
            done.removed.push(format!("channel `{name}`"));
        }
        Ok(())
    }
}

/// Whether what is kept in this file goes when no file says it any more.
fn gone(kept_in: Option<&String>, broken: &BTreeSet<String>) -> bool {
    kept_in.is_some_and(|file| !broken.contains(file))
}

fn compile(
    draft: &RoutingDraft,
    channel: &dyn Fn(&str) -> Result<(), String>,
    escalation: &dyn Fn(&str) -> bool,
) -> Result<Compiled, Vec<streamflow_model::RuleError>> {
    Compiled::compile(draft, &Known { channel, escalation })
}

/// Refuses to change through the API what is kept in a file.
pub(crate) fn not_in_a_file(what: &str, kept_in: Option<&String>) -> ApiResult<()> {
    let Some(file) = kept_in else { return Ok(()) };
    let message = format!("this {what} is kept in the file {file}; change it there");
    Err(ApiError::conflict(message).with_details(serde_json::json!({"file": file})))
}

#[cfg(test)]
mod tests;
