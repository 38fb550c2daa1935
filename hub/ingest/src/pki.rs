//! The hub's own certificate authority: made on the first start, signs the hub's and the agents' certificates.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
};
use rustls::pki_types::{
    CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject as _,
};
use sha2::{Digest as _, Sha256};
use streamflow_model::Span;
use streamflow_proto::wire::SERVER_NAME;
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

const CA_CERT: &str = "ca.pem";
const CA_KEY: &str = "ca.key";
const CA_YEARS: i64 = 20;
/// Made anew at every start and by [`crate::Ingest::run`] long before it ends.
const SERVER_DAYS: i64 = 90;
/// Clocks of hosts differ; a certificate is valid from a little before it was made.
const BACKDATE_MS: i64 = 3_600_000;
const DAY_MS: i64 = 86_400_000;
const AGENT_URI: &str = "spiffe://streamflow/agent/";

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error(
        "{path} is not readable as {what}; restore it from a backup, or remove the folder and enrol all agents again"
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// A certificate cannot be made.
    #[error("certificate: {0}")]
    Certificate(#[from] rcgen::Error),
}

/// The authority.
pub struct Pki {
    issuer: Issuer<'static, KeyPair>,
    ca: CertificateDer<'static>,
    pin: [u8; 32],
}

impl std::fmt::Debug for Pki {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pki").finish_non_exhaustive()
    }
}

impl Pki {
    /// Reads the authority from `data_dir/pki`, or makes it.
    ///
    /// # Errors
    /// When files cannot be read, written or understood. A damaged authority is never replaced: all agents would be
    /// locked out.
    pub fn load_or_create(data_dir: &Path, now_ms: i64) -> Result<Self, PkiError> {
        let dir = data_dir.join("pki");
        let (cert_path, key_path) = (dir.join(CA_CERT), dir.join(CA_KEY));
        if !exists(&cert_path)? {
            create(&dir, now_ms)?;
        }
        let key = KeyPair::from_pem(&read(&key_path)?).map_err(|_| PkiError::Damaged {
            path: key_path,
            what: "a private key",
        })?;
        let damaged = || PkiError::Damaged {
            path: cert_path.clone(),
            what: "a certificate",
        };
        let ca = CertificateDer::from_pem_slice(read(&cert_path)?.as_bytes()).map_err(|_| damaged())?;
        let issuer = Issuer::from_ca_cert_der(&ca, key).map_err(|_| damaged())?;
        let pin = X509Certificate::from_der(&ca)
            .map(|(_, cert)| Sha256::digest(cert.tbs_certificate.subject_pki.raw).into())
            .map_err(|_| damaged())?;
        Ok(Self { issuer, ca, pin })
    }

    /// The authority's certificate.
    #[must_use]
    pub const fn ca(&self) -> &CertificateDer<'static> {
        &self.ca
    }

    /// SHA-256 of the authority's public key, for tokens.
    #[must_use]
    pub const fn pin(&self) -> [u8; 32] {
        self.pin
    }

    /// A new certificate of the hub with its key; the chain holds the authority too, for agents that only have the pin.
    ///
    /// # Errors
    /// When a name cannot stand in a certificate.
    pub fn server(
        &self,
        names: &[String],
        now_ms: i64,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), PkiError> {
        let fixed = [SERVER_NAME, "localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let mut params = CertificateParams::new(fixed.iter().chain(names).cloned().collect::<Vec<_>>())?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let leaf = self.sign(params, SERVER_NAME, Span::from_ms(SERVER_DAYS * DAY_MS), &key, now_ms)?;
        Ok((
            vec![leaf, self.ca.clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        ))
    }

    /// A certificate for an agent. Only the public key of the request is used: names and usages that it asks for are
    /// ignored.
    ///
    /// # Errors
    /// When the request is not one, or was not signed by its key.
    pub fn agent(
        &self,
        csr_der: &[u8],
        agent_id: &str,
        ttl: Span,
        now_ms: i64,
    ) -> Result<CertificateDer<'static>, PkiError> {
        let request = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(csr_der))?;
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(format!("{AGENT_URI}{agent_id}").try_into()?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params, agent_id, ttl, &request.public_key, now_ms)
    }

    fn sign(
        &self,
        mut params: CertificateParams,
        name: &str,
        ttl: Span,
        key: &impl PublicKeyData,
        now_ms: i64,
    ) -> Result<CertificateDer<'static>, PkiError> {
        params.distinguished_name = named(name);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        params.not_before = at(now_ms - BACKDATE_MS)?;
        params.not_after = at(now_ms.saturating_add(ttl.ms()))?;
        Ok(params.signed_by(key, &self.issuer)?.der().clone())
    }
}

/// The agent named in a certificate that the TLS layer has verified.
#[must_use]
pub fn agent_id(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    let [GeneralName::URI(uri)] = names.value.general_names[..] else {
        return None;
    };
    let id = uri.strip_prefix(AGENT_URI)?;
    uuid::Uuid::try_parse(id).ok().map(|id| id.to_string())
}

/// When a certificate ends, ms.
pub(crate) fn expires_at(certificate: &CertificateDer<'_>) -> Option<i64> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    certificate.validity().not_after.timestamp().checked_mul(1000)
}

fn create(dir: &Path, now_ms: i64) -> Result<(), PkiError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = named("StreamFlow hub CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = at(now_ms - BACKDATE_MS)?;
    params.not_after = at(now_ms + CA_YEARS * 365 * DAY_MS)?;
    let cert = params.self_signed(&key)?;
    let io = |source| PkiError::Io {
        path: dir.to_owned(),
        source,
    };
    streamflow_storage::folder::make(dir).map_err(io)?;
    restrict(dir, 0o700).map_err(io)?;
    // the certificate last: when it is there, the key is there too
    write(&dir.join(CA_KEY), &key.serialize_pem())?;
    write(&dir.join(CA_CERT), &cert.pem())?;
    tracing::info!(dir = %dir.display(), "made a new certificate authority for agents");
    Ok(())
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

fn at(ms: i64) -> Result<OffsetDateTime, PkiError> {
    OffsetDateTime::from_unix_timestamp(ms / 1000).map_err(|_| PkiError::Certificate(rcgen::Error::Time))
}

fn exists(path: &Path) -> Result<bool, PkiError> {
    path.try_exists().map_err(|source| PkiError::Io {
        path: path.to_owned(),
        source,
    })
}

fn read(path: &Path) -> Result<String, PkiError> {
    fs::read_to_string(path).map_err(|source| PkiError::Io {
        path: path.to_owned(),
        source,
    })
}

fn write(path: &Path, text: &str) -> Result<(), PkiError> {
    let temporary = path.with_extension("tmp");
    let attempt = || -> io::Result<()> {
        let mut file = fs::File::create(&temporary)?;
        restrict(&temporary, 0o600)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        path.parent().map_or(Ok(()), |dir| fs::File::open(dir)?.sync_all())
    };
    attempt().map_err(|source| PkiError::Io {
        path: path.to_owned(),
        source,
    })
}

#[cfg(unix)]
fn restrict(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn restrict(_path: &Path, _mode: u32) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests;
