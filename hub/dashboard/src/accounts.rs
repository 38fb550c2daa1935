//! Users, API tokens and sign-ins as documents of the store.

use std::sync::Arc;

use async_trait::async_trait;
use streamflow_model::{ApiToken, Instant, Session, User};
use streamflow_storage::{Store, StoreError};
use streamflow_web::{Accounts, AccountsError};

use crate::documents::{all, delete, put, read};

/// Collection of users, by name.
pub(crate) const USERS: &str = "user";
/// Collection of API tokens, by the SHA-256 of the key.
pub(crate) const TOKENS: &str = "token";
/// Collection of sign-ins.
pub(crate) const SESSIONS: &str = "session";

/// The accounts in a store, for [`streamflow_web::Auth`].
#[must_use]
pub fn accounts(store: Arc<dyn Store>) -> Arc<dyn Accounts> {
    Arc::new(StoredAccounts { store })
}

#[derive(Debug)]
struct StoredAccounts {
    store: Arc<dyn Store>,
}

#[async_trait]
impl Accounts for StoredAccounts {
    async fn user(&self, username: &str) -> Result<Option<User>, AccountsError> {
        Ok(self.store.doc(USERS, username).await?.map(read).transpose()?)
    }

    async fn token(&self, sha256: &str) -> Result<Option<ApiToken>, AccountsError> {
        Ok(self.store.doc(TOKENS, sha256).await?.map(read).transpose()?)
    }

    async fn session(&self, id: &str) -> Result<Option<(Session, i64)>, AccountsError> {
        let Some(doc) = self.store.doc(SESSIONS, id).await? else {
            return Ok(None);
        };
        let version = doc.version;
        Ok(Some((read(doc)?, version)))
    }

    async fn put_session(&self, session: &Session, version: i64) -> Result<bool, AccountsError> {
        match self
            .store
            .commit(vec![put(SESSIONS, &session.id, session, Some(version))?])
            .await
        {
            Ok(_) => Ok(true),
            Err(StoreError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn delete_session(&self, id: &str) -> Result<(), AccountsError> {
        self.store.commit(vec![delete(SESSIONS, id)]).await?;
        Ok(())
    }
}

/// Forgets sign-ins that nobody can use any more.
pub(crate) async fn sweep_sessions(store: &dyn Store, now: Instant) -> Result<usize, StoreError> {
    end_sessions(store, |session| session.expires_at <= now).await
}

/// Ends the sign-ins that a condition picks.
pub(crate) async fn end_sessions(store: &dyn Store, ended: impl Fn(&Session) -> bool) -> Result<usize, StoreError> {
    let sessions: Vec<Session> = all(store, SESSIONS).await?;
    let ops: Vec<_> = sessions
        .iter()
        .filter(|session| ended(session))
        .map(|session| delete(SESSIONS, &session.id))
        .collect();
    let count = ops.len();
    if count > 0 {
        store.commit(ops).await?;
    }
    Ok(count)
}
