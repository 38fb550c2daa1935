//! One plugin's code under limits: engine, compiled code, instances, and what an instance may call.

mod bindings;
mod budget;
mod cache;
mod code;
mod engine;
mod fault;
mod guest;
mod http;
mod instance;

pub(crate) use bindings::Failure;
pub(crate) use budget::Budget;
pub(crate) use cache::Cache;
pub use cache::CacheError;
pub(crate) use code::{Code, File, LoadError};
pub(crate) use engine::Sandbox;
pub use engine::SandboxError;
pub(crate) use fault::{Cause, Fault};
pub(crate) use guest::{Guest, GuestSetup, Lines};
pub(crate) use http::target;
pub(crate) use instance::{CallLimits, Instance, Spent, StartError};
