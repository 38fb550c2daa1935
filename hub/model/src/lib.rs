//! Shared nouns of the hub's rooms: rules, alerts, channels, deliveries, users, signals. No I/O.

pub mod agent;
pub mod alert;
pub mod channel;
pub mod delivery;
pub mod duration;
pub mod instant;
pub mod rule;
pub mod signal;
pub mod user;

pub use agent::AgentStatus;
pub use alert::{Alert, AlertState, Completeness, TimelineEntry};
pub use channel::Channel;
pub use delivery::{Delivery, DeliveryState};
pub use duration::Span;
pub use instant::Instant;
pub use rule::{Evaluate, Level, Rule, RuleDraft, RuleError, RuleKind, WindowSpec};
pub use signal::{Account, OpenGroup, Signal};
pub use user::{ApiToken, Role, Session, User};
