//! Shared nouns of the hub's rooms: rules, alerts, channels, deliveries, users, signals. No I/O.

pub mod agent;
pub mod alert;
pub mod channel;
pub mod delivery;
pub mod duration;
pub mod escalation;
pub mod hours;
pub mod instant;
pub mod matcher;
pub mod routing;
pub mod rule;
pub mod signal;
pub mod silence;
pub mod user;

pub use agent::AgentStatus;
pub use alert::{Alert, AlertState, Completeness, TimelineEntry};
pub use channel::Channel;
pub use delivery::{Delivery, DeliveryState};
pub use duration::Span;
pub use escalation::{Escalation, EscalationStep, OncallSchedule, Override, Person, Rotation};
pub use hours::{Day, Hours, HoursSpan};
pub use instant::Instant;
pub use matcher::{MatchOp, Matcher};
pub use routing::{Inhibition, Route, Routing, RoutingDraft};
pub use rule::{Evaluate, Level, Rule, RuleDraft, RuleError, RuleKind, WindowSpec};
pub use signal::{OpenGroup, Signal};
pub use silence::{Maintenance, Silence, SilenceState};
pub use user::{ApiToken, Role, Session, User};
