//! People and programs that may call the hub.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Instant;

/// What an identity may do; each role but `Ingest` includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// May only send events.
    Ingest,
    /// May read.
    Viewer,
    /// May also change rules, channels, dashboards and send events.
    Editor,
    /// May do everything.
    Admin,
}

impl Role {
    /// The name used in JSON, tokens and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Viewer => "viewer",
            Self::Editor => "editor",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Ingest, Self::Viewer, Self::Editor, Self::Admin]
            .into_iter()
            .find(|role| role.name() == text)
            .ok_or_else(|| format!("`{text}` is not a role; use admin, editor, viewer or ingest"))
    }
}

/// A person who signs in with a password.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct User {
    /// Sign-in name, unique.
    pub username: String,
    /// What the user may do.
    pub role: Role,
    /// argon2id in PHC string form.
    pub password_hash: String,
    /// When the account was made.
    pub created_at: Instant,
}

/// A program's key. Only its SHA-256 is kept; the key itself, `sfp_…`, is shown once when it is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiToken {
    /// Unique name.
    pub name: String,
    /// What the program may do.
    pub role: Role,
    /// SHA-256 of the key, lower-case hex.
    pub sha256: String,
    /// When it was made.
    pub created_at: Instant,
    /// Not valid from then on.
    #[serde(default)]
    pub expires_at: Option<Instant>,
}

/// A sign-in that goes on: the family of refresh tokens that follow one another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Identifier, part of each of its refresh tokens.
    pub id: String,
    /// Who signed in.
    pub username: String,
    /// SHA-256 of the only refresh token that is valid now, lower-case hex.
    pub secret_sha256: String,
    /// Not valid from then on.
    pub expires_at: Instant,
}
