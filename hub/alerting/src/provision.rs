//! Rules, channels and the routing tree as files say them: what differs is changed, what is the same keeps its state, and what
//! came from a file that cannot be read stays as it was.

use std::collections::BTreeSet;

use serde_json::Value;
use streamflow_model::{Channel, RoutingDraft, RuleDraft, RuleError, RuleKind};
use streamflow_web::{ApiError, ApiResult};

use crate::{
    desk::provision::{Ready, ReadyChannel},
    routes::{ChannelDraft, Rooms, prepare},
};

/// What all files together say.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Files that can be read, by name.
    pub files: Vec<WantedFile>,
    /// Names of files that cannot be read: what they held stays as it is.
    pub broken: BTreeSet<String>,
}

/// What one file says.
#[derive(Debug, Clone, Default)]
pub struct WantedFile {
    /// Its name, shown in what is kept in it.
    pub name: String,
    /// Rules; each has been compiled.
    pub rules: Vec<RuleDraft>,
    /// Channels.
    pub channels: Vec<ChannelDraft>,
    /// The routing tree and the rules of inhibition.
    pub routing: Option<RoutingDraft>,
}

/// Why a file is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedPart {
    /// The file.
    pub file: String,
    /// What of it: `rules`, `channels` or `routing`.
    pub kind: &'static str,
    /// The name of the rule or channel; empty for the routing.
    pub name: String,
    /// Field of the rule, the channel or the routing.
    pub field: String,
    /// What is wrong and what would be right.
    pub reason: String,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provisioned {
    /// What is new, such as "rule `disk`".
    pub added: Vec<String>,
    /// What is another now.
    pub changed: Vec<String>,
    /// What is gone.
    pub removed: Vec<String>,
    /// Rules and channels that are as they were.
    pub unchanged: usize,
    /// Channels that no file holds any more, but that still have something to tell. They go with a later call.
    pub leaving: usize,
    /// Rules that are kept in files now.
    pub rules: usize,
    /// Mistakes; nothing of their files is taken.
    pub refused: Vec<RefusedPart>,
}

/// Takes in what files say.
#[derive(Clone)]
pub struct Provisioner(Rooms);

impl std::fmt::Debug for Provisioner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provisioner").finish_non_exhaustive()
    }
}

impl Provisioner {
    pub(crate) const fn new(rooms: Rooms) -> Self {
        Self(rooms)
    }

    /// Makes rules, channels and routing what the files say, all of it in one commit. A file with a mistake counts as broken.
    ///
    /// # Errors
    /// When alerting has stopped, or the changes cannot be written.
    pub async fn apply(&self, wanted: Wanted) -> ApiResult<Provisioned> {
        let Wanted { files, mut broken } = wanted;
        let (mut ready, mut refused) = (Vec::new(), Vec::new());
        for file in files {
            match self.ready(file).await {
                Ok(file) => ready.push(file),
                Err(parts) => {
                    broken.extend(parts.first().map(|part| part.file.clone()));
                    refused.extend(parts);
                }
            }
        }
        let acknowledging = self.0.sender.acknowledging();
        let mut done = self
            .0
            .handle
            .call(move |desk, now| {
                // A plugin may have come since the start.
                desk.set_acknowledging(acknowledging);
                desk.provision(ready, broken, now)
            })
            .await?;
        refused.append(&mut done.refused);
        done.refused = refused;
        Ok(done)
    }

    /// Whether anything is kept in files.
    ///
    /// # Errors
    /// When alerting has stopped.
    pub async fn holds(&self) -> ApiResult<bool> {
        self.0.handle.call(|desk, _| Ok(desk.holds())).await
    }

    /// Lets go of what files held: from now on it is kept through the API.
    ///
    /// # Errors
    /// When alerting has stopped, or the changes cannot be written.
    pub async fn release(&self) -> ApiResult<usize> {
        self.0.handle.call(|desk, now| desk.release(now)).await
    }

    /// What plugins have to say about a file; nothing of it is changed yet.
    async fn ready(&self, file: WantedFile) -> Result<Ready, Vec<RefusedPart>> {
        let rooms = &self.0;
        let part = |kind, name: &str, field: String, reason: String| RefusedPart {
            file: file.name.clone(),
            kind,
            name: name.to_owned(),
            field,
            reason,
        };
        let (mut channels, mut refused) = (Vec::new(), Vec::new());
        for draft in &file.channels {
            let name = draft.name().to_owned();
            match prepare(rooms, draft.clone(), None).await {
                Ok(channel) => {
                    let before = rooms.handle.board.channels.borrow().get(&name).cloned();
                    let same = before.filter(|before| self.same(before, &channel));
                    channels.push(ReadyChannel { channel, same });
                }
                Err(error) => {
                    let told = reasons(&error).into_iter();
                    refused.extend(told.map(|(field, reason)| part("channels", &name, field, reason)));
                }
            }
        }
        for rule in file.rules.iter().filter(|rule| rule.kind == RuleKind::Plugin) {
            if let Some(plugin) = &rule.plugin {
                let problems = rooms.sender.check_rule(plugin, &rule.config).await.into_iter();
                refused.extend(problems.map(|problem| part("rules", &rule.name, problem.field, problem.reason)));
            }
        }
        if !refused.is_empty() {
            return Err(refused);
        }
        Ok(Ready {
            name: file.name,
            rules: file.rules,
            channels,
            routing: file.routing,
        })
    }

    /// Whether a channel is as it stands: secrets are compared as they are in clear, since they are sealed anew each time.
    fn same(&self, before: &Channel, now: &Channel) -> bool {
        let vault = &self.0.vault;
        let clear = |channel: &Channel| {
            vault.config(channel).map(|config| Channel {
                config,
                created_at: now.created_at,
                updated_at: now.updated_at,
                provisioned: None,
                ..channel.clone()
            })
        };
        matches!((clear(before), clear(now)), (Ok(before), Ok(now)) if before == now)
    }
}

/// Field and reason of each mistake that an answer tells of.
fn reasons(error: &ApiError) -> Vec<(String, String)> {
    let body = error.body();
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let whole = text(body.details.get("field"));
    let listed = body.details.get("errors").and_then(Value::as_array);
    let listed: Vec<(String, String)> = listed
        .into_iter()
        .flatten()
        .filter_map(|one| {
            let reason = one.get("reason").or_else(|| one.get("message"));
            let field = text(one.get("field").or_else(|| one.get("path")));
            Some((field, reason?.as_str()?.to_owned()))
        })
        .collect();
    if listed.is_empty() {
        vec![(whole, body.message)]
    } else {
        listed
    }
}

/// A mistake of the rule that the desk has found.
pub(crate) fn refused(file: &str, kind: &'static str, name: &str, error: RuleError) -> RefusedPart {
    RefusedPart {
        file: file.to_owned(),
        kind,
        name: name.to_owned(),
        field: error.field,
        reason: error.reason,
    }
}
