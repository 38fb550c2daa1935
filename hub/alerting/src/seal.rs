//! Seals the secrets of channels, so that the store and its backups hold none in clear.
//!
//! A sealed value is `{"sealed": "v1:<base64 of nonce and ciphertext>"}`, bound to its channel and its place in the configuration:
//! anywhere else it does not open. Channels stay sealed in memory too, and are opened where they are used.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    error::Unspecified,
    rand::{SystemRandom, generate},
};
use serde_json::{Map, Value, json};
use streamflow_model::Channel;
use streamflow_plugin_host::{ChannelError, ChannelSender, DeliverError};

use crate::link::Links;

/// The key's file in the data folder.
const FILE: &str = "secrets.key";
const FIELD: &str = "sealed";
const VERSION: &str = "v1:";
const NO_RANDOM: &str = "the machine gives no random numbers";

/// Seals and opens. Without a usable key it does neither, and says why; channels without secrets need none.
pub(crate) struct Vault(Result<Keys, String>);

struct Keys {
    seal: LessSafeKey,
    links: Links,
}

/// Why a secret cannot be sealed or opened. Never holds the secret.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("secret `{key}` of channel `{channel}` cannot be {act}: {reason}")]
pub(crate) struct SealError {
    channel: String,
    key: String,
    act: &'static str,
    reason: String,
}

impl From<SealError> for DeliverError {
    /// The right key may be put back, or the secret set anew: the notification waits for that.
    fn from(error: SealError) -> Self {
        Self::Transient {
            reason: error.to_string(),
            retry_after_ms: None,
        }
    }
}

impl Vault {
    /// Reads the key, or makes one on the first start. A file that is no key is never replaced: a backup may bring it back.
    pub(crate) fn load_or_make(data_dir: &Path) -> Self {
        let path = data_dir.join(FILE);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => make(&path),
            read => read,
        };
        let key = bytes.map_err(|error| error.to_string()).and_then(|bytes| {
            let key = UnboundKey::new(&AES_256_GCM, &bytes).map(|key| Keys {
                seal: LessSafeKey::new(key),
                links: Links::new(&bytes),
            });
            key.map_err(|Unspecified| format!("it has {} bytes, not 32", bytes.len()))
        });
        Self(key.inspect_err(
            |reason| tracing::error!(path = %path.display(), reason, "the key of channels' secrets cannot be used"),
        ))
    }

    /// Seals the values that `must` picks; whether there were any.
    pub(crate) fn seal(
        &self,
        channel: &str,
        config: &mut Map<String, Value>,
        must: impl Fn(&str, &Value) -> bool,
    ) -> Result<bool, SealError> {
        let mut any = false;
        for (key, value) in config.iter_mut().filter(|(key, value)| must(key, value)) {
            let failed = |reason| SealError::new(channel, key, "sealed", reason);
            let body = seal(self.key().map_err(failed)?, &place(channel, key), value);
            let body = body.map_err(|Unspecified| failed(NO_RANDOM.to_owned()))?;
            *value = json!({ FIELD: format!("{VERSION}{}", STANDARD.encode(body)) });
            any = true;
        }
        Ok(any)
    }

    /// A value as it was before it was sealed; one that is not sealed stays as it is.
    pub(crate) fn open(&self, channel: &str, key: &str, value: &Value) -> Result<Value, SealError> {
        let Some(text) = sealed(value) else {
            return Ok(value.clone());
        };
        let failed = |reason| SealError::new(channel, key, "opened", reason);
        let text = text
            .strip_prefix(VERSION)
            .ok_or_else(|| failed("another version of the hub sealed it; set the secret anew".to_owned()))?;
        open(self.key().map_err(failed)?, &place(channel, key), text).ok_or_else(|| {
            failed(format!(
                "it was sealed with another {FILE}; put that file back into data_dir and restart the hub, or set the secret anew"
            ))
        })
    }

    /// A channel's configuration for its plugin.
    pub(crate) fn config(&self, channel: &Channel) -> Result<Map<String, Value>, SealError> {
        let opened = |(key, value): (&String, &Value)| Ok((key.clone(), self.open(&channel.name, key, value)?));
        channel.config.iter().map(opened).collect()
    }

    /// Seals what an earlier version left in clear, and logs which channels cannot be used. Answers the channels to write.
    pub(crate) async fn take_over(&self, channels: &mut [Channel], sender: &dyn ChannelSender) -> Vec<Channel> {
        let mut changed = Vec::new();
        for channel in channels {
            let secret = sender.secret_keys(&channel.plugin);
            let known = !secret.is_empty() || runs(sender, &channel.plugin).await;
            let must = |key: &str, value: &Value| {
                // Nobody can tell what is secret to a plugin that is not there.
                sealed(value).is_none() && (!known || secret.iter().any(|own| own == key))
            };
            let done = self.seal(&channel.name, &mut channel.config, must);
            if done == Ok(true) {
                changed.push(channel.clone());
            }
            if let Err(error) = done.and_then(|_| self.config(channel)) {
                tracing::error!(channel = channel.name, %error, "channel cannot be used");
            }
        }
        changed
    }

    /// Signs and checks the links in messages; none without a usable key.
    pub(crate) fn links(&self) -> Option<&Links> {
        self.0.as_ref().ok().map(|keys| &keys.links)
    }

    fn key(&self) -> Result<&LessSafeKey, String> {
        let key = self.0.as_ref().map(|keys| &keys.seal);
        key.map_err(|reason| {
            format!(
                "{FILE} in data_dir cannot be used ({reason}); put the right file back and restart the hub, \
                 or remove it, restart and set the secret anew"
            )
        })
    }
}

