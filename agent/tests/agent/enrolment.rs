//! A token becomes an identity, once, and only at the hub that made it.

use std::sync::{Arc, Mutex};

use streamflow_agent::enroll::{EnrollError, enroll};
use streamflow_agent::identity::Identity;
use streamflow_proto::wire::RefusalCode;

use crate::fake_hub::{Ca, FakeHub, Store};

#[tokio::test]
async fn a_token_works_once() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Ca::new();
    let hub = FakeHub::start(&ca, Arc::default());
    let addr = hub.addr.to_string();
    let identity = enroll(&addr, &hub.token(), "host-1", dir.path()).await.unwrap();
    assert_eq!(Identity::load(dir.path()).unwrap(), identity);
    assert_eq!(identity.ca(), ca.der);
    let other = tempfile::tempdir().unwrap();
    let again = enroll(&addr, &hub.token(), "host-2", other.path()).await.unwrap_err();
    assert!(
        matches!(
            again,
            EnrollError::Refused {
                code: RefusalCode::UsedToken,
                ..
            }
        ),
        "{again}"
    );
    assert!(again.to_string().contains("streamflow-hub agent token"));
    assert!(!Identity::path(other.path()).exists());
}

#[tokio::test]
async fn a_wrong_secret_or_pin_or_address_says_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let hub = FakeHub::start(&Ca::new(), Arc::default());
    let addr = hub.addr.to_string();
    let mut token = hub.token();
    token.secret = "00".repeat(32);
    let error = enroll(&addr, &token, "host-1", dir.path()).await.unwrap_err();
    assert!(
        matches!(
            error,
            EnrollError::Refused {
                code: RefusalCode::UnknownToken,
                ..
            }
        ),
        "{error}"
    );

    let store: Arc<Mutex<Store>> = Arc::default();
    let impostor = FakeHub::start(&Ca::new(), store.clone());
    let error = enroll(&impostor.addr.to_string(), &hub.token(), "host-1", dir.path())
        .await
        .unwrap_err();
    assert!(matches!(error, EnrollError::WrongPin(_)), "{error}");

    let error = enroll("no-such-host.invalid:1", &hub.token(), "host-1", dir.path())
        .await
        .unwrap_err();
    assert!(matches!(error, EnrollError::Unreachable(..)), "{error}");
    assert!(!Identity::path(dir.path()).exists());
}
