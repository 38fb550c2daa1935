//! Alert rules: what users write, checked once when saved.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use streamflow_proto::{
    aggregate::AggregateSpec,
    filter::{Condition, ExprError, Filter},
    path::Path,
};

use crate::{Instant, Span, WindowSpec};

pub mod absence;
pub mod anomaly;
pub mod pattern;

pub use absence::{AbsenceSpec, CompiledAbsence};
pub use anomaly::{AnomalyMethod, AnomalySpec, CompiledAnomaly, Direction, Sensitivity};
pub use pattern::{CompiledPattern, CompiledStep, PatternSpec, PatternStep};

pub mod plugin;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// For information.
    #[default]
    Info,
    /// Look at it soon.
    Warning,
    /// Something fails.
    Error,
    /// Wake somebody.
    Critical,
}

impl Level {
    /// The name used in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

/// What kind of logic decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RuleKind {
    /// An aggregate over windows against a condition.
    #[default]
    Threshold,
    /// Events of one key in an order, within a time.
    Pattern,
    /// No event for some time.
    Absence,
    /// An aggregate over windows outside of what is normal for it.
    Anomaly,
    /// A WebAssembly plugin.
    Plugin,
}

impl RuleKind {
    /// The name used in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Threshold => "threshold",
            Self::Pattern => "pattern",
            Self::Absence => "absence",
            Self::Anomaly => "anomaly",
            Self::Plugin => "plugin",
        }
    }

    /// Whether rules of this kind compute over windows.
    #[must_use]
    pub const fn has_windows(self) -> bool {
        matches!(self, Self::Threshold | Self::Anomaly)
    }
}

/// When a window's verdict is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Evaluate {
    /// Eager where more events can only make the condition truer, else on close.
    #[default]
    Auto,
    /// With every batch.
    Eager,
    /// When the watermark has passed the window's end.
    OnClose,
}

/// A rule as a user writes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleDraft {
    /// Unique name.
    pub name: String,
    /// What kind of logic decides.
    #[serde(default)]
    pub kind: RuleKind,
    /// CEL over an event's attributes: which events count.
    #[serde(default = "everything", rename = "match")]
    pub matches: String,
    /// What is computed, for example `count()` or `p99(data.ms)`.
    #[serde(default = "count")]
    pub aggregate: String,
    /// Over which window.
    #[serde(default = "five_minutes")]
    pub window: WindowSpec,
    /// How long after a window's end late events still correct its result. Later ones are counted as late.
    #[serde(default)]
    pub allowed_lateness: Span,
    /// One group for each combination of these attributes.
    #[serde(default)]
    pub group_by: Vec<String>,
    /// Most groups at a time, further ones are counted in the group `other`; the hub's `analytics.max_groups` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_groups: Option<u32>,
    /// CEL over `value`, `threshold` and `labels`.
    #[serde(default = "above")]
    pub condition: String,
    /// The number that `condition` calls `threshold`.
    #[serde(default)]
    pub threshold: Option<f64>,
    /// How long the condition must hold before the alert fires.
    #[serde(default, rename = "for")]
    pub hold: Span,
    /// How long the alert goes on after the condition has ceased to hold.
    #[serde(default)]
    pub keep_firing_for: Span,
    /// When the verdict is taken.
    #[serde(default)]
    pub evaluate: Evaluate,
    /// What a rule of kind `pattern` looks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<PatternSpec>,
    /// What a rule of kind `absence` waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absence: Option<AbsenceSpec>,
    /// What a rule of kind `anomaly` takes for normal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anomaly: Option<AnomalySpec>,
    /// The plugin of a rule of kind `plugin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// The plugin's configuration.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub config: Map<String, Value>,
    /// Severity of its alerts.
    #[serde(default)]
    pub level: Level,
    /// Further labels of its alerts, for routing and silences, such as `team`. Labels of the group win.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Texts for messages, such as a link to a runbook.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// Channels that are told.
    #[serde(default)]
    pub channels: Vec<String>,
    /// After a notification, say nothing more of the same group for this long.
    #[serde(default)]
    pub suppression_minutes: u32,
    /// Tell again at a higher step after this long without acknowledgement.
    #[serde(default)]
    pub escalation_minutes: u32,
    /// Escalation policy that its alerts follow while nobody acknowledges them.
    #[serde(default)]
    pub escalation: Option<String>,
    /// Whether an alert that comes and goes stays open until it has been quiet.
    #[serde(default = "yes")]
    pub flap_detection: bool,
    /// A disabled rule is not evaluated.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Free words.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Free data.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub metadata: Map<String, Value>,
}

