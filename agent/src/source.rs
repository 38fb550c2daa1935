//! Where events come from.

pub mod file;
pub mod host;

use crate::config::SourceOptions;

impl SourceOptions {
    /// Its name in messages and counters.
    pub fn name(&self) -> String {
        match self {
            Self::File(file) if file.name.is_empty() => format!("file:{}", file.paths.join(",")),
            Self::File(file) => file.name.clone(),
            Self::Host(host) => host.name.clone(),
        }
    }

    /// Its kind in the configuration.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Host(_) => "host",
        }
    }
}
