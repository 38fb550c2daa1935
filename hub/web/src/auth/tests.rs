//! Sign-in: what is refused and what is not.

use std::{collections::HashMap, os::unix::fs::PermissionsExt};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use streamflow_model::Role;

use super::*;

#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) users: Mutex<HashMap<String, User>>,
    pub(crate) tokens: Mutex<HashMap<String, ApiToken>>,
    sessions: Mutex<HashMap<String, (Session, i64)>>,
}

#[async_trait]
impl Accounts for Memory {
    async fn user(&self, username: &str) -> Result<Option<User>, AccountsError> {
        Ok(self.users.lock().unwrap().get(username).cloned())
    }
    async fn token(&self, sha256: &str) -> Result<Option<ApiToken>, AccountsError> {
        Ok(self.tokens.lock().unwrap().get(sha256).cloned())
    }
    async fn session(&self, id: &str) -> Result<Option<(Session, i64)>, AccountsError> {
        Ok(self.sessions.lock().unwrap().get(id).cloned())
    }
    async fn put_session(&self, session: &Session, version: i64) -> Result<bool, AccountsError> {
        let mut sessions = self.sessions.lock().unwrap();
        let fits = sessions.get(&session.id).map_or(0, |(_, version)| *version) == version;
        if fits {
            sessions.insert(session.id.clone(), (session.clone(), version + 1));
        }
        Ok(fits)
    }
    async fn delete_session(&self, id: &str) -> Result<(), AccountsError> {
        self.sessions.lock().unwrap().remove(id);
        Ok(())
    }
}

/// Sign-in with one editor, `eva`, whose password is `correct horse`.
pub(crate) async fn with_eva(dir: &Path) -> (Auth, Arc<Memory>) {
    let accounts = Arc::new(Memory::default());
    let auth = Auth::build(&AuthOptions::default(), dir, accounts.clone()).unwrap();
    let password_hash = auth.passwords().hash("correct horse".to_owned()).await.unwrap();
    let eva = User {
        username: "eva".to_owned(),
        role: Role::Editor,
        password_hash,
        created_at: Instant::now(),
    };
    accounts.users.lock().unwrap().insert("eva".to_owned(), eva);
    (auth, accounts)
}

async fn login(auth: &Auth, password: &str) -> ApiResult<TokenPair> {
    auth.login("eva", password.to_owned(), None).await
}