/// A saved rule. `version` grows with every change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Rule {
    /// UUIDv7.
    pub id: String,
    /// What the user wrote.
    #[serde(flatten)]
    pub draft: RuleDraft,
    /// 1 for the first.
    pub version: i64,
    /// When it was made.
    pub created_at: Instant,
    /// Last change.
    pub updated_at: Instant,
    /// The file that the rule is kept in, when it is not kept through the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioned: Option<String>,
}

/// Begins the ids of the rules by which the hub watches itself.
pub const SELF: &str = "self:";

impl Rule {
    /// Whether it is one of the rules by which the hub watches itself. Nothing of it is stored.
    #[must_use]
    pub fn is_builtin(&self) -> bool {
        self.id.starts_with(SELF)
    }
}

/// One thing wrong with a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct RuleError {
    /// Field of the rule's JSON.
    pub field: String,
    /// What is wrong and what would be right.
    pub reason: String,
    /// Position in an expression, from 1.
    pub line: Option<u32>,
    /// Column in an expression, from 1.
    pub column: Option<u32>,
}

/// A rule's expressions, parsed: what the engine runs.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// Which events count.
    pub filter: Filter,
    /// What is computed.
    pub aggregate: AggregateSpec,
    /// By which attributes.
    pub group_by: Vec<Path>,
    /// The verdict.
    pub condition: Condition,
    /// Of a rule of kind `pattern`.
    pub pattern: Option<CompiledPattern>,
    /// Of a rule of kind `absence`.
    pub absence: Option<CompiledAbsence>,
    /// Of a rule of kind `anomaly`.
    pub anomaly: Option<CompiledAnomaly>,
}

/// Most attributes that tell groups apart.
const MAX_GROUP_BY: usize = 8;
/// Most groups that a rule may ask for.
const MAX_GROUPS: u32 = 100_000;

/// Labels, and annotations, that a rule may have.
const MAX_TEXTS: usize = 32;

impl RuleDraft {
    /// Checks everything at once.
    ///
    /// # Errors
    /// Every mistake, with its field and, for an expression, its position.
    pub fn compile(&self) -> Result<Compiled, Vec<RuleError>> {
        if self.kind == RuleKind::Plugin {
            return self.compile_plugin();
        }
        let mut errors = Vec::new();
        self.refuse_plugin_fields(&mut errors);
        if self.name.trim().is_empty() || self.name.len() > 128 {
            errors.push(plain("name", "must have 1 to 128 bytes"));
        }
        self.window.check(self.allowed_lateness, &mut errors);
        if let Some(groups) = self.max_groups.filter(|groups| !(1..=MAX_GROUPS).contains(groups)) {
            errors.push(plain(
                "max_groups",
                format!("must be between 1 and {MAX_GROUPS}, not {groups}"),
            ));
        }
        errors.extend(check_texts("labels", &self.labels, true));
        errors.extend(check_texts("annotations", &self.annotations, false));
        let mut keep = |field: &str, e: ExprError| errors.push(expression(field, e));
        let filter = Filter::compile(&self.matches).map_err(|e| keep("match", e)).ok();
        // Windows of an anomaly rule say their value whatever it is; another core judges it.
        let asked = if self.kind == RuleKind::Anomaly {
            "true"
        } else {
            self.condition.as_str()
        };
        let condition = Condition::compile(asked).map_err(|e| keep("condition", e)).ok();
        let aggregate = AggregateSpec::parse(&self.aggregate)
            .map_err(|e| errors.push(plain("aggregate", e.to_string())))
            .ok();
        if self.kind == RuleKind::Threshold
            && self.threshold.is_none()
            && condition.as_ref().is_some_and(Condition::uses_threshold)
        {
            errors.push(plain("threshold", "is required, because `condition` uses it"));
        }
        if self.threshold.is_some_and(|t| !t.is_finite()) {
            errors.push(plain("threshold", "must be a finite number"));
        }
        let group_by = self.groups(&mut errors);
        self.check_fields(&mut errors);
        let pattern = self.pattern.as_ref().and_then(|spec| spec.compile(&mut errors));
        let absence = self
            .absence
            .as_ref()
            .and_then(|spec| spec.compile(&self.group_by, &mut errors));
        let anomaly = (self.kind == RuleKind::Anomaly)
            .then(|| self.anomaly.clone().unwrap_or_default())
            .and_then(|spec| spec.compile(&self.window, &mut errors));
        match (filter, condition, aggregate) {
            (Some(filter), Some(condition), Some(aggregate)) if errors.is_empty() => Ok(Compiled {
                filter,
                aggregate,
                group_by,
                condition,
                pattern,
                absence,
                anomaly,
            }),
            _ => Err(errors),
        }
    }

