//! Signed links in messages that acknowledge an alert without a sign-in: they name what they are for, and expire.
//!
//! Whoever has the link may acknowledge that one alert, or that one group, and nothing else. The address alone does nothing: a
//! page asks first, because mail scanners open every link.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use serde::{Deserialize, Serialize};
use streamflow_model::{AlertState, Channel, Delivery, Span};
use streamflow_plugin_host::Notice;

/// Path of the page that asks.
pub(crate) const PATH: &str = "/ack";
/// Stands in a stored message for the link, which is put in when the message is sent: the store holds no link that works.
pub(crate) const PLACE: &str = "\u{e000}acknowledge\u{e000}";

/// Puts the link into a message that is about to be sent. A message that is no longer about something that fires has none.
/// A channel that has a text of its own places the link itself.
pub(crate) fn put_in(
    notice: &mut Notice,
    delivery: &Delivery,
    channel: &Channel,
    links: Option<&Links>,
    external_url: &str,
    ttl: Span,
) {
    let fires = notice.state == AlertState::Firing && !delivery.test;
    let usable = links.filter(|_| fires && ttl > Span::ZERO && !external_url.is_empty());
    let url = usable.map(|links| {
        let several = delivery.alert_ids.len() > 1;
        let claim = Claim {
            id: if several {
                delivery.id.clone()
            } else {
                delivery.alert_id.clone()
            },
            delivery: several,
            channel: delivery.channel.clone(),
            expires: delivery.created_at.0.saturating_add(ttl.ms()),
        };
        format!("{external_url}{PATH}?t={}", links.sign(&claim))
    });
    let text = url.as_deref().unwrap_or("");
    for part in [&mut notice.title, &mut notice.body] {
        *part = part.replace(PLACE, text);
    }
    if let Some(url) = url {
        if channel.body_template.is_none() {
            notice.body.push_str(&format!("\nAcknowledge: {url}"));
        }
        notice.annotations.insert("acknowledge_url".to_owned(), url);
    }
}

/// Signs and checks links.
#[derive(Debug, Clone)]
pub(crate) struct Links(hmac::Key);

/// What a link is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claim {
    /// The alert, or the delivery that told of several.
    #[serde(rename = "i")]
    pub(crate) id: String,
    /// Whether it is a delivery.
    #[serde(rename = "d", default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) delivery: bool,
    /// The channel that told of it.
    #[serde(rename = "c")]
    pub(crate) channel: String,
    /// Until then, ms.
    #[serde(rename = "e")]
    pub(crate) expires: i64,
}

/// Why a link does nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LinkError {
    /// It was not made here.
    #[error("this link is not valid")]
    Invalid,
    /// It is too old.
    #[error("this link has expired; sign in to the hub instead")]
    Expired,
}

impl Links {
    /// With a key derived from the secret of this hub.
    pub(crate) fn new(secret: &[u8]) -> Self {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let derived = hmac::sign(&secret, b"streamflow acknowledge links 1");
        Self(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()))
    }

    /// The same claim always gives the same token, so that a message is the same at every attempt.
    pub(crate) fn sign(&self, claim: &Claim) -> String {
        let body = URL_SAFE_NO_PAD.encode(serde_json::to_vec(claim).unwrap_or_default());
        let tag = URL_SAFE_NO_PAD.encode(hmac::sign(&self.0, body.as_bytes()));
        format!("{body}.{tag}")
    }

    /// What a token is for, if it was signed here and has not expired.
    pub(crate) fn check(&self, token: &str, now: i64) -> Result<Claim, LinkError> {
        let (body, tag) = token.split_once('.').ok_or(LinkError::Invalid)?;
        let tag = URL_SAFE_NO_PAD.decode(tag).map_err(|_| LinkError::Invalid)?;
        hmac::verify(&self.0, body.as_bytes(), &tag).map_err(|_| LinkError::Invalid)?;
        let body = URL_SAFE_NO_PAD.decode(body).map_err(|_| LinkError::Invalid)?;
        let claim: Claim = serde_json::from_slice(&body).map_err(|_| LinkError::Invalid)?;
        if claim.expires <= now {
            return Err(LinkError::Expired);
        }
        Ok(claim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_good_for_its_claim_and_its_time_and_cannot_be_changed() {
        let links = Links::new(b"secret");
        let claim = Claim {
            id: "a1".to_owned(),
            delivery: false,
            channel: "ops".to_owned(),
            expires: 1000,
        };
        let token = links.sign(&claim);
        assert_eq!(token, links.sign(&claim), "the same at every attempt");
        assert_eq!(links.check(&token, 999), Ok(claim.clone()));
        assert_eq!(links.check(&token, 1000), Err(LinkError::Expired));
        assert_eq!(Links::new(b"other").check(&token, 0), Err(LinkError::Invalid));
        let later = links.sign(&Claim { expires: 2000, ..claim });
        let (body, _) = later.split_once('.').unwrap();
        let (_, tag) = token.split_once('.').unwrap();
        assert_eq!(links.check(&format!("{body}.{tag}"), 0), Err(LinkError::Invalid));
        for broken in ["", ".", "x.y", &token[1..], &token[..token.len() - 1]] {
            assert_eq!(links.check(broken, 0), Err(LinkError::Invalid), "{broken}");
        }
    }
}
