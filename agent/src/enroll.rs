//! Turns a one-time token into an identity: the token's pin says which hub to trust before there is a certificate of its own.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quinn::{Connection, VarInt};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};
use streamflow_proto::wire::{
    self, Decoder, EnrollRequest, EnrollToken, Enrolled, Incoming, RefusalCode, ToAgent, ToHub, WireError, close,
};
use subtle::ConstantTimeEq;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::identity::{Identity, IdentityError, Request};
use crate::uplink::transport::{self, ConnectError};

const PATIENCE: Duration = Duration::from_secs(10);

/// Why enrolment failed, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    /// Nobody there.
    #[error("cannot reach the hub at {0}: {1}")]
    Unreachable(String, #[source] ConnectError),
    /// The hub is not the one that made the token.
    #[error(
        "the hub at {0} is not the one that made this token: its CA has another key than the token says; check the address, or make a token on that hub"
    )]
    WrongPin(String),
    /// The hub said no.
    #[error("the hub refuses: {reason}; {}", advice(*code))]
    Refused {
        /// Reason as a code.
        code: RefusalCode,
        /// Reason in words.
        reason: String,
    },
    /// The hub answered with something else.
    #[error("the hub does not answer as it should: {0}")]
    Protocol(String),
    /// The identity cannot be made or stored.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

fn advice(code: RefusalCode) -> &'static str {
    match code {
        RefusalCode::UnknownToken | RefusalCode::ExpiredToken | RefusalCode::UsedToken => {
            "make a new one on the hub with `streamflow-hub agent token --ttl 1h`"
        }
        RefusalCode::BadRequest => "update the agent or the hub so that both have the same version",
        RefusalCode::Revoked => "this agent was revoked on the hub",
        RefusalCode::Unavailable => "try again in a moment",
    }
}

/// Enrols at `hub` and stores the identity in `data_dir`.
pub async fn enroll(hub: &str, token: &EnrollToken, host: &str, data_dir: &Path) -> Result<Identity, EnrollError> {
    let request = Request::new()?;
    let pin = Arc::new(PinVerifier::new(token.ca_pin));
    let config = transport::anonymous(pin.clone()).map_err(|error| EnrollError::Unreachable(hub.to_owned(), error))?;
    let connected = transport::connect(hub, config, PATIENCE).await;
    let (socket, connection) = connected.map_err(|error| match pin.refused() {
        true => EnrollError::WrongPin(hub.to_owned()),
        false => EnrollError::Unreachable(hub.to_owned(), error),
    })?;
    let message = ToHub::Enroll(EnrollRequest {
        token_id: token.id.clone(),
        secret: token.secret.clone(),
        csr_der: request.csr_der.clone(),
        host: host.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    });
    let answer = tokio::time::timeout(PATIENCE, ask(&connection, &message)).await;
    connection.close(VarInt::from_u32(close::DONE), b"");
    drop(tokio::time::timeout(Duration::from_secs(1), socket.wait_idle()).await);
    let enrolled = answer.map_err(|_| EnrollError::Protocol(format!("no answer within {PATIENCE:?}")))??;
    // The token vouches for one CA; an answer must not put another in its place.
    if !pin.accepts(&enrolled.ca_der) {
        return Err(EnrollError::WrongPin(hub.to_owned()));
    }
    let identity = request.accept(enrolled, hub);
    identity.store(data_dir)?;
    Ok(identity)
}

async fn ask(connection: &Connection, message: &ToHub) -> Result<Enrolled, EnrollError> {
    let broken = |error: &dyn std::fmt::Display| EnrollError::Protocol(error.to_string());
    let (mut send, mut recv) = connection.open_bi().await.map_err(|error| broken(&error))?;
    let record = wire::encode(message).map_err(|error: WireError| broken(&error))?;
    send.write_all(&record).await.map_err(|error| broken(&error))?;
    let mut decoder = Decoder::<ToAgent>::default();
    loop {
        match decoder.next().map_err(|error| broken(&error))? {
            Some(Incoming::Control(ToAgent::Enrolled(enrolled))) => return Ok(enrolled),
            Some(Incoming::Control(ToAgent::Refused(refused))) => {
                return Err(EnrollError::Refused {
                    code: refused.code,
                    reason: refused.reason,
                });
            }
            Some(_) => return Err(broken(&"an unexpected message")),
            None => {}
        }
        let chunk = recv.read_chunk(64 << 10, true).await.map_err(|error| broken(&error))?;
        decoder.feed(&chunk.ok_or_else(|| broken(&"the stream ended"))?.bytes);
    }
}

/// Accepts a server whose certificate is signed by the CA with the pinned key.
#[derive(Debug)]
struct PinVerifier {
    pin: [u8; 32],
    provider: Arc<CryptoProvider>,
    refused: Mutex<bool>,
}

impl PinVerifier {
    fn new(pin: [u8; 32]) -> Self {
        Self {
            pin,
            provider: transport::provider(),
            refused: Mutex::new(false),
        }
    }

    fn accepts(&self, certificate: &[u8]) -> bool {
        let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
            return false;
        };
        let found = Sha256::digest(certificate.tbs_certificate.subject_pki.raw);
        bool::from(found.as_slice().ct_eq(&self.pin))
    }

    fn refused(&self) -> bool {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(ca) = intermediates.iter().find(|certificate| self.accepts(certificate)) else {
            *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = true;
            return Err(CertificateError::UnknownIssuer.into());
        };
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone().into_owned())?;
        let algorithms = self.provider.signature_verification_algorithms;
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(end_entity)?,
            &roots,
            &[],
            now,
            algorithms.all,
        )?;
        // No name is checked: this CA signs the hub's certificate alone, and agents' certificates are not for servers.
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("QUIC uses TLS 1.3".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
