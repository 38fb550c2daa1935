//! The text of a one-time enrolment token: `sf1.<id>.<secret>.<pin>`.

use std::{fmt, str::FromStr};

/// A token as it is shown once. The pin is the SHA-256 of the `SubjectPublicKeyInfo` of the hub's CA.
#[derive(Clone, PartialEq, Eq)]
pub struct EnrollToken {
    /// Names the token.
    pub id: String,
    /// 256 random bits, lower-case hex.
    pub secret: String,
    /// Pin of the hub's CA.
    pub ca_pin: [u8; 32],
}

/// Why a text is not a token. The text is not repeated, since it may hold a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an enrolment token; one looks like sf1.<id>.<64 hex digits>.<64 hex digits>")]
pub struct TokenError;

impl fmt::Debug for EnrollToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnrollToken")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for EnrollToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sf1.{}.{}.", self.id, self.secret)?;
        self.ca_pin.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for EnrollToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let parts: Vec<&str> = text.trim().split('.').collect();
        let ["sf1", id, secret, pin] = parts[..] else {
            return Err(TokenError);
        };
        let plain =
            |text: &str| !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric());
        if !plain(id) || unhex(secret).is_none() {
            return Err(TokenError);
        }
        Ok(Self {
            id: id.to_owned(),
            secret: secret.to_owned(),
            ca_pin: unhex(pin).ok_or(TokenError)?,
        })
    }
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits: [u8; 64] = text.as_bytes().try_into().ok()?;
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |d: u8| char::from(d).to_digit(16).filter(|_| !d.is_ascii_uppercase());
        *byte = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()?;
    }
    Some(bytes)
}
