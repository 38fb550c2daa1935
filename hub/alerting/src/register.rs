//! What users have written down, ready for use: rules, channels, escalation policies, on-call schedules.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use streamflow_model::{Channel, Escalation, Level, OncallSchedule, Rule, RuleError, Span};

use crate::{
    calendar::Calendar,
    external,
    held::Meant,
    incident::{FlapLimit, Terms},
    matchers::wrong,
    oncall::Roster,
    options::Options,
    question,
};

/// A channel of this prefix is whoever is on call.
const ONCALL: &str = "oncall:";
/// Steps of a policy, and their repetitions.
const MOST: usize = 100;
/// Longest time that a policy may set.
const LONGEST: Span = Span::from_secs(30 * 86_400);

/// Everything by its name.
#[derive(Debug)]
pub(crate) struct Register {
    /// Rules that nobody has written: one that stands for the rules of others, and those by which the hub watches itself.
    builtin: BTreeMap<String, Arc<Rule>>,
    rules: BTreeMap<String, Arc<Rule>>,
    /// Fingerprint of what each rule asks.
    asks: HashMap<String, u64>,
    channels: BTreeMap<String, Arc<Channel>>,
    /// Hours of channels that have any.
    hours: HashMap<String, Calendar>,
    escalations: BTreeMap<String, Escalation>,
    rosters: BTreeMap<String, Roster>,
    /// Plugins whose channels are told of acknowledgements.
    acknowledging: Vec<String>,
}

impl Default for Register {
    fn default() -> Self {
        let external = external::rule("external", Level::Warning, &BTreeMap::new());
        Self {
            builtin: external
                .into_iter()
                .map(|rule| (rule.id.clone(), Arc::new(rule)))
                .collect(),
            rules: BTreeMap::new(),
            asks: HashMap::new(),
            channels: BTreeMap::new(),
            hours: HashMap::new(),
            escalations: BTreeMap::new(),
            rosters: BTreeMap::new(),
            acknowledging: Vec::new(),
        }
    }
}

impl Register {
    /// Adds or replaces a rule; answers the one before, and whether the new one asks the same.
    pub(crate) fn put_rule(&mut self, rule: Rule) -> Option<(Arc<Rule>, bool)> {
        let asks = question::fingerprint(&rule.draft);
        let asked = self.asks.insert(rule.id.clone(), asks);
        let before = self.rules.insert(rule.id.clone(), Arc::new(rule))?;
        Some((before, asked == Some(asks)))
    }

    /// Removes a rule.
    pub(crate) fn remove_rule(&mut self, id: &str) -> Option<Arc<Rule>> {
        self.asks.remove(id);
        self.rules.remove(id)
    }

    /// Adds a rule that nobody has written.
    pub(crate) fn put_builtin(&mut self, rule: Rule) {
        self.builtin.insert(rule.id.clone(), Arc::new(rule));
    }

    /// Removes such a rule.
    pub(crate) fn remove_builtin(&mut self, id: &str) {
        self.builtin.remove(id);
    }

    /// A rule, also one that nobody has written.
    pub(crate) fn rule(&self, id: &str) -> Option<&Arc<Rule>> {
        self.builtin.get(id).or_else(|| self.rules.get(id))
    }

    /// Whether a rule is there and at work, also one that nobody has written.
    pub(crate) fn is_at_work(&self, id: &str) -> bool {
        let rule = self.builtin.get(id).or_else(|| self.rules.get(id));
        rule.is_some_and(|rule| rule.draft.enabled)
    }

    /// Rules by id.
    pub(crate) const fn rules(&self) -> &BTreeMap<String, Arc<Rule>> {
        &self.rules
    }

