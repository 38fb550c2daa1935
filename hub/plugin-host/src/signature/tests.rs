use super::*;

const MANIFEST: &str = "[plugin]\nname = \"a\"\nversion = \"1.0.0\"\nkind = \"channel\"\napi = \"0.1\"\n";

/// Signatures that minisign made over the text `test`, and its public key.
const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
const HASHED_ONE: &str = "untrusted comment: signature from minisign secret key\nRUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=\ntrusted comment: timestamp:1556193335\tfile:test\ny/rUw2y8/hOUYjZU71eHp/Wo1KZ40fGy2VJEDl34XMJM+TX48Ss/17u3IvIfbVR1FkZZSNCisQbuQY+bHwhEBg==";
const PLAIN_ONE: &str = "untrusted comment: signature from minisign secret key\nRWQf6LRCGA9i59SLOFxz6NxvASXDJeRtuZykwQepbDEGt87ig1BNpWaVWuNrm73YiIiJbq71Wi+dP9eKL8OC351vwIasSSbXxwA=\ntrusted comment: timestamp:1555779966\tfile:test\nQtKMXWyYcwdpZAlPF7tE2ENJkRd1ujvKjlj1m9RtHTBnZPa5WKU5uWRs5GoP5M/VqE81QFuMKI5k/SfNQUaOAA==";

#[test]
fn signatures_of_minisign_hold() {
    let key = PublicKey::parse(KEY).unwrap();
    for text in [HASHED_ONE, PLAIN_ONE] {
        let signature = Signature::parse(text).unwrap();
        assert_eq!(signature.key_id, key.id);
        assert!(signature.holds(&key, b"test"));
        assert!(!signature.holds(&key, b"Test"));
        let commented = text.replace("file:test", "file:best");
        assert!(!Signature::parse(&commented).unwrap().holds(&key, b"test"));
    }
    assert_eq!(
        PublicKey::parse(&format!("untrusted comment: a key\n{KEY}\n"))
            .unwrap()
            .text(),
        KEY
    );
}

#[test]
fn own_keys_sign_and_check() {
    let texts = KeyTexts::generate().unwrap();
    let key = SigningKey::parse(&texts.secret).unwrap();
    let public = PublicKey::parse(&texts.public).unwrap();
    let text = key.signature(MANIFEST.as_bytes(), "version 1.0.0\nof a");
    let signature = Signature::parse(&text).unwrap();
    assert!(signature.hashed && signature.holds(&public, MANIFEST.as_bytes()));
    assert!(!signature.holds(&public, b"another"));
    assert!(texts.public.contains(&key.id()));
    let other = PublicKey::parse(&KeyTexts::generate().unwrap().public).unwrap();
    assert!(!signature.holds(&other, MANIFEST.as_bytes()));
}

#[test]
fn keys_that_are_none_are_named() {
    for text in ["", "RW", "hunter2", "untrusted comment: x"] {
        assert!(
            matches!(PublicKey::parse(text), Err(SignatureError::PublicKey(_))),
            "{text}"
        );
        assert_eq!(
            SigningKey::parse(text).unwrap_err(),
            SignatureError::SecretKey,
            "{text}"
        );
    }
    let secret = KeyTexts::generate().unwrap().secret;
    let line = secret.lines().last().unwrap();
    let mut bytes = STANDARD.decode(line).unwrap();
    bytes[100] ^= 1;
    assert!(
        SigningKey::parse(&STANDARD.encode(bytes)).is_err(),
        "a damaged key signs"
    );
}
