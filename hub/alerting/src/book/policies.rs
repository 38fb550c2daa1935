//! Escalation policies and on-call schedules at work.

use std::sync::Arc;

use streamflow_model::Escalation;

use super::Book;
use crate::oncall::Roster;

/// What stands for the routing tree among the users of a name.
const ROUTING: &str = "the routing";

impl Book {
    /// Adds or replaces an escalation policy; incidents that follow it take its steps from now on.
    pub(crate) fn put_escalation(&mut self, policy: Escalation, now: i64) {
        let name = policy.name.clone();
        self.register.put_escalation(policy);
        self.policy_changed(&name, now);
    }

    /// Removes an escalation policy; incidents that follow it are escalated no further by it.
    pub(crate) fn remove_escalation(&mut self, name: &str, now: i64) -> bool {
        let known = self.register.remove_escalation(name);
        self.policy_changed(name, now);
        known
    }

    /// Adds or replaces an on-call schedule; it is asked anew with every notification.
    pub(crate) fn put_roster(&mut self, roster: Roster) {
        self.register.put_roster(roster);
    }

    /// Removes an on-call schedule.
    pub(crate) fn remove_roster(&mut self, name: &str) -> bool {
        self.register.remove_roster(name)
    }

    /// What names a channel, or `oncall:…`.
    pub(crate) fn users_of(&self, target: &str) -> Vec<String> {
        let mut users = self.register.users_of(target);
        if self.tree.names_channel(target) {
            users.push(ROUTING.to_owned());
        }
        users
    }

    /// What follows an escalation policy.
    pub(crate) fn followers_of(&self, policy: &str) -> Vec<String> {
        let mut users = self.register.followers_of(policy);
        if self.tree.names_escalation(policy) {
            users.push(ROUTING.to_owned());
        }
        users
    }

    fn policy_changed(&mut self, name: &str, now: i64) {
        let follows = self
            .groups
            .iter()
            .filter(|(_, slot)| slot.incident.policy() == Some(name));
        let mut keys: Vec<Arc<str>> = follows.map(|(key, _)| key.clone()).collect();
        keys.extend(self.resting(|packed| {
            let incident = || packed.incident();
            packed.follows_policy() && incident().is_some_and(|incident| incident.policy() == Some(name))
        }));
        keys.iter().for_each(|key| self.reschedule(key));
        self.settle(now);
    }
}
