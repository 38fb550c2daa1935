//! The routing tree, compiled: which channels are told of an alert, and together with which others.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use streamflow_model::{Inhibition, Level, Route, RoutingDraft, RuleError, Span};

use crate::{
    matchers::{Matchers, wrong},
    mute::Inhibitor,
};

/// Nodes of a tree, and rules of inhibition.
const MOST: usize = 1000;
/// Nodes below each other.
const DEEPEST: usize = 16;
/// Longest time that a route may set.
const LONGEST: Span = Span::from_secs(30 * 86_400);
/// In `group_by`: every alert is a group of its own.
const EACH: &str = "...";

/// Where an alert goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Target {
    /// The route's place: the matchers on the way to it. It stays the same when other routes change.
    pub(crate) route: String,
    /// Channels, or `oncall:SCHEDULE`.
    pub(crate) channels: Vec<String>,
    /// Escalation policy.
    pub(crate) escalation: Option<String>,
    /// Labels that make a group.
    pub(crate) group_by: Vec<String>,
    /// How long the first notification waits for more alerts.
    pub(crate) group_wait: Span,
    /// How long at least between notifications of a group with news.
    pub(crate) group_interval: Span,
    /// After how long it is told of again.
    pub(crate) repeat_interval: Span,
}

/// The tree.
#[derive(Debug, Clone)]
pub(crate) struct Tree(Node);

#[derive(Debug, Clone)]
struct Node {
    matchers: Matchers,
    level: Option<Level>,
    go_on: bool,
    target: Target,
    below: Vec<Node>,
}

/// A routing document, compiled.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) tree: Tree,
    pub(crate) inhibit: Vec<Inhibitor>,
}

/// What a document may name.
pub(crate) struct Known<'a> {
    /// Whether there is such a channel, or an on-call schedule for `oncall:…`.
    pub(crate) channel: &'a dyn Fn(&str) -> Result<(), String>,
    /// Whether there is such an escalation policy.
    pub(crate) escalation: &'a dyn Fn(&str) -> bool,
}

impl Target {
    fn root() -> Self {
        Self {
            route: "{}".to_owned(),
            channels: Vec::new(),
            escalation: None,
            group_by: vec!["alertname".to_owned()],
            group_wait: Span::from_secs(30),
            group_interval: Span::from_secs(300),
            repeat_interval: Span::from_secs(4 * 3600),
        }
    }

