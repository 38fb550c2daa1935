//! Who this agent is to the hub: its key, its certificate and the hub's CA, in one file that is replaced as a whole.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde::{Deserialize, Serialize};
use streamflow_proto::wire::Enrolled;

const FILE: &str = "identity.json";

/// What the file holds. Readable for its owner alone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Identity in the certificate.
    pub agent_id: String,
    /// Private key, PEM.
    key: String,
    /// Certificate chain, leaf first.
    chain: Vec<Vec<u8>>,
    /// The hub's CA, the only root that is trusted.
    ca: Vec<u8>,
    /// `HOST:PORT` where this agent enrolled; it goes there unless `hub.endpoints` names others.
    #[serde(default)]
    pub hub: String,
    /// When to ask for a new certificate, ms.
    pub renew_after_ms: i64,
    /// When the certificate ends, ms.
    pub expires_ms: i64,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("agent_id", &self.agent_id)
            .finish_non_exhaustive()
    }
}

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Never enrolled.
    #[error(
        "this agent is not enrolled: {0} does not exist; run `streamflow-agent enroll --hub HOST:PORT --token TOKEN`"
    )]
    Missing(PathBuf),
    /// The file cannot be read or written.
    #[error("{0}: {1}")]
    File(PathBuf, #[source] io::Error),
    /// The file is not what it should be.
    #[error("{0} is damaged ({1}); enrol this agent again")]
    Damaged(PathBuf, String),
    /// No key can be made.
    #[error("cannot make a key: {0}")]
    Key(#[from] rcgen::Error),
}

/// A new key and the request for its certificate.
pub struct Request {
    key: KeyPair,
    /// PKCS #10, DER.
    pub csr_der: Vec<u8>,
}

impl Request {
    /// Draws a key.
    pub fn new() -> Result<Self, IdentityError> {
        let key = KeyPair::generate()?;
        let csr_der = CertificateParams::default().serialize_request(&key)?.der().to_vec();
        Ok(Self { key, csr_der })
    }

    /// With the answer of the hub at `hub` the key becomes an identity.
    pub fn accept(self, enrolled: Enrolled, hub: &str) -> Identity {
        Identity {
            hub: hub.to_owned(),
            agent_id: enrolled.agent_id,
            key: self.key.serialize_pem(),
            chain: enrolled.chain_der,
            ca: enrolled.ca_der,
            renew_after_ms: enrolled.renew_after_ms,
            expires_ms: enrolled.expires_ms,
        }
    }
}

impl Identity {
    /// Where it is kept.
    pub fn path(data_dir: &Path) -> PathBuf {
        data_dir.join(FILE)
    }

    /// Reads it.
    pub fn load(data_dir: &Path) -> Result<Self, IdentityError> {
        let path = Self::path(data_dir);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(IdentityError::Missing(path)),
            Err(error) => return Err(IdentityError::File(path, error)),
        };
        let identity: Self =
            serde_json::from_slice(&text).map_err(|error| IdentityError::Damaged(path.clone(), error.to_string()))?;
        identity
            .private_key()
            .map_err(|error| IdentityError::Damaged(path, error.to_string()))?;
        Ok(identity)
    }

    /// Replaces the file.
    pub fn store(&self, data_dir: &Path) -> Result<(), IdentityError> {
        let path = Self::path(data_dir);
        let write = || -> io::Result<()> {
            crate::folder::make(data_dir)?;
            let new = path.with_extension("new");
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&new)?;
            serde_json::to_writer_pretty(&mut file, self)?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            fs::File::open(data_dir)?.sync_all()
        };
        write().map_err(|error| IdentityError::File(path.clone(), error))
    }

    /// The hub's CA.
    pub fn ca(&self) -> CertificateDer<'static> {
        CertificateDer::from(self.ca.clone())
    }

    /// The certificate chain.
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.chain.iter().cloned().map(CertificateDer::from).collect()
    }

    /// The key.
    pub fn private_key(&self) -> Result<PrivateKeyDer<'static>, rustls::pki_types::pem::Error> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn an_identity_comes_back_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(Identity::load(dir.path()), Err(IdentityError::Missing(_))));
        let enrolled = Enrolled {
            agent_id: "a".into(),
            chain_der: vec![vec![1, 2]],
            ca_der: vec![3],
            renew_after_ms: 5,
            expires_ms: 9,
        };
        let mut identity = Request::new().unwrap().accept(enrolled, "hub.example:4433");
        identity.store(dir.path()).unwrap();
        assert_eq!(Identity::load(dir.path()).unwrap(), identity);
        let mode = fs::metadata(Identity::path(dir.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!format!("{identity:?}").contains("PRIVATE"));
        // A file of an older version names no hub.
        let mut older = serde_json::to_value(&identity).unwrap();
        older.as_object_mut().unwrap().remove("hub");
        fs::write(Identity::path(dir.path()), older.to_string()).unwrap();
        identity.hub.clear();
        assert_eq!(Identity::load(dir.path()).unwrap(), identity);
        fs::write(Identity::path(dir.path()), b"{").unwrap();
        assert!(matches!(Identity::load(dir.path()), Err(IdentityError::Damaged(..))));
    }
}
