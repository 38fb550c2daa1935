//! Sealing: what opens, what does not, and what is said then.

use std::{os::unix::fs::PermissionsExt as _, sync::LazyLock};

use proptest::prelude::*;

use super::*;

fn vault() -> Vault {
    Vault::load_or_make(tempfile::tempdir().unwrap().path())
}

fn sealed_value(vault: &Vault, value: Value) -> Value {
    let mut config = Map::from_iter([("token".to_owned(), value)]);
    assert_eq!(vault.seal("ops", &mut config, |_, _| true), Ok(true));
    config["token"].clone()
}

#[test]
fn what_is_sealed_opens_only_in_its_place() {
    let vault = vault();
    for value in [
        json!("hunter2"),
        json!(""),
        json!(null),
        json!({"a": ["hunter2", 1.5]}),
        json!({"sealed": "v1:x"}),
    ] {
        let hidden = sealed_value(&vault, value.clone());
        assert!(!hidden.to_string().contains("hunter2"), "{hidden}");
        assert_ne!(
            hidden,
            sealed_value(&vault, value.clone()),
            "equal secrets look different"
        );
        assert_eq!(vault.open("ops", "token", &hidden), Ok(value));
        assert!(vault.open("ops", "password", &hidden).is_err());
        assert!(vault.open("dev", "token", &hidden).is_err());
        assert!(self::vault().open("ops", "token", &hidden).is_err(), "another hub's");
    }
    for plain in [json!("x"), json!({"sealed": 1}), json!({"sealed": "x", "more": 1})] {
        assert_eq!(vault.open("ops", "token", &plain), Ok(plain));
    }
    let newer = vault.open("ops", "token", &json!({"sealed": "v2:AAAA"})).unwrap_err();
    assert!(newer.to_string().contains("another version of the hub"), "{newer}");
}

#[test]
fn the_key_is_the_hubs_alone_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let hidden = sealed_value(&Vault::load_or_make(dir.path()), json!("x"));
    let path = dir.path().join(FILE);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(
        (
            fs::read(&path).unwrap().len(),
            fs::read_dir(dir.path()).unwrap().count()
        ),
        (32, 1)
    );
    assert_eq!(
        Vault::load_or_make(dir.path()).open("ops", "token", &hidden),
        Ok(json!("x"))
    );
}

#[test]
fn a_damaged_key_is_said_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(FILE), "hunter2").unwrap();
    let vault = Vault::load_or_make(dir.path());
    let mut config = Map::from_iter([("token".to_owned(), json!("s3cret"))]);
    let error = vault.seal("ops", &mut config, |_, _| true).unwrap_err().to_string();
    for part in ["`token`", "`ops`", "secrets.key", "7 bytes", "put the right file back"] {
        assert!(error.contains(part), "{error}");
    }
    assert!(!error.contains("hunter2") && !error.contains("s3cret"), "{error}");
    assert_eq!(fs::read(dir.path().join(FILE)).unwrap(), b"hunter2");
}

static VAULT: LazyLock<Vault> = LazyLock::new(vault);

proptest! {
    #[test]
    fn a_changed_value_never_opens(secret in ".{0,40}", place in any::<prop::sample::Index>(), with in any::<u8>()) {
        let vault = &*VAULT;
        let hidden = sealed_value(vault, json!(secret));
        let mut text = hidden["sealed"].as_str().unwrap().as_bytes().to_vec();
        let place = place.index(text.len());
        prop_assume!(text[place] != with);
        text[place] = with;
        let text = String::from_utf8_lossy(&text);
        let opened = vault.open("ops", "token", &json!({"sealed": text}));
        prop_assert!(opened.is_err());
    }
}