    /// The labels that an alert shares with its group. `own` tells an alert apart from all others.
    pub(crate) fn labels(&self, labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        if self.group_by.iter().any(|name| name == EACH) {
            return labels.clone();
        }
        let by = self.group_by.iter();
        by.filter_map(|name| labels.get_key_value(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// The group's identity.
    pub(crate) fn key(&self, labels: &BTreeMap<String, String>) -> String {
        let pairs: Vec<String> = self
            .labels(labels)
            .iter()
            .map(|(name, value)| format!("{name}={value:?}"))
            .collect();
        format!("{}:{{{}}}", self.route, pairs.join(", "))
    }
}

impl Compiled {
    /// Checks and compiles a whole document; every mistake is named with its place.
    pub(crate) fn compile(draft: &RoutingDraft, known: &Known<'_>) -> Result<Self, Vec<RuleError>> {
        let mut errors = Vec::new();
        let mut left = MOST;
        if !draft.route.matchers.is_empty() || draft.route.level.is_some() {
            errors.push(wrong(
                "route",
                "the root takes every alert: it has neither matchers nor a level",
            ));
        }
        let tree = compile(&draft.route, "route", &Target::root(), 0, &mut left, known, &mut errors);
        if draft.inhibit.len() > MOST {
            errors.push(wrong("inhibit", format!("at most {MOST} rules")));
        }
        let inhibit = inhibition(&draft.inhibit, &mut errors);
        match (tree, errors.is_empty()) {
            (Some(tree), true) => Ok(Self {
                tree: Tree(tree),
                inhibit,
            }),
            _ => Err(errors),
        }
    }
}

fn inhibition(rules: &[Inhibition], errors: &mut Vec<RuleError>) -> Vec<Inhibitor> {
    let mut compiled = Vec::new();
    for (nth, rule) in rules.iter().enumerate() {
        let field = format!("inhibit[{nth}]");
        if rule.source.is_empty() || rule.target.is_empty() {
            errors.push(wrong(&field, "needs matchers for `source` and for `target`"));
        }
        match Inhibitor::compile(&field, rule) {
            Ok(rule) => compiled.push(rule),
            Err(more) => errors.extend(more),
        }
    }
    compiled
}

fn compile(
    route: &Route,
    field: &str,
    above: &Target,
    depth: usize,
    left: &mut usize,
    known: &Known<'_>,
    errors: &mut Vec<RuleError>,
) -> Option<Node> {
    if depth > DEEPEST || *left == 0 {
        errors.push(wrong(
            field,
            format!("a tree has at most {MOST} routes, {DEEPEST} below each other"),
        ));
        return None;
    }
    *left -= 1;
    for (nth, name) in route.channels.iter().flatten().enumerate() {
        if let Err(reason) = (known.channel)(name) {
            errors.push(wrong(format!("{field}.channels[{nth}]"), reason));
        }
    }
    if let Some(name) = route.escalation.as_ref().filter(|name| !(known.escalation)(name)) {
        let reason = format!("there is no escalation policy called `{name}`");
        errors.push(wrong(format!("{field}.escalation"), reason));
    }
    let times = [
        ("group_wait", route.group_wait, Span::ZERO),
        ("group_interval", route.group_interval, Span::from_secs(1)),
        ("repeat_interval", route.repeat_interval, Span::from_secs(1)),
    ];
    for (name, span, least) in times {
        if span.is_some_and(|span| span < least || span > LONGEST) {
            errors.push(wrong(
                format!("{field}.{name}"),
                format!("must be between {least} and {LONGEST}"),
            ));
        }
    }
    let matchers = Matchers::compile(&format!("{field}.matchers"), &route.matchers)
        .map_err(|more| errors.extend(more))
        .unwrap_or_default();
    let target = Target {
        route: place(above, route, depth),
        channels: route.channels.clone().unwrap_or_else(|| above.channels.clone()),
        escalation: route.escalation.clone().or_else(|| above.escalation.clone()),
        group_by: route.group_by.clone().unwrap_or_else(|| above.group_by.clone()),
        group_wait: route.group_wait.unwrap_or(above.group_wait),
        group_interval: route.group_interval.unwrap_or(above.group_interval),
        repeat_interval: route.repeat_interval.unwrap_or(above.repeat_interval),
    };
    let mut below = Vec::new();
    for (nth, child) in route.routes.iter().enumerate() {
        let field = format!("{field}.routes[{nth}]");
        below.extend(compile(child, &field, &target, depth + 1, left, known, errors));
    }
    Some(Node {
        matchers,
        level: route.level,
        go_on: route.go_on,
        target,
        below,
    })
}

fn place(above: &Target, route: &Route, depth: usize) -> String {
    if depth == 0 {
        return above.route.clone();
    }
    let mut parts: Vec<String> = route.matchers.iter().map(ToString::to_string).collect();
    parts.extend(route.level.map(|level| format!("level>={}", level.name())));
    format!("{}/{{{}}}", above.route, parts.join(", "))
}

impl Tree {
    /// A tree that sends nothing anywhere.
    pub(crate) fn empty() -> Self {
        Self(Node {
            matchers: Matchers::default(),
            level: None,
            go_on: false,
            target: Target::root(),
            below: Vec::new(),
        })
    }

    /// Whether a route names this channel, or `oncall:…`.
    pub(crate) fn names_channel(&self, name: &str) -> bool {
        self.0
            .any(&|target| target.channels.iter().any(|channel| channel == name))
    }

    /// Whether a route names this escalation policy.
    pub(crate) fn names_escalation(&self, name: &str) -> bool {
        self.0.any(&|target| target.escalation.as_deref() == Some(name))
    }

    /// The route at this place.
    pub(crate) fn at(&self, place: &str) -> Option<&Target> {
        self.0.find(place)
    }

    /// Where an alert goes: the deepest route that takes it, and further ones after a route with `continue`.
    pub(crate) fn targets(&self, labels: &BTreeMap<String, String>, level: Level) -> Vec<&Target> {
        let mut found = Vec::new();
        self.0.collect(labels, level, &mut found);
        found
    }
}

impl Node {
    fn any(&self, is: &dyn Fn(&Target) -> bool) -> bool {
        is(&self.target) || self.below.iter().any(|node| node.any(is))
    }

    fn find(&self, place: &str) -> Option<&Target> {
        if self.target.route == place {
            return Some(&self.target);
        }
        self.below.iter().find_map(|node| node.find(place))
    }

    fn collect<'a>(&'a self, labels: &BTreeMap<String, String>, level: Level, found: &mut Vec<&'a Target>) -> bool {
        if self.level.is_some_and(|least| level < least) || !self.matchers.hold(labels) {
            return false;
        }
        let before = found.len();
        for node in &self.below {
            if node.collect(labels, level, found) && !node.go_on {
                break;
            }
        }
        if found.len() == before {
            found.push(&self.target);
        }
        true
    }
}

#[cfg(test)]
mod tests;
