//! The hub's signing key and the access tokens signed with it.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, errors::ErrorKind};
use rcgen::{KeyPair, PKCS_ED25519};
use serde::{Deserialize, Serialize};
use streamflow_model::{Instant, Role, Span};
use uuid::Uuid;

use super::{AuthError, hex};
use crate::Identity;

const ISSUER: &str = "streamflow";
const AUDIENCE: &str = "streamflow-hub";

/// Signs and checks access tokens. The algorithm is pinned to EdDSA: a token cannot choose its own.
pub(super) struct Keys {
    kid: String,
    signing: EncodingKey,
    checking: DecodingKey,
    validation: Validation,
}

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    role: Role,
    jti: String,
    iat: i64,
    nbf: i64,
    exp: i64,
}

impl Keys {
    pub(super) fn load_or_make(path: &Path) -> Result<Self, AuthError> {
        let pem = load_or_make_pem(path).map_err(|source| AuthError::KeyFile {
            path: path.to_owned(),
            source,
        })?;
        let pair = KeyPair::from_pem(&pem)
            .ok()
            .filter(|pair| pair.is_compatible(&PKCS_ED25519));
        pair.map(|pair| Self::new(&pair))
            .ok_or_else(|| AuthError::KeyFormat { path: path.to_owned() })
    }

    fn new(pair: &KeyPair) -> Self {
        let public = pair.public_key_raw();
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "nbf", "aud", "iss", "sub"]);
        validation.validate_nbf = true;
        // One machine issues and checks; replicas share a clock within seconds.
        validation.leeway = 5;
        let kid = hex(&<sha2::Sha256 as sha2::Digest>::digest(public)[..8]);
        let signing = EncodingKey::from_ed_der(&pair.serialize_der());
        Self {
            kid,
            signing,
            checking: DecodingKey::from_ed_der(public),
            validation,
        }
    }

    pub(super) fn sign(
        &self,
        identity: &Identity,
        ttl: Span,
        now: Instant,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let now = now.0 / 1000;
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: identity.name.clone(),
            role: identity.role,
            jti: Uuid::now_v7().to_string(),
            iat: now,
            nbf: now,
            exp: now + ttl.ms() / 1000,
        };
        let header = Header {
            kid: Some(self.kid.clone()),
            ..Header::new(Algorithm::EdDSA)
        };
        jsonwebtoken::encode(&header, &claims, &self.signing)
    }

    pub(super) fn verify(&self, token: &str) -> Result<Identity, Refused> {
        let claims = jsonwebtoken::decode::<Claims>(token, &self.checking, &self.validation)
            .map_err(|error| Refused::from(error.kind()))?
            .claims;
        Ok(Identity {
            name: claims.sub,
            role: claims.role,
        })
    }
}

/// Why an access token is not accepted. What exactly is wrong with a token helps nobody but a forger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("the access token has expired; sign in again, or exchange the refresh token at /auth/refresh")]
    Expired,
    #[error("the access token is not one of this hub; sign in at /auth/login, or use an API token")]
    Foreign,
}

impl From<&ErrorKind> for Refused {
    fn from(kind: &ErrorKind) -> Self {
        match kind {
            ErrorKind::ExpiredSignature => Self::Expired,
            _ => Self::Foreign,
        }
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("kid", &self.kid).finish_non_exhaustive()
    }
}

fn load_or_make_pem(path: &Path) -> io::Result<String> {
    match fs::read_to_string(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        read => return read,
    }
    let pem = KeyPair::generate_for(&PKCS_ED25519)
        .map_err(io::Error::other)?
        .serialize_pem();
    match fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
    {
        Ok(mut file) => {
            file.write_all(pem.as_bytes())?;
            file.sync_all()?;
            Ok(pem)
        }
        // Another role of this hub, sharing the folder, was faster.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => fs::read_to_string(path),
        Err(e) => Err(e),
    }
}
