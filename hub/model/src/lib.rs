//! Shared nouns of the hub's rooms: rules, alerts, channels, deliveries, users, signals. No I/O.

pub mod agent;
pub mod alert;
pub mod channel;
pub mod completeness;
pub mod delivery;
pub mod duration;
pub mod escalation;
pub mod explain;
pub mod hours;
pub mod instant;
pub mod matcher;
pub mod metric;
pub mod routing;
pub mod rule;
pub mod signal;
pub mod silence;
pub mod user;
pub mod window;

pub use agent::AgentStatus;
pub use alert::{Alert, AlertState, TimelineEntry};
pub use channel::Channel;
pub use completeness::Completeness;
pub use delivery::{Delivery, DeliveryState};
pub use duration::Span;
pub use escalation::{Escalation, EscalationStep, OncallSchedule, Override, Person, Rotation};
pub use explain::{PredicatePlan, RuleExplanation};
pub use hours::{Day, Hours, HoursSpan};
pub use instant::Instant;
pub use matcher::{MatchOp, Matcher};
pub use metric::{CompiledMetric, GroupKey, Metric, MetricDraft, Placement};
pub use routing::{Inhibition, Route, Routing, RoutingDraft};
pub use rule::{AbsenceSpec, AnomalySpec, Evaluate, Level, PatternSpec, Rule, RuleDraft, RuleError, RuleKind};
pub use signal::{Account, OpenGroup, Signal};
pub use silence::{Maintenance, Silence, SilenceState};
pub use user::{ApiToken, Role, Session, User};
pub use window::WindowSpec;