#[tokio::test]
async fn a_sign_in_gives_a_token_that_names_its_owner_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (auth, accounts) = with_eva(dir.path()).await;
    let pair = login(&auth, "correct horse").await.unwrap();
    assert_eq!((pair.expires_in, pair.token_type.as_str()), (900, "bearer"));
    let restarted = Auth::build(&AuthOptions::default(), dir.path(), accounts).unwrap();
    let identity = restarted.identify(&pair.access_token).await.unwrap();
    assert_eq!(
        identity,
        Identity {
            name: "eva".to_owned(),
            role: Role::Editor
        }
    );
    let mode = std::fs::metadata(dir.path().join("auth-key.pem"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn five_wrong_passwords_close_the_account_for_a_while_and_right_ones_never_do() {
    let dir = tempfile::tempdir().unwrap();
    let (auth, _) = with_eva(dir.path()).await;
    for _ in 0..6 {
        login(&auth, "correct horse").await.unwrap();
    }
    for _ in 0..5 {
        assert_eq!(login(&auth, "wrong").await.unwrap_err().status(), 401);
    }
    assert_eq!(login(&auth, "correct horse").await.unwrap_err().status(), 429);
    assert_eq!(
        auth.login("nobody", "x".to_owned(), None).await.unwrap_err().status(),
        401,
        "other accounts are not held up"
    );
}

#[tokio::test]
async fn a_refresh_token_that_comes_again_ends_the_sign_in() {
    let dir = tempfile::tempdir().unwrap();
    let (auth, _) = with_eva(dir.path()).await;
    let first = login(&auth, "correct horse").await.unwrap();
    let second = auth.refresh(&first.refresh_token).await.unwrap();
    assert_eq!(
        auth.refresh(&first.refresh_token).await.unwrap_err().status(),
        401,
        "used"
    );
    assert_eq!(
        auth.refresh(&second.refresh_token).await.unwrap_err().status(),
        401,
        "its successor goes with it"
    );
}

#[tokio::test]
async fn nobody_refreshes_after_signing_out_or_losing_the_account() {
    let dir = tempfile::tempdir().unwrap();
    let (auth, accounts) = with_eva(dir.path()).await;
    let pair = login(&auth, "correct horse").await.unwrap();
    auth.logout(&pair.refresh_token).await.unwrap();
    assert_eq!(auth.refresh(&pair.refresh_token).await.unwrap_err().status(), 401);
    let pair = login(&auth, "correct horse").await.unwrap();
    accounts.users.lock().unwrap().clear();
    assert_eq!(auth.refresh(&pair.refresh_token).await.unwrap_err().status(), 401);
}

#[tokio::test]
async fn tokens_of_other_keys_algorithms_and_times_are_refused() {
    let (dir, other_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (auth, _) = with_eva(dir.path()).await;
    let (other, _) = with_eva(other_dir.path()).await;
    let foreign = login(&other, "correct horse").await.unwrap().access_token;
    let claims = serde_json::json!({"sub": "eva", "role": "admin", "iss": "streamflow", "aud": "streamflow-hub",
        "jti": "x", "iat": 0, "nbf": 0, "exp": 4_102_444_800_u64});
    let secret = EncodingKey::from_secret(b"guess");
    let symmetric = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &secret).unwrap();
    let unsigned = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiJldmEifQ.";
    let eva = Identity {
        name: "eva".to_owned(),
        role: Role::Editor,
    };
    let an_hour_ago = Instant(Instant::now().0 - 3_600_000);
    let expired = auth.keys.sign(&eva, Span::from_secs(900), an_hour_ago).unwrap();
    for (what, token) in [
        ("foreign", foreign.as_str()),
        ("symmetric", &symmetric),
        ("none", unsigned),
        ("garbage", "x.y.z"),
        ("expired", &expired),
        ("empty", ""),
    ] {
        let refused = auth.identify(token).await.unwrap_err();
        assert_eq!(refused.status(), 401, "{what}");
        let said = refused.to_string();
        let expected = if what == "expired" {
            "has expired"
        } else {
            "is not one of this hub"
        };
        assert!(said.contains(expected) && !said.contains("Invalid"), "{what}: {said}");
    }
}

#[tokio::test]
async fn api_tokens_work_until_they_expire_or_are_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let (auth, accounts) = with_eva(dir.path()).await;
    let (token, sha256) = new_token();
    assert!(token.starts_with(TOKEN_PREFIX));
    let now = Instant::now();
    let mut kept = ApiToken {
        name: "ci".to_owned(),
        role: Role::Ingest,
        sha256: sha256.clone(),
        created_at: now,
        expires_at: None,
    };
    accounts.tokens.lock().unwrap().insert(sha256.clone(), kept.clone());
    assert_eq!(
        auth.identify(&token).await.unwrap(),
        Identity {
            name: "token:ci".to_owned(),
            role: Role::Ingest
        }
    );
    let own = ApiToken {
        name: format!("{COMMAND_LINE}0198"),
        ..kept.clone()
    };
    accounts.tokens.lock().unwrap().insert(sha256.clone(), own);
    auth.forget_tokens();
    assert_eq!(auth.identify(&token).await.unwrap().name, "command line");
    kept.expires_at = Some(Instant(now.0 - 1));
    accounts.tokens.lock().unwrap().insert(sha256.clone(), kept);
    auth.forget_tokens();
    assert_eq!(auth.identify(&token).await.unwrap_err().status(), 401);
    assert_eq!(auth.identify("sfp_unknown").await.unwrap_err().status(), 401);
}

#[test]
fn a_key_file_of_another_kind_is_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("auth-key.pem"), "hello").unwrap();
    let error = Auth::build(&AuthOptions::default(), dir.path(), Arc::new(Memory::default())).unwrap_err();
    assert!(error.to_string().contains("auth-key.pem"), "{error}");
}
