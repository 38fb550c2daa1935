//! Passwords: argon2id with OWASP's floor, never more than two computations at a time.

use std::sync::Arc;

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use tokio::sync::Semaphore;

/// OWASP's floor: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
/// Two cores' worth, so that guessing cannot take the memory and the processor that ingest needs.
const AT_ONCE: usize = 2;
/// Checked for unknown users, so that their answer takes as long as any other.
const DUMMY: &str = "$argon2id$v=19$m=19456,t=2,p=1$c3RyZWFtZmxvd2R1bW15$ZHVtbXlkdW1teWR1bW15ZHVtbXlkdW1teWR1bW15ZHU";
/// Length bounds in bytes.
const LENGTH: std::ops::RangeInclusive<usize> = 8..=1024;

/// Hashes and checks passwords.
#[derive(Debug, Clone)]
pub struct Passwords {
    permits: Arc<Semaphore>,
}

/// Why a password was not hashed or checked.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Too short or too long.
    #[error("a password must have {} to {} bytes", LENGTH.start(), LENGTH.end())]
    Length,
    /// The hash function refused.
    #[error("cannot hash: {0}")]
    Hash(argon2::password_hash::Error),
    /// The hash function's parameters were refused.
    #[error("wrong parameters: {0}")]
    Params(argon2::Error),
    /// The computation was cut short by the program's end.
    #[error("the program is stopping")]
    Stopping,
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }
}

impl Passwords {
    /// A hash to keep, in PHC string form with its own salt.
    ///
    /// # Errors
    /// When the password is too short or too long, or the computation fails.
    pub async fn hash(&self, password: String) -> Result<String, PasswordError> {
        if !LENGTH.contains(&password.len()) {
            return Err(PasswordError::Length);
        }
        self.compute(move || hash_now(&password)).await?
    }

    /// Whether the password fits the hash. Takes as long when there is no hash.
    ///
    /// # Errors
    /// When the computation was cut short.
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, PasswordError> {
        if password.len() > *LENGTH.end() {
            return Ok(false);
        }
        self.compute(move || {
            let known = hash.is_some();
            let parsed = PasswordHash::new(hash.as_deref().unwrap_or(DUMMY)).map_err(|_| PasswordError::Stopping);
            let fits = parsed.is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok());
            known && fits
        })
        .await
    }

    async fn compute<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, PasswordError> {
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|_| PasswordError::Stopping)?;
        // The permit goes along: a caller that gives up does not stop the computation.
        let task = tokio::task::spawn_blocking(move || {
            let answer = work();
            drop(permit);
            answer
        });
        task.await.map_err(|_| PasswordError::Stopping)
    }
}

fn hash_now(password: &str) -> Result<String, PasswordError> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).map_err(PasswordError::Params)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2
        .hash_password(password.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(PasswordError::Hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_fits() {
        let passwords = Passwords::default();
        let hash = passwords.hash("correct horse".to_owned()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(
            passwords
                .verify("correct horse".to_owned(), Some(hash.clone()))
                .await
                .unwrap()
        );
        assert!(!passwords.verify("wrong horse".to_owned(), Some(hash)).await.unwrap());
        assert!(!passwords.verify("correct horse".to_owned(), None).await.unwrap());
        assert!(matches!(
            passwords.hash("short".to_owned()).await,
            Err(PasswordError::Length)
        ));
    }

    #[test]
    fn the_dummy_is_computed_like_a_real_hash() {
        assert!(PasswordHash::new(DUMMY).is_ok());
    }
}