impl SealError {
    fn new(channel: &str, key: &str, act: &'static str, reason: String) -> Self {
        Self {
            channel: channel.to_owned(),
            key: key.to_owned(),
            act,
            reason,
        }
    }
}

/// The text of a sealed value.
pub(crate) fn sealed(value: &Value) -> Option<&str> {
    let fields = value.as_object().filter(|fields| fields.len() == 1)?;
    fields.get(FIELD)?.as_str()
}

/// What a sealed value is bound to. The name of a channel holds no `/`.
fn place(channel: &str, key: &str) -> String {
    format!("{channel}/{key}")
}

fn seal(key: &LessSafeKey, place: &str, value: &Value) -> Result<Vec<u8>, Unspecified> {
    let nonce: [u8; NONCE_LEN] = generate(&SystemRandom::new())?.expose();
    let mut body = value.to_string().into_bytes();
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(place), &mut body)?;
    Ok([&nonce[..], &body].concat())
}

fn open(key: &LessSafeKey, place: &str, text: &str) -> Option<Value> {
    let mut body = STANDARD.decode(text).ok()?;
    let (nonce, body) = body.split_at_mut_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let clear = key.open_in_place(nonce, Aad::from(place), body).ok()?;
    serde_json::from_slice(clear).ok()
}

async fn runs(sender: &dyn ChannelSender, plugin: &str) -> bool {
    let answer = sender.check(plugin, &Map::new()).await;
    !matches!(
        answer,
        Err(ChannelError::UnknownPlugin { .. } | ChannelError::Unavailable { .. })
    )
}

/// Readable by the hub alone, and never seen half written.
fn make(path: &Path) -> io::Result<Vec<u8>> {
    let random = generate(&SystemRandom::new()).map_err(|Unspecified| io::Error::other(NO_RANDOM))?;
    let key: [u8; 32] = random.expose();
    let new = path.with_extension("new");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(&key)?;
    file.sync_all()?;
    fs::rename(new, path)?;
    path.parent().map_or(Ok(()), |dir| fs::File::open(dir)?.sync_all())?;
    Ok(key.to_vec())
}

#[cfg(test)]
mod tests;
