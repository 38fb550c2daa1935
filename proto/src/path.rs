//! Where a value sits in an event: `type`, `data.ms`, `data["a.b"].c`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, str::FromStr};

/// The names that a path may begin with.
pub const ROOTS: [&str; 11] = [
    "type",
    "source",
    "severity",
    "timestamp",
    "id",
    "data",
    "metadata",
    "tags",
    "correlation_id",
    "session_id",
    "user_id",
];

/// A path of keys from the event's top level. Keys are kept apart, so `data.a.b` and `data["a.b"]` differ.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Path(Vec<String>);

/// Why a text is not a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} at column {column}")]
pub struct PathError {
    /// What is wrong.
    pub message: String,
    /// Where, counted in characters from 1.
    pub column: usize,
}

impl Path {
    /// Reads `data.ms` or `data["a.b"].c`. The first segment must be one of [`ROOTS`].
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let fail = |rest: &str, message: String| {
            let done = text.len() - rest.len();
            PathError {
                message,
                column: text.get(..done).map_or(0, |head| head.chars().count()) + 1,
            }
        };
        let (root, mut rest) = split_name(text);
        if !ROOTS.contains(&root) {
            return Err(fail(
                text,
                format!("a path begins with one of {}, not `{root}`", ROOTS.join(", ")),
            ));
        }
        let mut segments = vec![root.to_owned()];
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('.') {
                let (name, after_name) = split_name(after);
                if name.is_empty() {
                    return Err(fail(after, "expected a key; write unusual keys as [\"…\"]".into()));
                }
                segments.push(name.to_owned());
                rest = after_name;
            } else if let Some(after) = rest.strip_prefix('[') {
                let mut keys = serde_json::Deserializer::from_str(after).into_iter::<String>();
                let Some(Ok(key)) = keys.next() else {
                    return Err(fail(after, "expected a key in double quotes".into()));
                };
                let after_key = after.get(keys.byte_offset()..).unwrap_or("");
                rest = after_key
                    .strip_prefix(']')
                    .ok_or_else(|| fail(after_key, "expected `]`".into()))?;
                segments.push(key);
            } else {
                return Err(fail(rest, "expected `.key` or `[\"key\"]`".into()));
            }
        }
        Ok(Self(segments))
    }

    /// Joins segments that are known to begin with a root.
    pub(crate) fn from_segments(segments: Vec<String>) -> Self {
        Self(segments)
    }

    /// All segments, the root first.
    pub fn segments(&self) -> &[String] {
        &self.0
    }

    /// The first segment.
    pub fn root(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }

    /// The segments below the root.
    pub fn keys(&self) -> &[String] {
        self.0.get(1..).unwrap_or(&[])
    }

    /// This path extended by a key.
    #[must_use]
    pub fn join(&self, key: &str) -> Self {
        let mut segments = self.0.clone();
        segments.push(key.to_owned());
        Self(segments)
    }
}

/// Splits off the leading identifier (letters, digits, `_`, not beginning with a digit).
fn split_name(text: &str) -> (&str, &str) {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let end = if text.starts_with(|c: char| c.is_ascii_digit()) {
        0
    } else {
        text.find(|c| !plain(c)).unwrap_or(text.len())
    };
    text.split_at(end)
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.root())?;
        for key in self.keys() {
            if !key.is_empty() && split_name(key).1.is_empty() {
                write!(f, ".{key}")?;
            } else {
                write!(f, "[{}]", serde_json::Value::from(key.as_str()))?;
            }
        }
        Ok(())
    }
}

impl FromStr for Path {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        Self::parse(text)
    }
}

impl Serialize for Path {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::Path;
    use proptest::prelude::*;

    #[test]
    fn dots_in_keys_are_not_nesting() {
        let nested = Path::parse("data.a.b").unwrap();
        let dotted = Path::parse("data[\"a.b\"]").unwrap();
        assert_ne!(nested, dotted);
        assert_eq!(nested.keys(), ["a", "b"]);
        assert_eq!(dotted.to_string(), "data[\"a.b\"]");
    }

    #[test]
    fn mistakes_are_named_with_their_column() {
        for (text, column, part) in [
            ("", 1, "begins with"),
            ("value", 1, "not `value`"),
            ("data.", 6, "expected a key"),
            ("data.9", 6, "expected a key"),
            ("data[1]", 6, "double quotes"),
            ("data[\"a\"", 9, "expected `]`"),
            ("data x", 5, "expected `.key`"),
        ] {
            let error = Path::parse(text).unwrap_err();
            assert_eq!(error.column, column, "{text}: {error}");
            assert!(error.message.contains(part), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(keys in prop::collection::vec(any::<String>(), 0..4)) {
            let mut segments = vec!["data".to_owned()];
            segments.extend(keys);
            let path = Path::from_segments(segments);
            prop_assert_eq!(Path::parse(&path.to_string()), Ok(path));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}") {
            prop_assert!(Path::parse(&text).is_ok_and(|path| !path.segments().is_empty()) || Path::parse(&text).is_err());
        }
    }
}