    /// What decides about the incidents of a rule.
    pub(crate) fn terms(&self, options: &Options, rule_id: &str) -> Option<Terms<'_>> {
        let rule = self.builtin.get(rule_id).or_else(|| self.rules.get(rule_id))?;
        let flap = if rule.draft.flap_detection {
            FlapLimit {
                changes: options.flap_changes,
                within: options.flap_window,
            }
        } else {
            FlapLimit::OFF
        };
        Some(Terms {
            rule,
            asks: self.asks.get(rule_id).copied().unwrap_or_default(),
            flap,
            late_after: options.late_after,
            policies: &self.escalations,
        })
    }

    /// Adds or replaces a channel. Hours that no longer compile are none: it is told at any time.
    pub(crate) fn put_channel(&mut self, channel: Channel) {
        let hours = channel.active_hours.as_ref();
        let hours = hours.map(|hours| Calendar::compile("active_hours", hours));
        match hours.transpose() {
            Ok(Some(calendar)) => drop(self.hours.insert(channel.name.clone(), calendar)),
            Ok(None) => drop(self.hours.remove(&channel.name)),
            Err(errors) => {
                self.hours.remove(&channel.name);
                tracing::error!(
                    channel = channel.name,
                    ?errors,
                    "hours of a channel are wrong, it is told at any time"
                );
            }
        }
        self.channels.insert(channel.name.clone(), Arc::new(channel));
    }

    /// Removes a channel.
    pub(crate) fn remove_channel(&mut self, name: &str) {
        self.hours.remove(name);
        self.channels.remove(name);
    }

    /// Channels by name.
    pub(crate) const fn channels(&self) -> &BTreeMap<String, Arc<Channel>> {
        &self.channels
    }

    /// Plugins whose channels are told of acknowledgements.
    pub(crate) fn set_acknowledging(&mut self, plugins: Vec<String>) {
        self.acknowledging = plugins;
    }

    /// Plugins whose channels are told of acknowledgements.
    pub(crate) fn acknowledging(&self) -> &[String] {
        &self.acknowledging
    }

    /// Whether a channel is told of acknowledgements.
    pub(crate) fn takes_acknowledgements(&self, channel: &str) -> bool {
        self.channels
            .get(channel)
            .is_some_and(|channel| self.acknowledging.contains(&channel.plugin))
    }

    /// When a channel may be told of something that happens now.
    pub(crate) fn open_at(&self, channel: &str, now: i64) -> i64 {
        let next = self.hours.get(channel).map(|calendar| calendar.next_inside(now));
        next.flatten().unwrap_or(now)
    }

    /// Adds or replaces an escalation policy that was checked.
    pub(crate) fn put_escalation(&mut self, policy: Escalation) {
        self.escalations.insert(policy.name.clone(), policy);
    }

    /// Removes an escalation policy.
    pub(crate) fn remove_escalation(&mut self, name: &str) -> bool {
        self.escalations.remove(name).is_some()
    }

    /// Escalation policies by name.
    pub(crate) const fn escalations(&self) -> &BTreeMap<String, Escalation> {
        &self.escalations
    }

    /// Adds or replaces an on-call schedule.
    pub(crate) fn put_roster(&mut self, roster: Roster) {
        self.rosters.insert(roster.schedule.name.clone(), roster);
    }

    /// Removes an on-call schedule.
    pub(crate) fn remove_roster(&mut self, name: &str) -> bool {
        self.rosters.remove(name).is_some()
    }

    /// On-call schedules by name.
    pub(crate) const fn rosters(&self) -> &BTreeMap<String, Roster> {
        &self.rosters
    }

    /// Whether there is such a channel, or for `oncall:…` such a schedule.
    ///
    /// # Errors
    /// What there is not.
    pub(crate) fn knows_target(&self, name: &str) -> Result<(), String> {
        match name.strip_prefix(ONCALL) {
            Some(schedule) if self.rosters.contains_key(schedule) => Ok(()),
            Some(schedule) => Err(format!("there is no on-call schedule called `{schedule}`")),
            None => self.knows_channel(name),
        }
    }

    /// Whether there is such a channel.
    ///
    /// # Errors
    /// That there is not.
    pub(crate) fn knows_channel(&self, name: &str) -> Result<(), String> {
        if self.channels.contains_key(name) {
            Ok(())
        } else {
            Err(format!("there is no channel called `{name}`"))
        }
    }

    /// The channels that are meant by these names now, each once.
    pub(crate) fn expand(&self, names: &[String], now: i64) -> Vec<String> {
        self.meant(names, now).into_iter().map(|meant| meant.channel).collect()
    }

    /// The same, with the schedule and the person by whom a channel is meant.
    pub(crate) fn meant(&self, names: &[String], now: i64) -> Vec<Meant> {
        let mut all: Vec<Meant> = Vec::new();
        for name in names {
            let meant = match name.strip_prefix(ONCALL) {
                Some(schedule) => self
                    .rosters
                    .get(schedule)
                    .map(|roster| roster.meant(now))
                    .unwrap_or_default(),
                None => vec![Meant::channel(name.clone())],
            };
            for one in meant {
                if !all.iter().any(|other| other.channel == one.channel) {
                    all.push(one);
                }
            }
        }
        all
    }

    /// Every mistake of an escalation policy, with its place.
    pub(crate) fn check_escalation(&self, policy: &Escalation) -> Vec<RuleError> {
        let mut errors = Vec::new();
        if policy.steps.is_empty() || policy.steps.len() > MOST {
            errors.push(wrong("steps", format!("must have 1 to {MOST} entries")));
        }
        if policy.repeat as usize > MOST {
            errors.push(wrong("repeat", format!("must be at most {MOST}")));
        }
        let round: i64 = policy.steps.iter().map(|step| step.after.ms()).sum();
        if policy.repeat > 0 && round < 1000 {
            errors.push(wrong("steps", "steps that repeat must take a second at least"));
        }
        for (nth, step) in policy.steps.iter().enumerate() {
            if step.after > LONGEST {
                errors.push(wrong(
                    format!("steps[{nth}].after"),
                    format!("must be at most {LONGEST}"),
                ));
            }
            if step.channels.is_empty() {
                errors.push(wrong(format!("steps[{nth}].channels"), "a step needs a channel"));
            }
            for (at, name) in step.channels.iter().enumerate() {
                if let Err(reason) = self.knows_target(name) {
                    errors.push(wrong(format!("steps[{nth}].channels[{at}]"), reason));
                }
            }
        }
        let least = Span::from_secs(1);
        if policy
            .resume_after
            .is_some_and(|after| after < least || after > LONGEST)
        {
            errors.push(wrong("resume_after", format!("must be between {least} and {LONGEST}")));
        }
        errors
    }

    /// Which rules, policies and schedules name a channel, or `oncall:…`.
    pub(crate) fn users_of(&self, target: &str) -> Vec<String> {
        let names = |list: &[String]| list.iter().any(|name| name == target);
        let rules = self.rules.values().filter(|rule| names(&rule.draft.channels));
        let rules = rules.map(|rule| format!("rule `{}`", rule.draft.name));
        let policies = self.escalations.values();
        let policies = policies.filter(|policy| policy.steps.iter().any(|step| names(&step.channels)));
        let policies = policies.map(|policy| format!("escalation policy `{}`", policy.name));
        let people = |schedule: &OncallSchedule| schedule.people.iter().any(|person| names(&person.channels));
        let rosters = self.rosters.values().filter(|roster| people(&roster.schedule));
        let rosters = rosters.map(|roster| format!("on-call schedule `{}`", roster.schedule.name));
        rules.chain(policies).chain(rosters).collect()
    }

    /// Which rules follow an escalation policy.
    pub(crate) fn followers_of(&self, policy: &str) -> Vec<String> {
        let follows = |rule: &&Arc<Rule>| rule.draft.escalation.as_deref() == Some(policy);
        let rules = self.rules.values().filter(follows);
        rules.map(|rule| format!("rule `{}`", rule.draft.name)).collect()
    }
}
