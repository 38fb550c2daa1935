//! The dashboard room: who may sign in, the live feed, PromQL, and the page itself.

mod accounts;
mod dashboard;
mod documents;
mod live;
mod options;
mod prom;
mod routes;
#[cfg(test)]
mod testbed;
mod ui;
pub mod users;

pub use accounts::accounts;
pub use dashboard::{Dashboard, DashboardError};
pub use options::Options;
pub use prom::{PromQl, prometheus};
pub use ui::ui_fallback;
pub use users::ensure_admin;
