//! One plugin's code under limits: engine, compiled code, instances, and what an instance may call.

mod bindings;
mod budget;
mod cache;
mod channel;
mod code;
mod engine;
mod fault;
mod guest;
mod http;
mod instance;
mod mail;
mod rule;
mod transform;

pub(crate) use bindings::{Failure, level, nanoseconds, transform as wit_transform, types};
pub(crate) use budget::Budget;
pub(crate) use cache::Cache;
pub use cache::CacheError;
pub(crate) use channel::ChannelInstance;
pub(crate) use code::{Code, File, LoadError, MAX_FILE};
pub(crate) use engine::Sandbox;
pub use engine::SandboxError;
pub(crate) use fault::{Cause, Fault};
pub(crate) use guest::{Guest, GuestSetup, Lines};
pub(crate) use http::target;
pub(crate) use instance::{CallLimits, Spent, StartError};
pub(crate) use rule::RuleInstance;
pub(crate) use transform::TransformInstance;
