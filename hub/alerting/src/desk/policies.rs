//! Silences, maintenance windows and the routing tree: checked, made durable, put to work.

use std::borrow::Cow;

use streamflow_model::{
    Alert, Escalation, Instant, Maintenance, Matcher, OncallSchedule, Routing, RoutingDraft, Silence, SilenceState,
};
use streamflow_web::{ApiError, ApiResult};
use uuid::Uuid;

use super::{Desk, delete, provision::not_in_a_file, put, unused};
use crate::{
    documents::{ESCALATION, MAINTENANCE, ONCALL, ROUTING, SILENCE},
    matchers::{Matchers, refuse, wrong},
    mute::Window,
    oncall::Roster,
    route::{Compiled, Known},
};

/// Silences that have not expired, and maintenance windows.
const MOST: usize = 10_000;
/// Bytes of a comment.
const LONGEST: usize = 4096;

impl Desk {
    /// The open alerts that these matchers mean.
    pub(crate) fn meant(&self, matchers: &[Matcher]) -> ApiResult<Vec<Alert>> {
        let matchers = matchers_of_silence(matchers)?;
        let open = self.book.open_with(|labels| matchers.hold(labels));
        Ok(open.into_iter().map(Cow::into_owned).collect())
    }

    /// Makes a silence, or changes one: an expired one, or one whose matchers change, is replaced by a new one.
    pub(crate) fn save_silence(&mut self, mut silence: Silence, now: i64) -> ApiResult<Silence> {
        let matchers = matchers_of_silence(&silence.matchers)?;
        let mut errors = Vec::new();
        if silence.ends_at <= silence.starts_at || silence.ends_at.0 <= now {
            errors.push(wrong("ends_at", "must be after `starts_at`, and in the future"));
        }
        if silence.comment.len() > LONGEST {
            errors.push(wrong("comment", format!("must have at most {LONGEST} bytes")));
        }
        if !errors.is_empty() {
            return Err(refuse("the silence", &errors));
        }
        silence.updated_at = Instant(now);
        let before = if silence.id.is_empty() {
            None
        } else {
            Some(self.silence(&silence.id)?)
        };
        match before {
            Some(before) if before.state(now) != SilenceState::Expired && before.matchers == silence.matchers => {
                silence.created_at = before.created_at;
            }
            before => {
                if let Some(before) = before {
                    self.expire_silence(&before.id, now)?;
                }
                if self.silences_left(now) == 0 {
                    return Err(ApiError::conflict(format!(
                        "there are {MOST} silences already; delete some"
                    )));
                }
                silence.id = Uuid::now_v7().to_string();
                silence.created_at = Instant(now);
            }
        }
        put(&mut self.ops, SILENCE, silence.id.clone(), &silence)?;
        self.book.put_silence(silence.clone(), matchers, now);
        Ok(silence)
    }

    /// Ends a silence now. It stays in the list as expired.
    pub(crate) fn expire_silence(&mut self, id: &str, now: i64) -> ApiResult<Silence> {
        let mut silence = self.silence(id)?;
        if silence.state(now) == SilenceState::Expired {
            return Ok(silence);
        }
        silence.ends_at = Instant(now);
        silence.starts_at = silence.starts_at.min(silence.ends_at);
        silence.updated_at = Instant(now);
        let matchers = matchers_of_silence(&silence.matchers)?;
        put(&mut self.ops, SILENCE, silence.id.clone(), &silence)?;
        self.book.put_silence(silence.clone(), matchers, now);
        Ok(silence)
    }

    /// One silence.
    pub(crate) fn silence(&self, id: &str) -> ApiResult<Silence> {
        let silence = self.book.mutes().silence(id).cloned();
        silence.ok_or_else(|| ApiError::not_found(format!("there is no silence {id}")))
    }

    /// Removes silences that are long over.
    pub(super) fn forget_silences(&mut self, now: i64) {
        let oldest = now - self.options.keep_for.ms();
        for id in self.book.mutes().expired(oldest, now, self.options.keep_at_most) {
            self.book.forget_silence(&id);
            delete(&mut self.ops, SILENCE, id);
        }
    }

    fn silences_left(&self, now: i64) -> usize {
        let silences = self.book.mutes().silences();
        let live = silences.filter(|silence| silence.state(now) != SilenceState::Expired);
        MOST.saturating_sub(live.count())
    }

    /// Makes (`new`) or replaces a maintenance window.
    pub(crate) fn save_maintenance(&mut self, maintenance: Maintenance, new: bool, now: i64) -> ApiResult<Maintenance> {
        check_name(&maintenance.name)?;
        let window =
            Window::compile(maintenance.clone()).map_err(|errors| refuse("the maintenance window", &errors))?;
        let known = self.book.mutes().windows();
        let exists = known.contains_key(&maintenance.name);
        check_new("maintenance window", &maintenance.name, exists, new, known.len())?;
        put(&mut self.ops, MAINTENANCE, maintenance.name.clone(), &maintenance)?;
        self.book.put_window(window, now);
        Ok(maintenance)
    }

