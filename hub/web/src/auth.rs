//! Sign-in: passwords for people, short-lived signed tokens for their sessions, API tokens for programs.

mod keys;
mod layer;
mod session;

use std::{
    collections::HashMap,
    net::IpAddr,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use streamflow_model::{ApiToken, Instant, Session, Span, User};

use crate::{ApiError, ApiResult, Identity, password::Passwords, throttle::Throttle};
use keys::Keys;
pub(crate) use layer::{OPEN, identify};

/// Names of the tokens that the command line makes for itself begin like this: one for each call, which nobody would recognise.
pub const COMMAND_LINE: &str = "command-line-";
/// Prefix of API tokens, so that scanners for leaked secrets find them.
pub const TOKEN_PREFIX: &str = "sfp_";
/// API tokens are looked up again after this long, so that one revoked on another replica stops working soon.
const TOKEN_CACHE_MS: i64 = 10_000;
/// Entries of that cache.
const TOKEN_CACHE_SIZE: usize = 1024;

/// Configuration section `[auth]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthOptions {
    /// How long an access token is valid.
    pub access_ttl: Span,
    /// How long a sign-in lasts without being used.
    pub refresh_ttl: Span,
    /// Failed sign-ins per minute and account.
    pub failures_per_account: u32,
    /// Failed sign-ins per minute and address.
    pub failures_per_address: u32,
}

impl Default for AuthOptions {
    fn default() -> Self {
        Self {
            access_ttl: Span::from_secs(15 * 60),
            refresh_ttl: Span::from_secs(7 * 86_400),
            failures_per_account: 5,
            failures_per_address: 20,
        }
    }
}

/// Why accounts cannot be read or written now.
pub type AccountsError = Box<dyn std::error::Error + Send + Sync>;

/// Where accounts are kept.
#[async_trait]
pub trait Accounts: Send + Sync + std::fmt::Debug + 'static {
    /// The user of that name.
    async fn user(&self, username: &str) -> Result<Option<User>, AccountsError>;
    /// The API token with that SHA-256 in lower-case hex.
    async fn token(&self, sha256: &str) -> Result<Option<ApiToken>, AccountsError>;
    /// The sign-in of that id, and its version.
    async fn session(&self, id: &str) -> Result<Option<(Session, i64)>, AccountsError>;
    /// Writes a sign-in if its stored version is still this one (0 = does not exist); answers whether it was.
    async fn put_session(&self, session: &Session, version: i64) -> Result<bool, AccountsError>;
    /// Forgets a sign-in.
    async fn delete_session(&self, id: &str) -> Result<(), AccountsError>;
}

/// Answer of a sign-in.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct TokenPair {
    /// Goes into `Authorization: Bearer …`.
    pub access_token: String,
    /// Always `bearer`.
    #[schema(example = "bearer")]
    pub token_type: String,
    /// Seconds for which the access token is valid.
    pub expires_in: i64,
    /// Good for one call of `/auth/refresh`.
    pub refresh_token: String,
}

/// Why sign-in cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The signing key's file cannot be read or written.
    #[error("signing key {path}: {source}")]
    KeyFile {
        /// The file.
        path: std::path::PathBuf,
        /// What failed.
        source: std::io::Error,
    },
    /// The signing key's file holds something else.
    #[error(
        "signing key {path} is not an Ed25519 key in PEM form; remove it to have a new one made (everybody signs in again)"
    )]
    KeyFormat {
        /// The file.
        path: std::path::PathBuf,
    },
}

/// Issues and checks credentials.
#[derive(Debug)]
pub struct Auth {
    options: AuthOptions,
    keys: Keys,
    accounts: Arc<dyn Accounts>,
    passwords: Passwords,
    limits: Mutex<Limits>,
    tokens: Mutex<HashMap<String, CachedToken>>,
}

#[derive(Debug)]
struct Limits {
    account: Throttle,
    address: Throttle,
}

#[derive(Debug)]
struct CachedToken {
    token: Option<ApiToken>,
    read_at: i64,
}

impl Auth {
    /// Reads the signing key in the data folder, or makes one at the first start.
    ///
    /// # Errors
    /// When the key cannot be read, made or written.
    pub fn build(options: &AuthOptions, data_dir: &Path, accounts: Arc<dyn Accounts>) -> Result<Self, AuthError> {
        let limits = Limits {
            account: Throttle::new(options.failures_per_account),
            address: Throttle::new(options.failures_per_address),
        };
        let keys = Keys::load_or_make(&data_dir.join("auth-key.pem"))?;
        let (passwords, tokens) = (Passwords::default(), Mutex::default());
        Ok(Self {
            options: options.clone(),
            keys,
            accounts,
            passwords,
            limits: Mutex::new(limits),
            tokens,
        })
    }

