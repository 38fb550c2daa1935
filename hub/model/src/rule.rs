//! Alert rules: what users write, checked once when saved.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use streamflow_proto::{
    aggregate::AggregateSpec,
    filter::{Condition, Filter},
    path::Path,
};

use crate::{Instant, Span};

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
    /// A WebAssembly plugin.
    Plugin,
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

/// The window over which the aggregate runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum WindowSpec {
    /// Tumbling, aligned to multiples of its size since 1970.
    Tumbling(Span),
}

impl WindowSpec {
    /// Length of the window.
    #[must_use]
    pub const fn size(self) -> Span {
        match self {
            Self::Tumbling(size) => size,
        }
    }
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
    /// One group for each combination of these attributes.
    #[serde(default)]
    pub group_by: Vec<String>,
    /// CEL over `value`, `threshold` and `labels`.
    #[serde(default = "above")]
    pub condition: String,
    /// The number that `condition` calls `threshold`.
    #[serde(default)]
    pub threshold: Option<f64>,
    /// How long the condition must hold before the alert fires.
    #[serde(default, rename = "for")]
    pub hold: Span,
    /// When the verdict is taken.
    #[serde(default)]
    pub evaluate: Evaluate,
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
    /// Channels that are told.
    #[serde(default)]
    pub channels: Vec<String>,
    /// After a notification, say nothing more of the same group for this long.
    #[serde(default)]
    pub suppression_minutes: u32,
    /// Tell again at a higher step after this long without acknowledgement.
    #[serde(default)]
    pub escalation_minutes: u32,
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
}

/// Shortest and longest window that a rule may have.
pub const WINDOW_BOUNDS: (Span, Span) = (Span::from_ms(1000), Span::from_secs(7 * 86_400));

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
        let size = self.window.size();
        if size < WINDOW_BOUNDS.0 || size > WINDOW_BOUNDS.1 {
            errors.push(plain(
                "window",
                format!("must be between {} and {}", WINDOW_BOUNDS.0, WINDOW_BOUNDS.1),
            ));
        }
        if self.group_by.len() > 8 {
            errors.push(plain("group_by", "at most 8 attributes"));
        }
        let mut keep = |field: &str, e: streamflow_proto::filter::ExprError| {
            errors.push(RuleError {
                field: field.to_owned(),
                reason: e.message,
                line: Some(e.line),
                column: Some(e.column),
            });
        };
        let filter = Filter::compile(&self.matches).map_err(|e| keep("match", e)).ok();
        let condition = Condition::compile(&self.condition)
            .map_err(|e| keep("condition", e))
            .ok();
        let aggregate = AggregateSpec::parse(&self.aggregate)
            .map_err(|e| errors.push(plain("aggregate", e.to_string())))
            .ok();
        if self.threshold.is_none() && condition.as_ref().is_some_and(Condition::uses_threshold) {
            errors.push(plain("threshold", "is required, because `condition` uses it"));
        }
        if self.threshold.is_some_and(|t| !t.is_finite()) {
            errors.push(plain("threshold", "must be a finite number"));
        }
        let mut group_by = Vec::with_capacity(self.group_by.len());
        for text in &self.group_by {
            match Path::parse(text) {
                Ok(path) => group_by.push(path),
                Err(e) => errors.push(plain("group_by", format!("`{text}`: {e}"))),
            }
        }
        match (filter, condition, aggregate) {
            (Some(filter), Some(condition), Some(aggregate)) if errors.is_empty() => Ok(Compiled {
                filter,
                aggregate,
                group_by,
                condition,
            }),
            _ => Err(errors),
        }
    }
}

fn plain(field: &str, reason: impl Into<String>) -> RuleError {
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
