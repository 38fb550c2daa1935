//! Runs plugins: WebAssembly components under limits, with only the rights that their manifests declare.
//!
//! Invariants: no call without a deadline and a memory limit; no import that the manifest does not entitle to; no request that goes
//! round [`egress`]; a fault costs its call and its instance, nothing else.

mod apart;
mod catalogue;
mod channel;
pub mod check;
pub mod egress;
mod folder;
mod health;
mod host;
mod info;
mod install;
mod journal;
mod loader;
mod mail;
pub mod measure;
mod meters;
mod notice;
mod options;
mod plugin;
mod record;
mod routes;
mod rule;
mod sandbox;
mod schema;
mod secrets;
mod shadow;
mod shadows;
mod shelf;
pub mod signature;
mod transform;
pub mod trial;
mod users;

pub use channel::{ChannelError, ChannelSender, DeliverError};
pub use egress::EgressOptions;
pub use host::{HostError, PluginHost};
pub use info::{PluginField, PluginInfo, PluginLimits, PluginState, Quarantined};
pub use install::InstallError;
pub use journal::{Line, LineLevel, PluginLogs};
pub use mail::{MailBuildError, MailOptions, Security};
pub use notice::{Member, Notice};
pub use options::{Limits, Options, SecretOptions};
pub use rule::{MAX_ROWS, MAX_STATE, RuleAlert, RuleError, RulePlugin, RuleProblem, RuleRows, RuleRun};
pub use shadow::{
    Difference, DifferenceKind, Said, ShadowCost, ShadowInfo, ShadowPlugin, ShadowRun, ShadowState, Verdict,
    VerdictCounts,
};
pub use transform::{
    MAX_TRANSFORM_ROWS, TransformCost, TransformError, TransformHost, TransformLoadError, TransformPlugin,
    TransformRun, Transformed,
};
pub use users::PluginUsers;
