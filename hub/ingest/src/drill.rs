//! Fire drills at the door: asking an agent, and hearing how far its event is.

use streamflow_proto::wire::DrillNews;

/// Why an agent cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// It never enrolled here.
    #[error("there is no agent `{0}`; `streamflow-hub agent list` names them")]
    Unknown(String),
    /// It has no session now.
    #[error("agent `{0}` is not connected")]
    Away(String),
    /// Its program is older than drills.
    #[error(
        "agent `{agent}` runs version {version}, which cannot take part in a drill; upgrade it, or drill another agent"
    )]
    TooOld {
        /// Its name.
        agent: String,
        /// Version of its program.
        version: String,
    },
    /// It does not take messages.
    #[error("agent `{0}` takes no messages now; try again later")]
    Busy(String),
}

/// What an agent tells of a drill.
#[derive(Debug, Clone)]
pub struct DrillHeard {
    /// Its id.
    pub agent: String,
    /// What it tells.
    pub news: DrillNews,
}