    /// For hashing the passwords of new users.
    #[must_use]
    pub const fn passwords(&self) -> &Passwords {
        &self.passwords
    }

    /// Signs a person in.
    ///
    /// # Errors
    /// 401 when name and password do not fit, 429 after too many failures, 503 when the accounts cannot be read.
    pub async fn login(&self, username: &str, password: String, address: Option<IpAddr>) -> ApiResult<TokenPair> {
        let address = address.map(network);
        self.take_attempt(username, address.as_deref())?;
        let user = self.accounts.user(username).await.map_err(unavailable)?;
        let hash = user.as_ref().map(|user| user.password_hash.clone());
        let fits = self
            .passwords
            .verify(password, hash)
            .await
            .map_err(ApiError::internal)?;
        let Some(user) = user.filter(|_| fits) else {
            tracing::info!(username, "sign-in refused");
            return Err(ApiError::unauthorized("user name or password is wrong"));
        };
        {
            let mut limits = self.limits();
            limits.account.give_back(username);
            address.iter().for_each(|address| limits.address.give_back(address));
        }
        self.open_session(&user).await
    }

    /// Who presents this access token or API token.
    ///
    /// # Errors
    /// 401 when it is not valid (any more), 503 when the accounts cannot be read.
    pub async fn identify(&self, bearer: &str) -> ApiResult<Identity> {
        if bearer.starts_with(TOKEN_PREFIX) {
            self.identify_token(bearer).await
        } else {
            self.keys
                .verify(bearer)
                .map_err(|refused| ApiError::unauthorized(refused.to_string()))
        }
    }

    /// Forgets what is remembered of API tokens, so that a change takes effect at once.
    pub fn forget_tokens(&self) {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    async fn identify_token(&self, bearer: &str) -> ApiResult<Identity> {
        let (hash, now) = (sha256_hex(bearer), Instant::now());
        let cached = {
            let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
            tokens
                .get(&hash)
                .filter(|c| now.0 - c.read_at < TOKEN_CACHE_MS)
                .map(|c| c.token.clone())
        };
        let token = match cached {
            Some(token) => token,
            None => {
                let token = self.accounts.token(&hash).await.map_err(unavailable)?;
                let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
                if tokens.len() >= TOKEN_CACHE_SIZE {
                    tokens.clear();
                }
                tokens.insert(
                    hash,
                    CachedToken {
                        token: token.clone(),
                        read_at: now.0,
                    },
                );
                token
            }
        };
        match token.filter(|token| token.expires_at.is_none_or(|end| end > now)) {
            Some(token) => Ok(Identity {
                name: if token.name.starts_with(COMMAND_LINE) {
                    "command line".to_owned()
                } else {
                    format!("token:{}", token.name)
                },
                role: token.role,
            }),
            None => Err(ApiError::unauthorized("the API token is not valid")),
        }
    }

    fn take_attempt(&self, username: &str, address: Option<&str>) -> ApiResult<()> {
        let now = Instant::now().0;
        let mut limits = self.limits();
        let taken = match address.map_or(Ok(()), |address| limits.address.take(address, now)) {
            Ok(()) => limits.account.take(username, now),
            refused => refused,
        };
        taken.map_err(|wait_ms| {
            let seconds = u64::try_from(wait_ms / 1000 + 1).unwrap_or(1);
            ApiError::too_many(seconds).with_message(format!("too many failed sign-ins; try again in {seconds} s"))
        })
    }

    fn limits(&self) -> MutexGuard<'_, Limits> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A new API token as the program sends it, and its SHA-256 as it is kept.
#[must_use]
pub fn new_token() -> (String, String) {
    let token = format!("{TOKEN_PREFIX}{}", random_hex());
    let hash = sha256_hex(&token);
    (token, hash)
}

/// SHA-256 in lower-case hex.
#[must_use]
pub fn sha256_hex(text: &str) -> String {
    hex(&<sha2::Sha256 as sha2::Digest>::digest(text.as_bytes()))
}

fn random_hex() -> String {
    hex(&rand::random::<[u8; 32]>())
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

/// A household counts as one: an IPv6 customer has at least a /64 to choose addresses from.
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("{:x?}", &v6.segments()[..4]),
    }
}

fn unavailable(error: AccountsError) -> ApiError {
    tracing::error!(%error, "accounts cannot be read or written");
    ApiError::unavailable(1)
}

#[cfg(test)]
pub(crate) mod tests;
