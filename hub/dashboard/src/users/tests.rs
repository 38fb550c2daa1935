use streamflow_model::Session;

use super::*;
use crate::{accounts, accounts::sweep_sessions, testbed::Bench};

#[tokio::test]
async fn the_first_administrator_is_made_once() {
    let bench = Bench::new().await;
    let password = ensure_admin(bench.store(), None).await.unwrap().unwrap();
    assert!(password.len() >= 20, "{password}");
    assert_eq!(
        ensure_admin(bench.store(), Some("another-one".into())).await.unwrap(),
        None
    );
    let auth = bench.auth();
    assert!(auth.login("admin", password, None).await.is_ok());
    assert!(auth.login("admin", "another-one".into(), None).await.is_err());
}

#[tokio::test]
async fn a_new_password_ends_what_the_old_one_began() {
    let bench = Bench::new().await;
    add(bench.store(), "kim", Role::Viewer, "first-password").await.unwrap();
    let auth = bench.auth();
    let known = async |password: &str| {
        let fits = super::fits(bench.store(), auth.passwords(), "kim", password.into()).await;
        fits.unwrap()
    };
    assert!(known("first-password").await && !known("second-password").await);
    let before = auth.login("kim", "first-password".into(), None).await.unwrap();
    set_password(bench.store(), "kim", "second-password").await.unwrap();
    assert!(auth.refresh(&before.refresh_token).await.is_err());
    assert!(auth.login("kim", "first-password".into(), None).await.is_err());
    let after = auth.login("kim", "second-password".into(), None).await.unwrap();
    let renewed = auth.refresh(&after.refresh_token).await.unwrap();
    remove(bench.store(), "kim").await.unwrap();
    assert!(auth.refresh(&renewed.refresh_token).await.is_err());
}

#[tokio::test]
async fn somebody_can_always_administer() {
    let bench = Bench::new().await;
    ensure_admin(bench.store(), Some("admin-password".into()))
        .await
        .unwrap();
    assert!(matches!(
        remove(bench.store(), "admin").await,
        Err(UserError::LastAdmin(_))
    ));
    assert!(matches!(
        change(bench.store(), "admin", Some(Role::Viewer), None).await,
        Err(UserError::LastAdmin(_))
    ));
    add(bench.store(), "second", Role::Admin, "admin-password")
        .await
        .unwrap();
    assert!(matches!(
        add(bench.store(), "second", Role::Admin, "admin-password").await,
        Err(UserError::Exists(_))
    ));
    remove(bench.store(), "admin").await.unwrap();
    assert!(matches!(
        remove(bench.store(), "admin").await,
        Err(UserError::Unknown(_))
    ));
    assert_eq!(list(bench.store()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn names_and_passwords_have_bounds() {
    let bench = Bench::new().await;
    for name in ["", "with space", "slash/ed", &"x".repeat(65)] {
        assert!(
            matches!(
                add(bench.store(), name, Role::Viewer, "long-enough").await,
                Err(UserError::Name)
            ),
            "{name}"
        );
    }
    assert!(matches!(
        add(bench.store(), "kim", Role::Viewer, "short").await,
        Err(UserError::Password(_))
    ));
}

#[tokio::test]
async fn an_api_token_works_until_it_is_removed() {
    let bench = Bench::new().await;
    let auth = bench.auth();
    let key = create_token(bench.store(), "ci", Role::Ingest, Span::from_secs(60))
        .await
        .unwrap();
    assert!(matches!(
        create_token(bench.store(), "ci", Role::Ingest, Span::from_secs(60)).await,
        Err(UserError::Exists(_))
    ));
    assert!(matches!(
        create_token(bench.store(), "no", Role::Ingest, Span::ZERO).await,
        Err(UserError::Ttl)
    ));
    let identity = auth.identify(&key).await.unwrap();
    assert_eq!((identity.name.as_str(), identity.role), ("token:ci", Role::Ingest));
    assert!(
        !serde_json::to_string(&tokens(bench.store()).await.unwrap())
            .unwrap()
            .contains(&key)
    );
    remove_token(bench.store(), "ci").await.unwrap();
    auth.forget_tokens();
    assert!(auth.identify(&key).await.is_err());
    assert!(matches!(
        remove_token(bench.store(), "ci").await,
        Err(UserError::Unknown(_))
    ));
}

#[tokio::test]
async fn sign_ins_that_have_run_out_are_forgotten() {
    let bench = Bench::new().await;
    let known = accounts(std::sync::Arc::clone(&bench.store));
    for (id, expires_at) in [("old", 1_000), ("new", 9_000)] {
        let session = Session {
            id: id.into(),
            username: "kim".into(),
            secret_sha256: String::new(),
            expires_at: Instant(expires_at),
        };
        assert!(known.put_session(&session, 0).await.unwrap());
        assert!(!known.put_session(&session, 0).await.unwrap(), "it exists already");
    }
    assert_eq!(sweep_sessions(bench.store(), Instant(5_000)).await.unwrap(), 1);
    assert!(known.session("old").await.unwrap().is_none());
    assert!(known.session("new").await.unwrap().is_some());
}

#[test]
fn random_passwords_differ() {
    assert_ne!(random_password(), random_password());
}
