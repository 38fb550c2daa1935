//! What the routes of every room share: error format, correlation ids, sign-in and roles, limits, OpenAPI, health.

pub mod auth;
pub mod correlation;
mod envelope;
mod error;
mod extract;
mod finish;
mod guard;
mod health;
mod identity;
pub mod openapi;
pub mod page;
pub mod password;
mod patience;
mod serve;
mod throttle;

pub use auth::{Accounts, AccountsError, Auth, AuthError, AuthOptions, TokenPair};
pub use error::{ApiError, ApiResult, ErrorBody};
pub use extract::{Json, Path, Query, parse_json};
pub use finish::{FinishOptions, Limits, finish};
pub use health::{CheckReport, CheckResult, Health, HealthReport};
pub use identity::Identity;
pub use page::{Data, Page, PageQuery, Pagination};
pub use patience::answer_within;
pub use serve::{Peer, serve};