    /// Removes a maintenance window.
    pub(crate) fn delete_maintenance(&mut self, name: &str, now: i64) -> ApiResult<()> {
        if !self.book.remove_window(name, now) {
            return Err(missing("maintenance window", name));
        }
        delete(&mut self.ops, MAINTENANCE, name.to_owned());
        Ok(())
    }

    /// Replaces the routing tree, of this version when one is given.
    pub(crate) fn save_routing(&mut self, draft: RoutingDraft, version: Option<i64>, now: i64) -> ApiResult<Routing> {
        not_in_a_file("routing", self.book.routing().provisioned.as_ref())?;
        let before = self.book.routing().version;
        if version.is_some_and(|version| version != before) {
            let message = format!("the routing has changed meanwhile; it has version {before} now");
            return Err(ApiError::conflict(message));
        }
        let compiled = self.compile_routing(&draft)?;
        let routing = Routing {
            draft,
            version: before + 1,
            updated_at: Instant(now),
            provisioned: None,
        };
        put(&mut self.ops, ROUTING.0, ROUTING.1.to_owned(), &routing)?;
        self.book.set_routing(routing.clone(), compiled, now);
        Ok(routing)
    }

    /// Checks a routing document.
    pub(crate) fn compile_routing(&self, draft: &RoutingDraft) -> ApiResult<Compiled> {
        let known = Known {
            channel: &|name| self.book.register().knows_target(name),
            escalation: &|name| self.book.register().escalations().contains_key(name),
        };
        Compiled::compile(draft, &known).map_err(|errors| refuse("the routing", &errors))
    }

    /// Makes (`new`) or replaces an escalation policy.
    pub(crate) fn save_escalation(&mut self, policy: Escalation, new: bool, now: i64) -> ApiResult<Escalation> {
        check_name(&policy.name)?;
        let register = self.book.register();
        let errors = register.check_escalation(&policy);
        if !errors.is_empty() {
            return Err(refuse("the escalation policy", &errors));
        }
        let known = register.escalations();
        check_new(
            "escalation policy",
            &policy.name,
            known.contains_key(&policy.name),
            new,
            known.len(),
        )?;
        put(&mut self.ops, ESCALATION, policy.name.clone(), &policy)?;
        self.book.put_escalation(policy.clone(), now);
        Ok(policy)
    }

    /// Removes an escalation policy that nothing follows.
    pub(crate) fn delete_escalation(&mut self, name: &str, now: i64) -> ApiResult<()> {
        unused("escalation policy", self.book.followers_of(name))?;
        if !self.book.remove_escalation(name, now) {
            return Err(missing("escalation policy", name));
        }
        delete(&mut self.ops, ESCALATION, name.to_owned());
        Ok(())
    }

    /// Makes (`new`) or replaces an on-call schedule.
    pub(crate) fn save_schedule(&mut self, schedule: OncallSchedule, new: bool) -> ApiResult<OncallSchedule> {
        check_name(&schedule.name)?;
        let register = self.book.register();
        let roster = Roster::compile(schedule, &|name| register.knows_channel(name))
            .map_err(|errors| refuse("the on-call schedule", &errors))?;
        let schedule = roster.schedule.clone();
        let known = register.rosters();
        check_new(
            "on-call schedule",
            &schedule.name,
            known.contains_key(&schedule.name),
            new,
            known.len(),
        )?;
        put(&mut self.ops, ONCALL, schedule.name.clone(), &schedule)?;
        self.book.put_roster(roster);
        Ok(schedule)
    }

    /// Removes an on-call schedule that nothing names.
    pub(crate) fn delete_schedule(&mut self, name: &str) -> ApiResult<()> {
        unused("on-call schedule", self.book.users_of(&format!("oncall:{name}")))?;
        if !self.book.remove_roster(name) {
            return Err(missing("on-call schedule", name));
        }
        delete(&mut self.ops, ONCALL, name.to_owned());
        Ok(())
    }
}

fn check_new(what: &str, name: &str, known: bool, new: bool, count: usize) -> ApiResult<()> {
    match (known, new) {
        (true, true) => Err(ApiError::conflict(format!("there is a {what} called `{name}` already"))),
        (false, false) => Err(missing(what, name)),
        (false, true) if count >= MOST => Err(ApiError::conflict(format!("there are {MOST} already; delete some"))),
        _ => Ok(()),
    }
}

/// A silence that means everything would hide what nobody thought of.
fn matchers_of_silence(matchers: &[Matcher]) -> ApiResult<Matchers> {
    let compiled = Matchers::compile("matchers", matchers).map_err(|errors| refuse("the silence", &errors))?;
    if compiled.hold_for_nothing() {
        let reason = "needs a matcher that an alert without labels does not meet";
        return Err(refuse("the silence", &[wrong("matchers", reason)]));
    }
    Ok(compiled)
}

/// Names stand in paths.
pub(super) fn check_name(name: &str) -> ApiResult<()> {
    if name.is_empty() || name.len() > 128 || name.contains(|c: char| c == '/' || c.is_control()) {
        let reason = "must have 1 to 128 bytes and hold no `/`";
        return Err(refuse("the document", &[wrong("name", reason)]));
    }
    Ok(())
}

pub(crate) fn missing(what: &str, name: &str) -> ApiError {
    ApiError::not_found(format!("there is no {what} called `{name}`"))
}
