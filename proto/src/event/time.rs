//! Event time: milliseconds since 1970, read from and shown as RFC 3339.

use std::fmt;

/// The earliest time an event may carry: year 1.
pub const MIN_TIMESTAMP: i64 = -62_135_596_800_000;
/// The latest time an event may carry: the end of year 9999.
pub const MAX_TIMESTAMP: i64 = 253_402_300_799_999;

const DAY_MS: i64 = 86_400_000;

/// Can RFC 3339 show this time?
pub fn is_representable(timestamp_ms: i64) -> bool {
    (MIN_TIMESTAMP..=MAX_TIMESTAMP).contains(&timestamp_ms)
}

/// Reads an RFC 3339 time; finer than a millisecond is cut off.
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    let ms = match parse_utc(text.as_bytes()) {
        Some(ms) => ms,
        None => text
            .parse::<jiff::Timestamp>()
            .ok()?
            .as_nanosecond()
            .div_euclid(1_000_000)
            .try_into()
            .ok()?,
    };
    is_representable(ms).then_some(ms)
}

/// The common form `2026-01-02T03:04:05.678Z`, several times faster than the general parser.
fn parse_utc(text: &[u8]) -> Option<i64> {
    let (head, tail) = text.split_at_checked(19)?;
    if head[4] != b'-' || head[7] != b'-' || head[10] != b'T' || head[13] != b':' || head[16] != b':' {
        return None;
    }
    let year = digits(&head[0..4])?;
    let month = digits(&head[5..7])?;
    let day = digits(&head[8..10])?;
    let (hour, minute, second) = (digits(&head[11..13])?, digits(&head[14..16])?, digits(&head[17..19])?);
    if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let milli = match tail {
        b"Z" => 0,
        [b'.', fraction @ .., b'Z'] if (1..=9).contains(&fraction.len()) => {
            let kept = &fraction[..fraction.len().min(3)];
            digits(fraction)?;
            digits(kept)? * [100, 10, 1][kept.len() - 1]
        }
        _ => return None,
    };
    Some(days_from_civil(year, month, day) * DAY_MS + ((hour * 60 + minute) * 60 + second) * 1000 + milli)
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |sum, byte| {
        byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0'))
    })
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970 of a date, after Howard Hinnant's "chrono-compatible low-level date algorithms".
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

/// Shows milliseconds since 1970 as `2026-01-02T03:04:05.678Z`; times outside the allowed range are clamped to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rfc3339(pub i64);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.clamp(MIN_TIMESTAMP, MAX_TIMESTAMP);
        let (year, month, day) = civil_from_days(ms.div_euclid(DAY_MS));
        let rest = ms.rem_euclid(DAY_MS);
        let (hour, minute, second) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z",
            rest % 1000
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_TIMESTAMP, MIN_TIMESTAMP, Rfc3339, parse_rfc3339};
    use proptest::prelude::*;

    #[test]
    fn reads_the_forms_of_rfc_3339() {
        for (text, want) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("1970-01-01T00:00:00.5Z", Some(500)),
            ("1970-01-01T00:00:00.1239Z", Some(123)),
            ("1970-01-01T01:00:00+01:00", Some(0)),
            ("1970-01-01t00:00:01.000001z", Some(1000)),
            ("2000-02-29T23:59:59.999Z", Some(951_868_799_999)),
            ("2026-02-29T00:00:00Z", None),
            ("2026-13-01T00:00:00Z", None),
            ("2026-01-01T24:00:00Z", None),
            ("2026-01-01T00:00:00", None),
            ("0000-01-01T00:00:00Z", None),
            ("yesterday", None),
        ] {
            assert_eq!(parse_rfc3339(text), want, "{text}");
        }
    }

    proptest! {
        #[test]
        fn shown_times_read_back_here_and_in_jiff(ms in MIN_TIMESTAMP..=MAX_TIMESTAMP) {
            let shown = Rfc3339(ms).to_string();
            prop_assert_eq!(parse_rfc3339(&shown), Some(ms));
            prop_assert_eq!(shown.parse::<jiff::Timestamp>().map(|at| at.as_millisecond()).ok(), Some(ms));
        }
    }
}
