//! `streamflow-hub user …` and `streamflow-hub token …`.

use std::io::{BufRead, IsTerminal};

use streamflow_dashboard::users;
use streamflow_model::{Role, Span};
use streamflow_storage::Store;

use super::{UsageError, print};
use crate::cli::Common;

/// Lists users.
pub async fn list(common: &Common, store: &dyn Store) -> anyhow::Result<()> {
    let users = users::list(store).await?;
    let rows: Vec<Vec<String>> = users
        .iter()
        .map(|u| vec![u.username.clone(), u.role.to_string(), u.created_at.to_string()])
        .collect();
    let json: Vec<_> = users
        .iter()
        .map(|u| serde_json::json!({"username": u.username, "role": u.role, "created_at": u.created_at}))
        .collect();
    print::done(
        common.output,
        &print::table(&["USER", "ROLE", "SINCE"], &rows),
        &json.into(),
    )
}

/// Adds a user.
pub async fn add(common: &Common, store: &dyn Store, username: &str, role: Role) -> anyhow::Result<()> {
    let (password, made) = password()?;
    users::add(store, username, role, &password).await?;
    told(common, username, made.then_some(&password))
}

/// Sets a password.
pub async fn set_password(common: &Common, store: &dyn Store, username: &str) -> anyhow::Result<()> {
    let (password, made) = password()?;
    users::set_password(store, username, &password).await?;
    told(common, username, made.then_some(&password))
}

/// Makes an API token.
pub async fn create_token(common: &Common, store: &dyn Store, name: &str, role: Role, ttl: Span) -> anyhow::Result<()> {
    let token = users::create_token(store, name, role, ttl).await?;
    print::done(
        common.output,
        &token,
        &serde_json::json!({"token": token, "name": name, "role": role}),
    )
}

fn told(common: &Common, username: &str, made: Option<&String>) -> anyhow::Result<()> {
    let text = made.map_or_else(
        || format!("{username}: done"),
        |p| format!("{username}: password {p}   (shown only this once)"),
    );
    print::done(
        common.output,
        &text,
        &serde_json::json!({"username": username, "password": made}),
    )
}

/// A line of stdin, or a random password when stdin is a terminal or empty.
fn password() -> anyhow::Result<(String, bool)> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        return Ok((users::random_password(), true));
    }
    let mut line = String::new();
    stdin.lock().read_line(&mut line)?;
    match line.trim_end_matches(['\r', '\n']) {
        "" => Ok((users::random_password(), true)),
        given if given.chars().count() < 8 => {
            Err(UsageError("a password needs at least 8 characters".to_owned()).into())
        }
        given => Ok((given.to_owned(), false)),
    }
}
