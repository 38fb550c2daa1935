//! What an answer means for a delivery.

use std::time::Duration;

use super::Response;
use crate::Failure;

/// Enough of a receiver's explanation to act on it.
const MAX_EXPLANATION: usize = 200;

impl Response {
    /// The answer when the receiver accepted the message (2xx).
    ///
    /// # Errors
    /// Transient for 408, 429 and 5xx, with the receiver's `Retry-After`; permanent for every other status.
    pub fn accepted(self) -> Result<Self, Failure> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        let said: String = String::from_utf8_lossy(&self.body)
            .chars()
            .filter(|c| !c.is_control())
            .take(MAX_EXPLANATION)
            .collect();
        let said = said.trim();
        let reason = if said.is_empty() {
            format!("answered {}", self.status)
        } else {
            format!("answered {}: {said}", self.status)
        };
        Err(match self.status {
            408 | 429 | 500.. => Failure::Transient {
                reason,
                retry_after: self.retry_after(),
            },
            _ => Failure::Permanent(reason),
        })
    }

    /// How long the receiver asks to wait: seconds, or a date that is counted from the answer's own `Date`,
    /// since a plugin has no clock.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let value = self.header_value("retry-after")?.trim();
        if let Ok(seconds) = value.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let until = httpdate::parse_http_date(value).ok()?;
        let now = httpdate::parse_http_date(self.header_value("date")?).ok()?;
        Some(until.duration_since(now).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)]) -> Response {
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Response {
            status,
            headers,
            body: b"go\x1b[2J away".to_vec(),
        }
    }

    #[test]
    fn only_2xx_is_accepted_and_only_some_statuses_are_worth_another_attempt() {
        for status in [200, 202, 204, 299] {
            assert!(answer(status, &[]).accepted().is_ok(), "{status}");
        }
        for status in [408, 429, 500, 502, 503, 504, 599] {
            assert!(
                matches!(answer(status, &[]).accepted(), Err(Failure::Transient { .. })),
                "{status}"
            );
        }
        for status in [199, 301, 302, 304, 400, 401, 403, 404, 410, 422] {
            let reason = format!("answered {status}: go[2J away");
            assert_eq!(answer(status, &[]).accepted(), Err(Failure::Permanent(reason)));
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let check = |headers: &[(&str, &str)], expected: Option<u64>| {
            assert_eq!(
                answer(503, headers).retry_after(),
                expected.map(Duration::from_secs),
                "{headers:?}"
            );
        };
        let date = ("date", "Wed, 21 Oct 2026 07:28:00 GMT");
        check(&[("Retry-After", "120")], Some(120));
        check(&[("retry-after", " 0 ")], Some(0));
        check(&[("retry-after", "Wed, 21 Oct 2026 07:28:30 GMT"), date], Some(30));
        check(&[("retry-after", "Wed, 21 Oct 2026 07:27:30 GMT"), date], Some(0));
        check(&[("retry-after", "Wed, 21 Oct 2026 07:28:30 GMT")], None);
        check(&[("retry-after", "soon")], None);
        check(&[], None);
    }
}