    /// The attributes that tell groups apart: of its sessions first, then its own.
    fn groups(&self, errors: &mut Vec<RuleError>) -> Vec<Path> {
        let mut paths: Vec<Path> = Vec::new();
        let by = self.window.by().iter().map(|text| ("window.by", text));
        for (field, text) in by.chain(self.group_by.iter().map(|text| ("group_by", text))) {
            match Path::parse(text) {
                Ok(path) if paths.contains(&path) => {}
                Ok(path) => paths.push(path),
                Err(e) => errors.push(plain(field, format!("`{text}`: {e}"))),
            }
        }
        if paths.len() > MAX_GROUP_BY {
            errors.push(plain("group_by", format!("at most {MAX_GROUP_BY} attributes")));
        }
        paths
    }

    /// How far back the rule may have to look at any time: so much of the log rebuilds what it knows.
    #[must_use]
    pub fn reach(&self) -> Span {
        let window = self.window.reach();
        let own = match self.kind {
            RuleKind::Threshold => window,
            RuleKind::Pattern => self.pattern.as_ref().map_or(Span::ZERO, |pattern| pattern.within),
            RuleKind::Absence => self.absence.as_ref().map_or(Span::ZERO, |absence| absence.silent_for),
            // It has a place of its own in the log, and a state.
            RuleKind::Plugin => Span::ZERO,
            RuleKind::Anomaly => {
                let anomaly = self.anomaly.clone().unwrap_or_default();
                Span::from_ms(window.ms().saturating_add(anomaly.memory(&self.window).ms()))
            }
        };
        Span::from_ms(own.ms().saturating_add(self.allowed_lateness.ms()))
    }

    /// Each kind has fields of its own: one that says nothing to a rule's kind is a mistake of whoever wrote it, unless it has its default.
    fn check_fields(&self, errors: &mut Vec<RuleError>) {
        let kind = self.kind;
        let mut own = |field: &str, of: RuleKind, given: bool, required: bool| {
            if given && of != kind {
                let reason = format!("is for kind `{}`, and this rule has kind `{}`", of.name(), kind.name());
                errors.push(plain(field, reason));
            } else if required && !given && of == kind {
                errors.push(plain(field, format!("is required for kind `{}`", of.name())));
            }
        };
        own("pattern", RuleKind::Pattern, self.pattern.is_some(), true);
        own("absence", RuleKind::Absence, self.absence.is_some(), true);
        own("anomaly", RuleKind::Anomaly, self.anomaly.is_some(), false);
        let mut idle = |field: &str, given: bool, instead: &str| {
            if given {
                errors.push(plain(
                    field,
                    format!("says nothing to kind `{}`; {instead}", kind.name()),
                ));
            }
        };
        let instead = match kind {
            RuleKind::Plugin => "use `config`".to_owned(),
            _ => format!("use `{}`", kind.name()),
        };
        if !kind.has_windows() {
            idle("aggregate", self.aggregate != count(), &instead);
            idle("window", self.window != five_minutes(), &instead);
        }
        if kind != RuleKind::Threshold {
            idle("condition", self.condition != above(), &instead);
            idle("threshold", self.threshold.is_some(), &instead);
        }
        let eager = self.evaluate == Evaluate::Eager;
        let undone = self.pattern.as_ref().is_some_and(PatternSpec::has_negation);
        if eager && (matches!(kind, RuleKind::Absence | RuleKind::Anomaly) || (kind == RuleKind::Pattern && undone)) {
            let reason = "`eager` would fire for what a later event takes back; use `auto` or `on_close`";
            errors.push(plain("evaluate", reason));
        }
    }
}

fn expression(field: &str, e: ExprError) -> RuleError {
    RuleError {
        field: field.to_owned(),
        reason: e.message,
        line: Some(e.line),
        column: Some(e.column),
    }
}

/// Names and values that routing, silences and receivers can work with.
fn check_texts(field: &str, texts: &BTreeMap<String, String>, labels: bool) -> Vec<RuleError> {
    let mut errors = Vec::new();
    if texts.len() > MAX_TEXTS {
        errors.push(plain(field, format!("at most {MAX_TEXTS}")));
    }
    let longest = if labels { 256 } else { 4096 };
    for (name, value) in texts {
        if name.is_empty() || name.len() > 128 || value.len() > longest {
            let reason = format!("`{name}`: a name has 1 to 128 bytes, a value at most {longest}");
            errors.push(plain(field, reason));
        } else if labels && matches!(name.as_str(), "alertname" | "level") {
            errors.push(plain(field, format!("`{name}` is the hub's own")));
        }
    }
    errors
}

pub(crate) fn plain(field: &str, reason: impl Into<String>) -> RuleError {
    RuleError {
        field: field.to_owned(),
        reason: reason.into(),
        line: None,
        column: None,
    }
}

fn everything() -> String {
    "true".to_owned()
}
fn count() -> String {
    "count()".to_owned()
}
fn above() -> String {
    "value > threshold".to_owned()
}
const fn five_minutes() -> WindowSpec {
    WindowSpec::Tumbling(Span::from_secs(300))
}
const fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests;
