//! Signatures of plugins in the format of minisign: Ed25519 over the BLAKE2b-512 of the manifest, which holds the component's SHA-256.
//!
//! Keys and signatures are those of <https://jedisct1.github.io/minisign/>, so that either program makes and checks them.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use blake2::{Blake2b512, Digest};
use ring::{
    rand::{SecureRandom, SystemRandom},
    signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey},
};
use streamflow_component::{Package, PackageError};

/// Signature over the text itself; old minisign makes these.
const PLAIN: &[u8] = b"Ed";
/// Signature over the text's BLAKE2b-512.
const HASHED: &[u8] = b"ED";
const KEY_ID: usize = 8;

/// Whose word there is for a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trust {
    /// It came with the hub.
    Shipped,
    /// A trusted key has signed it; the key's number.
    Signed(String),
    /// Nobody's.
    Unsigned,
}

impl Trust {
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Shipped => "shipped".to_owned(),
            Self::Signed(key) => format!("signed by {key}"),
            Self::Unsigned => "unsigned".to_owned(),
        }
    }
}

/// Why a key or a signature is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The text is no public key.
    #[error("`{0}` is not a public key of minisign; it begins with RW")]
    PublicKey(String),
    /// The text is no secret key.
    #[error("not a secret key of `plugin keygen`, or of minisign without a password")]
    SecretKey,
    /// The signature cannot be read.
    #[error("its signature is not one of minisign")]
    Malformed,
    /// The signature does not fit the manifest.
    #[error("its signature by key {0} does not hold: the file was altered, or signed wrongly")]
    Wrong(String),
    /// There is nothing that could be signed.
    #[error("{0}")]
    Package(String),
    /// The system gives no random numbers.
    #[error("no random numbers")]
    Random,
}

impl From<PackageError> for SignatureError {
    fn from(error: PackageError) -> Self {
        Self::Package(error.to_string())
    }
}

/// `[plugins] trusted_keys`.
#[derive(Debug, Clone, Default)]
pub(crate) struct TrustedKeys(Vec<PublicKey>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct PublicKey {
    id: [u8; KEY_ID],
    key: [u8; 32],
}

/// The number of a key, as minisign shows it.
fn shown(id: &[u8]) -> String {
    id.iter().rev().map(|byte| format!("{byte:02X}")).collect()
}

impl TrustedKeys {
    /// Reads keys as minisign writes them, with or without the comment above.
    pub(crate) fn parse(texts: &[String]) -> Result<Self, SignatureError> {
        texts
            .iter()
            .map(|text| PublicKey::parse(text))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whose word there is for a plugin. A signature that does not hold is refused even where none is needed; one by a key that is
    /// not known counts as none.
    pub(crate) fn judge(&self, package: &Package<'_>) -> Result<Trust, SignatureError> {
        let Some(text) = package.signature else {
            return Ok(Trust::Unsigned);
        };
        let signature = Signature::parse(text).ok_or(SignatureError::Malformed)?;
        let Some(key) = self.0.iter().find(|key| key.id == signature.key_id) else {
            return Ok(Trust::Unsigned);
        };
        if package.manifest.sha256.is_none() {
            return Err(PackageError::NoHash.into());
        }
        let id = shown(&key.id);
        if signature.holds(key, package.manifest_text.as_bytes()) {
            Ok(Trust::Signed(id))
        } else {
            Err(SignatureError::Wrong(id))
        }
    }
}

impl PublicKey {
    fn parse(text: &str) -> Result<Self, SignatureError> {
        let line = text.trim().lines().last().unwrap_or_default().trim();
        let parse = || {
            let bytes = STANDARD.decode(line).ok()?;
            let rest = bytes.strip_prefix(PLAIN)?;
            let (id, key) = rest.split_first_chunk::<KEY_ID>()?;
            Some(Self {
                id: *id,
                key: key.try_into().ok()?,
            })
        };
        parse().ok_or_else(|| SignatureError::PublicKey(line.to_owned()))
    }

    fn text(&self) -> String {
        STANDARD.encode([PLAIN, &self.id, &self.key].concat())
    }
}

/// Whether a text is a public key that can be trusted.
///
/// # Errors
/// When it is none.
pub fn check_key(text: &str) -> Result<(), SignatureError> {
    PublicKey::parse(text).map(drop)
}

struct Signature<'a> {
    hashed: bool,
    key_id: [u8; KEY_ID],
    signature: [u8; 64],
    comment: &'a str,
    over_comment: [u8; 64],
}

impl<'a> Signature<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut lines = text.lines();
        lines.next()?.strip_prefix("untrusted comment:")?;
        let bytes = STANDARD.decode(lines.next()?.trim()).ok()?;
        let (algorithm, rest) = bytes.split_at_checked(2)?;
        let (key_id, signature) = rest.split_first_chunk::<KEY_ID>()?;
        let comment = lines.next()?.strip_prefix("trusted comment: ")?;
        let over_comment = STANDARD.decode(lines.next()?.trim()).ok()?;
        Some(Self {
            hashed: match algorithm {
                HASHED => true,
                PLAIN => false,
                _ => return None,
            },
            key_id: *key_id,
            signature: signature.try_into().ok()?,
            comment,
            over_comment: over_comment.try_into().ok()?,
        })
    }

    fn holds(&self, key: &PublicKey, text: &[u8]) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, key.key);
        let main = if self.hashed {
            key.verify(&Blake2b512::digest(text), &self.signature)
        } else {
            key.verify(text, &self.signature)
        };
        let comment = [&self.signature[..], self.comment.as_bytes()].concat();
        main.is_ok() && key.verify(&comment, &self.over_comment).is_ok()
    }
}

