//! Sign-ins that go on: rotating refresh tokens, of which a used one betrays a thief.

use streamflow_model::{Instant, Session, User};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::{Auth, TokenPair, random_hex, sha256_hex, unavailable};
use crate::{ApiError, ApiResult, Identity};

impl Auth {
    /// A new pair for a refresh token, which is used up by this.
    ///
    /// # Errors
    /// 401 when it is not valid. When it had been used before, it was stolen from its owner or by its owner's thief: the
    /// whole sign-in ends.
    pub async fn refresh(&self, refresh_token: &str) -> ApiResult<TokenPair> {
        let refused = || ApiError::unauthorized("the refresh token is not valid; sign in again");
        let (id, secret) = refresh_token.split_once('.').ok_or_else(refused)?;
        let (session, version) = self
            .accounts
            .session(id)
            .await
            .map_err(unavailable)?
            .ok_or_else(refused)?;
        if session.expires_at <= Instant::now() {
            self.accounts.delete_session(id).await.map_err(unavailable)?;
            return Err(refused());
        }
        if !bool::from(session.secret_sha256.as_bytes().ct_eq(sha256_hex(secret).as_bytes())) {
            tracing::warn!(
                username = session.username,
                "a used refresh token came again; its sign-in is ended"
            );
            self.accounts.delete_session(id).await.map_err(unavailable)?;
            return Err(refused());
        }
        // Read anew, so that a changed role or a removed account takes effect here at the latest.
        let user = self
            .accounts
            .user(&session.username)
            .await
            .map_err(unavailable)?
            .ok_or_else(refused)?;
        self.write_session(&user, session.id, version).await
    }

    /// Ends the sign-in of a refresh token. Unknown tokens are no error.
    ///
    /// # Errors
    /// 503 when the accounts cannot be written.
    pub async fn logout(&self, refresh_token: &str) -> ApiResult<()> {
        let Some((id, secret)) = refresh_token.split_once('.') else {
            return Ok(());
        };
        match self.accounts.session(id).await.map_err(unavailable)? {
            Some((session, _)) if session.secret_sha256 == sha256_hex(secret) => {
                self.accounts.delete_session(id).await.map_err(unavailable)
            }
            _ => Ok(()),
        }
    }

    pub(super) async fn open_session(&self, user: &User) -> ApiResult<TokenPair> {
        self.write_session(user, Uuid::new_v4().to_string(), 0).await
    }

    async fn write_session(&self, user: &User, id: String, version: i64) -> ApiResult<TokenPair> {
        let secret = random_hex();
        let session = Session {
            id,
            username: user.username.clone(),
            secret_sha256: sha256_hex(&secret),
            expires_at: Instant(Instant::now().0 + self.options.refresh_ttl.ms()),
        };
        if !self
            .accounts
            .put_session(&session, version)
            .await
            .map_err(unavailable)?
        {
            return Err(ApiError::unauthorized(
                "the refresh token was used at the same time elsewhere; sign in again",
            ));
        }
        let identity = Identity {
            name: user.username.clone(),
            role: user.role,
        };
        let access_token = self
            .keys
            .sign(&identity, self.options.access_ttl, Instant::now())
            .map_err(ApiError::internal)?;
        Ok(TokenPair {
            access_token,
            token_type: "bearer".to_owned(),
            expires_in: self.options.access_ttl.ms() / 1000,
            refresh_token: format!("{}.{secret}", session.id),
        })
    }
}
