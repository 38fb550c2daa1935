//! Rules, channels and routing that are kept in files of a folder: taken in at the start, on SIGHUP, and when a file changes.

mod folder;
mod kept;
mod options;
mod pace;
mod routes;
mod task;

pub use folder::check;
pub use options::Options;
pub use routes::routes;
pub use task::Provisioning;
