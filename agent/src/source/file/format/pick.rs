//! Severity and time out of the keys that loggers commonly use. Pure.

use serde::Deserialize;
use serde_json::value::RawValue;
use streamflow_proto::event::{Severity, time};

use super::logfmt::Value;

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Picked {
    /// From `severity` or `level`.
    pub severity: Option<Severity>,
    /// From `timestamp`, `time` or `ts`.
    pub timestamp_ms: Option<i64>,
}

#[derive(Deserialize)]
struct Keys<'a> {
    #[serde(borrow)]
    severity: Option<&'a RawValue>,
    #[serde(borrow)]
    level: Option<&'a RawValue>,
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
    #[serde(borrow, rename = "@timestamp")]
    at_timestamp: Option<&'a RawValue>,
    #[serde(borrow)]
    time: Option<&'a RawValue>,
    #[serde(borrow)]
    ts: Option<&'a RawValue>,
}

/// From a JSON object.
pub fn from_json(line: &[u8]) -> Picked {
    let Ok(keys) = serde_json::from_slice::<Keys<'_>>(line) else {
        return Picked::default();
    };
    let plain = |value: &'_ RawValue| value.get().trim_matches('"').to_owned();
    Picked {
        severity: [keys.severity, keys.level]
            .into_iter()
            .flatten()
            .find_map(|value| severity(&plain(value))),
        timestamp_ms: [keys.timestamp, keys.at_timestamp, keys.time, keys.ts]
            .into_iter()
            .flatten()
            .find_map(|value| timestamp(&plain(value))),
    }
}

/// From logfmt pairs.
pub fn from_pairs(pairs: &[(&str, Value<'_>)]) -> Picked {
    let get = |name: &str| {
        pairs
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| &*value.text)
    };
    Picked {
        severity: ["severity", "level"].into_iter().filter_map(get).find_map(severity),
        timestamp_ms: ["timestamp", "time", "ts"]
            .into_iter()
            .filter_map(get)
            .find_map(timestamp),
    }
}

/// Our names, the usual level names, and the numbers of bunyan and pino.
fn severity(text: &str) -> Option<Severity> {
    let is = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(text));
    if is(&["low", "trace", "debug", "verbose", "10", "20"]) {
        Some(Severity::Low)
    } else if is(&["medium", "info", "information", "informational", "notice", "30"]) {
        Some(Severity::Medium)
    } else if is(&["high", "warn", "warning", "error", "err", "40", "50"]) {
        Some(Severity::High)
    } else if is(&[
        "critical",
        "crit",
        "fatal",
        "alert",
        "emergency",
        "emerg",
        "panic",
        "60",
    ]) {
        Some(Severity::Critical)
    } else {
        None
    }
}

/// RFC 3339, or a number since 1970 whose size tells seconds, milliseconds, microseconds and nanoseconds apart.
fn timestamp(text: &str) -> Option<i64> {
    if let Some(ms) = time::parse_rfc3339(text) {
        return Some(ms);
    }
    let number: f64 = text.parse().ok()?;
    let ms = match number.abs() {
        n if n < 1e8 => return None,
        n if n < 1e11 => number * 1e3,
        n if n < 1e14 => number,
        n if n < 1e17 => number / 1e3,
        n if n < 1e20 => number / 1e6,
        _ => return None,
    };
    Some(ms as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_keys_are_understood() {
        let picked = from_json(br#"{"level":"WARN","ts":1700000000.5,"x":{"level":"low"}}"#);
        assert_eq!(
            picked,
            Picked {
                severity: Some(Severity::High),
                timestamp_ms: Some(1_700_000_000_500)
            }
        );
        let picked = from_json(br#"{"severity":"critical","level":10,"time":"2023-11-14T22:13:20Z"}"#);
        assert_eq!(
            picked,
            Picked {
                severity: Some(Severity::Critical),
                timestamp_ms: Some(1_700_000_000_000)
            }
        );
        assert_eq!(from_json(b"{\"level\":\"strange\",\"ts\":7}"), Picked::default());
        assert_eq!(from_json(b"not json"), Picked::default());
    }

    #[test]
    fn numbers_mean_the_unit_that_makes_sense() {
        for text in ["1700000000", "1700000000000", "1700000000000000", "1700000000000000000"] {
            assert_eq!(timestamp(text), Some(1_700_000_000_000), "{text}");
        }
    }
}
