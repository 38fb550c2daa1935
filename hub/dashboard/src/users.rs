//! People and programs that may sign in: what the routes and the command line do with them.

use streamflow_model::{ApiToken, Instant, Role, Span, User};
use streamflow_storage::{Store, StoreError};
use streamflow_web::{
    auth::new_token,
    password::{PasswordError, Passwords},
};

use crate::{
    accounts::{TOKENS, USERS, end_sessions},
    documents::{all, delete, put, read},
};

/// Name of the first account.
const ADMIN: &str = "admin";
/// Longest name of a user or token, bytes.
const MAX_NAME: usize = 64;

/// Why an account was not made or changed.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// The name is not one.
    #[error("a name has 1 to {MAX_NAME} letters, digits or any of `. _ - @`")]
    Name,
    /// The name is taken.
    #[error("`{0}` exists already")]
    Exists(String),
    /// There is no such account.
    #[error("there is no `{0}`")]
    Unknown(String),
    /// Nobody could administer the hub afterwards.
    #[error("`{0}` is the last administrator; make another one first")]
    LastAdmin(String),
    /// The password cannot be used.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The token would never be valid.
    #[error("a token must be valid for at least a second")]
    Ttl,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes the first administrator when there is no user at all; answers the password when it did. A random one is made when none is given.
