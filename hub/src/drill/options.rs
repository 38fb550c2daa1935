//! Configuration section `[drills]`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use streamflow_model::{DrillRequest, Level, Span};

/// What operators may set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Channels that drills tell; nobody else hears of one, unless it is asked to page.
    pub channels: Vec<String>,
    /// How long the way from the agent to the channels may take.
    pub deadline: Span,
    /// How long a person may take then.
    pub acknowledge_within: Span,
    /// Drills kept; older ones are forgotten.
    pub keep: usize,
    /// After a start of the hub no drill of a schedule begins for this long, so that agents can come back.
    pub settle: Span,
    /// Drills that happen by themselves.
    pub schedule: Vec<Schedule>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            channels: Vec::new(),
            deadline: Span::from_secs(60),
            acknowledge_within: Span::from_secs(900),
            keep: 500,
            settle: Span::from_secs(60),
            schedule: Vec::new(),
        }
    }
}

/// A drill that happens by itself, again and again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Its name.
    pub name: String,
    /// Time from the begin of one to the begin of the next.
    pub every: Span,
    /// Id or name of a rule; either this or `route`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Labels of an alert that goes by the routing tree; either this or `rule`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<BTreeMap<String, String>>,
    /// Level of the alert of a `route`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// Id or name of the agent; when absent, one that is connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// No agent takes part.
    #[serde(default)]
    pub from_hub: bool,
    /// Channels that are told, instead of those of `[drills]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<Vec<String>>,
    /// Tell those whom the real alert would tell.
    #[serde(default)]
    pub page: bool,
    /// Whether a person has to acknowledge.
    #[serde(default = "yes")]
    pub acknowledge: bool,
}

const fn yes() -> bool {
    true
}

/// Shortest time between two drills of a schedule.
const SHORTEST: Span = Span::from_secs(60);

impl Schedule {
    /// What it asks for each time.
    pub fn request(&self) -> DrillRequest {
        DrillRequest {
            rule: self.rule.clone(),
            route: self.route.clone(),
            level: self.level,
            agent: self.agent.clone(),
            from_hub: self.from_hub,
            channels: self.channels.clone(),
            page: self.page,
            acknowledge: Some(self.acknowledge),
            ..DrillRequest::default()
        }
    }
}

impl Options {
    /// Values that cannot work: key and reason.
    pub fn contradictions(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        let mut names: Vec<&str> = Vec::new();
        for schedule in &self.schedule {
            let name = schedule.name.as_str();
            if schedule.every < SHORTEST {
                let reason = format!("`{name}`: every must be {SHORTEST} at least, not {}", schedule.every);
                wrong.push(("drills.schedule", reason));
            }
            if schedule.rule.is_some() == schedule.route.is_some() {
                wrong.push(("drills.schedule", format!("`{name}`: needs either `rule` or `route`")));
            }
            if names.contains(&name) {
                wrong.push(("drills.schedule", format!("`{name}`: two schedules have this name")));
            }
            names.push(name);
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_of_a_schedule_is_named() {
        let text = r#"
            [[schedule]]
            name = "a"
            every = "5s"
            rule = "r"
            [[schedule]]
            name = "a"
            every = "1d"
        "#;
        let options: Options = toml::from_str(text).unwrap();
        let wrong: Vec<String> = options.contradictions().into_iter().map(|(_, reason)| reason).collect();
        assert_eq!(wrong.len(), 3, "{wrong:?}");
        assert!(options.schedule[0].request().acknowledge == Some(true));
    }
}
