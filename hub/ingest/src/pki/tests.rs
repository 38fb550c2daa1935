use super::*;

const NOW: i64 = 1_800_000_000_000;

#[test]
fn the_authority_survives_a_start_and_is_private() {
    let dir = tempfile::tempdir().unwrap();
    let first = Pki::load_or_create(dir.path(), NOW).unwrap();
    let second = Pki::load_or_create(dir.path(), NOW + 1).unwrap();
    assert_eq!((first.ca(), first.pin()), (second.ca(), second.pin()));
    #[cfg(unix)]
    for file in [CA_KEY, CA_CERT] {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(dir.path().join("pki").join(file))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    assert!(
        first
            .server(&["hub.example".to_owned(), "10.0.0.1".to_owned()], NOW)
            .is_ok()
    );
}

#[test]
fn a_damaged_authority_is_an_error_and_is_not_replaced() {
    let dir = tempfile::tempdir().unwrap();
    Pki::load_or_create(dir.path(), NOW).unwrap();
    let key = dir.path().join("pki").join(CA_KEY);
    fs::write(&key, "nonsense").unwrap();
    let message = Pki::load_or_create(dir.path(), NOW).unwrap_err().to_string();
    assert!(message.contains("ca.key"), "{message}");
    assert_eq!(fs::read_to_string(&key).unwrap(), "nonsense");
}

#[test]
fn an_agents_certificate_has_our_name_alone_and_only_for_clients() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::load_or_create(dir.path(), NOW).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut foreign = CertificateParams::new(vec!["streamflow-hub".to_owned()]).unwrap();
    foreign.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    foreign.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let csr = foreign.serialize_request(&key);
    // rcgen may refuse to write such a request; one with foreign names alone is then enough
    let csr = csr
        .or_else(|_| {
            CertificateParams::new(vec!["streamflow-hub".to_owned()])
                .unwrap()
                .serialize_request(&key)
        })
        .unwrap();
    let id = uuid::Uuid::from_u128(5).to_string();
    let leaf = pki.agent(csr.der(), &id, Span::from_secs(60), NOW).unwrap();
    assert_eq!(agent_id(&leaf), Some(id));
    let (_, parsed) = X509Certificate::from_der(&leaf).unwrap();
    assert!(!parsed.is_ca());
    let usage = parsed.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && !usage.server_auth && !usage.any);
    assert_eq!(parsed.validity().not_after.timestamp(), NOW / 1000 + 60);
    assert_eq!(agent_id(pki.ca()), None);
}