///
/// # Errors
/// When the given password cannot be used or the store fails.
pub async fn ensure_admin(store: &dyn Store, password: Option<String>) -> Result<Option<String>, UserError> {
    if !store.docs(USERS, None, 1).await?.is_empty() {
        return Ok(None);
    }
    let password = password.unwrap_or_else(random_password);
    match add(store, ADMIN, Role::Admin, &password).await {
        Ok(_) => Ok(Some(password)),
        // another role of this hub, started at the same time, was faster
        Err(UserError::Exists(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A password of 24 letters and digits that cannot be mistaken for one another: more than 130 bits.
#[must_use]
pub fn random_password() -> String {
    const LETTERS: &[u8] = b"abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    (0..24)
        .map(|_| char::from(LETTERS[rand::random_range(0..LETTERS.len())]))
        .collect()
}

/// All users by name.
///
/// # Errors
/// When the store fails.
pub async fn list(store: &dyn Store) -> Result<Vec<User>, UserError> {
    Ok(all(store, USERS).await?)
}

/// Adds a user.
///
/// # Errors
/// When the name is wrong or taken, the password cannot be used, or the store fails.
pub async fn add(store: &dyn Store, username: &str, role: Role, password: &str) -> Result<User, UserError> {
    check_name(username)?;
    let password_hash = Passwords::default().hash(password.to_owned()).await?;
    insert(
        store,
        User {
            username: username.to_owned(),
            role,
            password_hash,
            created_at: Instant::now(),
        },
    )
    .await
}

pub(crate) async fn insert(store: &dyn Store, user: User) -> Result<User, UserError> {
    check_name(&user.username)?;
    match store.commit(vec![put(USERS, &user.username, &user, Some(0))?]).await {
        Ok(_) => Ok(user),
        Err(StoreError::Conflict { .. }) => Err(UserError::Exists(user.username)),
        Err(error) => Err(error.into()),
    }
}

/// Sets a password and ends the user's sign-ins.
///
/// # Errors
/// When there is no such user, the password cannot be used, or the store fails.
pub async fn set_password(store: &dyn Store, username: &str, password: &str) -> Result<User, UserError> {
    let hash = Passwords::default().hash(password.to_owned()).await?;
    change(store, username, None, Some(hash)).await
}

/// Whether that is the user's password.
pub(crate) async fn fits(
    store: &dyn Store,
    passwords: &Passwords,
    username: &str,
    password: String,
) -> Result<bool, UserError> {
    let user: Option<User> = store.doc(USERS, username).await?.map(read).transpose()?;
    Ok(passwords.verify(password, user.map(|user| user.password_hash)).await?)
}

/// Changes the role, the password or both. Sign-ins of the user end, so that neither outlives the change.
pub(crate) async fn change(
    store: &dyn Store,
    username: &str,
    role: Option<Role>,
    hash: Option<String>,
) -> Result<User, UserError> {
    let changed = loop {
        let doc = store
            .doc(USERS, username)
            .await?
            .ok_or_else(|| UserError::Unknown(username.to_owned()))?;
        let version = doc.version;
        let mut user: User = read(doc)?;
        if role.is_some_and(|role| role < Role::Admin) {
            keep_an_admin(store, &user).await?;
        }
        user.role = role.unwrap_or(user.role);
        if let Some(hash) = &hash {
            user.password_hash.clone_from(hash);
        }
        match store.commit(vec![put(USERS, username, &user, Some(version))?]).await {
            Ok(_) => break user,
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    };
    end_sessions(store, |session| session.username == username).await?;
    Ok(changed)
}

/// Removes a user and ends the sign-ins.
pub(crate) async fn remove(store: &dyn Store, username: &str) -> Result<(), UserError> {
    let doc = store
        .doc(USERS, username)
        .await?
        .ok_or_else(|| UserError::Unknown(username.to_owned()))?;
    keep_an_admin(store, &read(doc)?).await?;
    store.commit(vec![delete(USERS, username)]).await?;
    end_sessions(store, |session| session.username == username).await?;
    Ok(())
}

async fn keep_an_admin(store: &dyn Store, leaving: &User) -> Result<(), UserError> {
    let others = list(store)
        .await?
        .iter()
        .any(|user| user.role == Role::Admin && user.username != leaving.username);
    if leaving.role == Role::Admin && !others {
        return Err(UserError::LastAdmin(leaving.username.clone()));
    }
    Ok(())
}

pub use streamflow_web::auth::COMMAND_LINE;

/// All API tokens.
pub(crate) async fn tokens(store: &dyn Store) -> Result<Vec<ApiToken>, UserError> {
    Ok(all(store, TOKENS).await?)
}

/// Makes an API token and answers its key, which is not kept.
///
/// # Errors
/// When the name is wrong or taken, the time is none, or the store fails.
pub async fn create_token(store: &dyn Store, name: &str, role: Role, ttl: Span) -> Result<String, UserError> {
    check_name(name)?;
    if ttl.ms() < 1000 {
        return Err(UserError::Ttl);
    }
    let known = tokens(store).await?;
    if known.iter().any(|token| token.name == name) {
        return Err(UserError::Exists(name.to_owned()));
    }
    let (key, sha256) = new_token();
    let now = Instant::now();
    // The command line makes one for each call; nobody else removes them.
    let spent = known
        .iter()
        .filter(|token| token.name.starts_with(COMMAND_LINE) && token.expires_at.is_some_and(|end| end < now));
    let mut ops: Vec<_> = spent.map(|token| delete(TOKENS, &token.sha256)).collect();
    let expires_at = Some(Instant(now.0.saturating_add(ttl.ms())));
    let token = ApiToken {
        name: name.to_owned(),
        role,
        sha256,
        created_at: now,
        expires_at,
    };
    ops.push(put(TOKENS, &token.sha256, &token, Some(0))?);
    store.commit(ops).await?;
    Ok(key)
}

/// Removes an API token.
///
/// # Errors
/// When there is none of this name, or the store fails.
pub async fn remove_token(store: &dyn Store, name: &str) -> Result<(), UserError> {
    let ops: Vec<_> = tokens(store)
        .await?
        .iter()
        .filter(|token| token.name == name)
        .map(|token| delete(TOKENS, &token.sha256))
        .collect();
    if ops.is_empty() {
        return Err(UserError::Unknown(name.to_owned()));
    }
    store.commit(ops).await?;
    Ok(())
}

fn check_name(name: &str) -> Result<(), UserError> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b".-_@".contains(&b);
    if (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(fits) {
        Ok(())
    } else {
        Err(UserError::Name)
    }
}

#[cfg(test)]
mod tests;
