//! Enrolment: a one-time token is exchanged for a certificate, and the agent stands on the allow-list.
//!
//! A token is used up in the same transaction that puts the agent on the list, so of any number of enrolments with one
//! token exactly one succeeds.

use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use streamflow_model::{Instant, Span};
use streamflow_proto::wire::{EnrollRequest, EnrollToken, Enrolled, RefusalCode, Refused};
use streamflow_storage::{DocOp, Store, StoreError};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use crate::pki::{Pki, PkiError};

/// Collection of agents: the allow-list.
pub const AGENTS: &str = "agent";
/// Collection of enrolment tokens.
pub const TOKENS: &str = "agent_token";

/// Documents read at a time.
const PAGE: usize = 500;
/// Longest host name and version kept.
const MAX_NAME: usize = 128;

/// Why no token could be made.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The certificate authority is not usable.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// A token must be valid for some time.
    #[error("a token must be valid for some time, and for 30 days at most")]
    Ttl,
}

/// An enrolment token as it is stored: without its secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TokenDoc {
    secret_sha256: String,
    created_at: Instant,
    expires_at: Instant,
    uses_left: u32,
    #[serde(default)]
    used_by: Option<String>,
}

/// An agent on the allow-list.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AgentDoc {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) enrolled_at: Instant,
    pub(crate) certificate_expires_at: Instant,
    #[serde(default)]
    pub(crate) revoked: bool,
    #[serde(default)]
    pub(crate) revoked_at: Option<Instant>,
    #[serde(default)]
    pub(crate) revoked_by: Option<String>,
}

/// Makes a one-time token that pins the hub's authority. The text is shown once; only a hash of its secret is stored.
///
/// # Errors
/// When the store or the authority fails, or the time is out of range.
pub async fn create_token(store: &dyn Store, data_dir: &Path, ttl: Span) -> Result<String, EnrollError> {
    let now = Instant::now();
    let pki = Pki::load_or_create(data_dir, now.0)?;
    new_token(store, pki.pin(), ttl, now)
        .await
        .map(|(token, _)| token.to_string())
}

pub(crate) async fn new_token(
    store: &dyn Store,
    ca_pin: [u8; 32],
    ttl: Span,
    now: Instant,
) -> Result<(EnrollToken, Instant), EnrollError> {
    if !(1..=30 * 86_400_000).contains(&ttl.ms()) {
        return Err(EnrollError::Ttl);
    }
    let token = EnrollToken {
        id: Uuid::now_v7().simple().to_string(),
        secret: hex(&rand::random::<[u8; 32]>()),
        ca_pin,
    };
    let expires_at = Instant(now.0 + ttl.ms());
    let doc = TokenDoc {
        secret_sha256: hash(&token.secret),
        created_at: now,
        expires_at,
        uses_left: 1,
        used_by: None,
    };
    store.commit(vec![put(TOKENS, &token.id, &doc, Some(0))?]).await?;
    Ok((token, expires_at))
}

/// Exchanges a token for a certificate.
pub(crate) async fn enroll(
    store: &dyn Store,
    pki: &Pki,
    request: &EnrollRequest,
    ttl: Span,
    now: Instant,
) -> Result<(Enrolled, AgentDoc), Refused> {
    let agent_id = Uuid::now_v7().to_string();
    let enrolled = certificate(pki, &request.csr_der, &agent_id, ttl, now)?;
    let agent = AgentDoc {
        name: clipped(&request.host),
        version: clipped(&request.version),
        enrolled_at: now,
        certificate_expires_at: Instant(enrolled.expires_ms),
        revoked: false,
        revoked_at: None,
        revoked_by: None,
    };
    loop {
        let (mut token, version) = checked_token(store, request, now).await?;
        token.uses_left -= 1;
        token.used_by = Some(agent_id.clone());
        let ops = [
            put(TOKENS, &request.token_id, &token, Some(version)),
            put(AGENTS, &agent_id, &agent, Some(0)),
        ];
        match store
            .commit(ops.into_iter().collect::<Result<_, _>>().map_err(unavailable)?)
            .await
        {
            Ok(_) => return Ok((enrolled, agent)),
            // somebody was faster with this token; what is left of it decides
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(unavailable(error)),
        }
    }
}