/// A key to sign plugins with.
#[derive(Debug)]
pub struct SigningKey {
    id: [u8; KEY_ID],
    pair: Ed25519KeyPair,
}

/// A new key as two texts to be kept in files.
#[derive(Debug, Clone)]
pub struct KeyTexts {
    /// To be kept secret.
    pub secret: String,
    /// For `[plugins] trusted_keys`; its last line is the key.
    pub public: String,
}

impl KeyTexts {
    /// Makes a key.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn generate() -> Result<Self, SignatureError> {
        let random = SystemRandom::new();
        let (mut id, mut seed) = ([0; KEY_ID], [0; 32]);
        random.fill(&mut id).map_err(|_| SignatureError::Random)?;
        random.fill(&mut seed).map_err(|_| SignatureError::Random)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| SignatureError::Random)?;
        let key = pair.public_key().as_ref();
        let secret = [&id[..], &seed, key].concat();
        // Algorithm, no key derivation, checksum algorithm; its parameters, all zero.
        let head = [PLAIN, &[0, 0], b"B2", &[0; 48]].concat();
        let sum = checksum(&secret);
        let public = PublicKey {
            id,
            key: key.try_into().map_err(|_| SignatureError::Random)?,
        };
        Ok(Self {
            secret: format!(
                "untrusted comment: minisign secret key {}\n{}\n",
                shown(&id),
                STANDARD.encode([head, secret, sum].concat())
            ),
            public: format!(
                "untrusted comment: minisign public key {}\n{}\n",
                shown(&id),
                public.text()
            ),
        })
    }
}

fn checksum(secret: &[u8]) -> Vec<u8> {
    use blake2::{Blake2b, digest::consts::U32};
    Blake2b::<U32>::digest([PLAIN, secret].concat()).to_vec()
}

impl SigningKey {
    /// Reads a secret key as [`KeyTexts`] or `minisign -GW` writes it.
    ///
    /// # Errors
    /// When it is none, or is under a password.
    pub fn parse(text: &str) -> Result<Self, SignatureError> {
        let parse = || {
            let bytes = STANDARD.decode(text.trim().lines().last()?.trim()).ok()?;
            let rest = bytes.strip_prefix(&[PLAIN, &[0, 0], b"B2"].concat()[..])?;
            let (secret, sum) = rest.get(48..)?.split_at_checked(KEY_ID + 64)?;
            if checksum(secret) != sum {
                return None;
            }
            let (id, keys) = secret.split_first_chunk::<KEY_ID>()?;
            let (seed, public) = keys.split_at_checked(32)?;
            let pair = Ed25519KeyPair::from_seed_and_public_key(seed, public).ok()?;
            Some(Self { id: *id, pair })
        };
        parse().ok_or(SignatureError::SecretKey)
    }

    /// Its number, as minisign shows it.
    #[must_use]
    pub fn id(&self) -> String {
        shown(&self.id)
    }

    /// Puts a signature into a plugin file, in place of one that it may have. `comment` is covered by it.
    ///
    /// # Errors
    /// When the bytes are no plugin.
    pub fn sign(&self, plugin: &[u8], comment: &str) -> Result<Vec<u8>, SignatureError> {
        streamflow_component::sign_with(plugin, |manifest| Ok(self.signature(manifest.as_bytes(), comment)))
    }

    fn signature(&self, text: &[u8], comment: &str) -> String {
        let comment: String = comment.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let main = self.pair.sign(&Blake2b512::digest(text));
        let over_comment = self.pair.sign(&[main.as_ref(), comment.as_bytes()].concat());
        format!(
            "untrusted comment: signature of a StreamFlow plugin's manifest\n{}\ntrusted comment: {comment}\n{}\n",
            STANDARD.encode([HASHED, &self.id, main.as_ref()].concat()),
            STANDARD.encode(over_comment)
        )
    }
}

#[cfg(test)]
mod tests;