/// A fresh certificate for an agent that has shown its present one.
pub(crate) async fn renew(
    store: &dyn Store,
    pki: &Pki,
    agent_id: &str,
    csr_der: &[u8],
    ttl: Span,
    now: Instant,
) -> Result<Enrolled, Refused> {
    let enrolled = certificate(pki, csr_der, agent_id, ttl, now)?;
    let revoked = || refused(RefusalCode::Revoked, "this agent is not on the allow-list");
    let doc = store
        .doc(AGENTS, agent_id)
        .await
        .map_err(unavailable)?
        .ok_or_else(revoked)?;
    let mut agent: AgentDoc = serde_json::from_value(doc.body).map_err(unavailable)?;
    if agent.revoked {
        return Err(revoked());
    }
    agent.certificate_expires_at = Instant(enrolled.expires_ms);
    store
        .commit(vec![
            put(AGENTS, agent_id, &agent, Some(doc.version)).map_err(unavailable)?,
        ])
        .await
        .map_err(unavailable)?;
    Ok(enrolled)
}

/// The allow-list, revoked agents included.
pub(crate) async fn agents(store: &dyn Store) -> Result<Vec<(String, AgentDoc)>, StoreError> {
    let mut agents = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let docs = store.docs(AGENTS, after.as_deref(), PAGE).await?;
        let more = docs.len() == PAGE;
        after = docs.last().map(|doc| doc.id.clone());
        for doc in docs {
            match serde_json::from_value(doc.body) {
                Ok(agent) => agents.push((doc.id, agent)),
                // one damaged document must not keep the others from being read
                Err(error) => tracing::error!(agent = doc.id, %error, "the document of an agent does not read"),
            }
        }
        if !more {
            return Ok(agents);
        }
    }
}

/// Takes an agent off the allow-list; answers its document, or nothing when there is no such agent.
pub(crate) async fn revoke(
    store: &dyn Store,
    agent_id: &str,
    by: &str,
    now: Instant,
) -> Result<Option<AgentDoc>, StoreError> {
    loop {
        let Some(doc) = store.doc(AGENTS, agent_id).await? else {
            return Ok(None);
        };
        let mut agent: AgentDoc = serde_json::from_value(doc.body).map_err(damaged)?;
        if !agent.revoked {
            agent.revoked = true;
            agent.revoked_at = Some(now);
            agent.revoked_by = Some(by.to_owned());
            match store
                .commit(vec![put(AGENTS, agent_id, &agent, Some(doc.version))?])
                .await
            {
                Err(StoreError::Conflict { .. }) => continue,
                other => other?,
            };
        }
        return Ok(Some(agent));
    }
}

async fn checked_token(store: &dyn Store, request: &EnrollRequest, now: Instant) -> Result<(TokenDoc, i64), Refused> {
    let unknown = || refused(RefusalCode::UnknownToken, "no such token");
    let doc = store
        .doc(TOKENS, &request.token_id)
        .await
        .map_err(unavailable)?
        .ok_or_else(unknown)?;
    let token: TokenDoc = serde_json::from_value(doc.body).map_err(unavailable)?;
    if !bool::from(token.secret_sha256.as_bytes().ct_eq(hash(&request.secret).as_bytes())) {
        return Err(unknown());
    }
    if token.uses_left == 0 {
        return Err(refused(RefusalCode::UsedToken, "this token has been used"));
    }
    if now >= token.expires_at {
        return Err(refused(RefusalCode::ExpiredToken, "this token has expired"));
    }
    Ok((token, doc.version))
}

fn certificate(pki: &Pki, csr_der: &[u8], agent_id: &str, ttl: Span, now: Instant) -> Result<Enrolled, Refused> {
    let leaf = pki.agent(csr_der, agent_id, ttl, now.0).map_err(|error| {
        refused(
            RefusalCode::BadRequest,
            &format!("the certificate request is not usable: {error}"),
        )
    })?;
    Ok(Enrolled {
        agent_id: agent_id.to_owned(),
        chain_der: vec![leaf.to_vec()],
        ca_der: pki.ca().to_vec(),
        renew_after_ms: now.0 + ttl.ms() / 2,
        expires_ms: now.0 + ttl.ms(),
    })
}

fn refused(code: RefusalCode, reason: &str) -> Refused {
    Refused {
        code,
        reason: reason.to_owned(),
    }
}

fn unavailable(error: impl std::fmt::Display) -> Refused {
    tracing::error!(%error, "enrolment failed");
    refused(RefusalCode::Unavailable, "the hub cannot enrol agents now")
}

fn damaged(error: serde_json::Error) -> StoreError {
    StoreError::BadRequest(format!("a stored document does not read: {error}"))
}

fn put(kind: &str, id: &str, body: &impl Serialize, expect: Option<i64>) -> Result<DocOp, StoreError> {
    Ok(DocOp::Put {
        kind: kind.to_owned(),
        id: id.to_owned(),
        body: serde_json::to_value(body).map_err(damaged)?,
        expect,
    })
}

pub(crate) fn clipped(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect()
}

fn hash(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}
