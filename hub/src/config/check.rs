//! Finds every mistake of a TOML text, not the first alone.

use serde::de::DeserializeOwned;

/// More mistakes than this are not worth listing.
const MOST: usize = 50;

/// Checks `text` against `T`. After each mistake the lines that hold it are blanked, and the rest is checked again, so
/// that line numbers stay right.
pub fn mistakes<T: DeserializeOwned>(text: &str, file: &str) -> Vec<String> {
    let mut rest = text.to_owned();
    let mut found = Vec::new();
    while let Err(error) = toml::from_str::<T>(&rest) {
        let Some(span) = error.span() else {
            found.push(format!("{file}: {}", error.message()));
            break;
        };
        let line = rest.get(..span.start).unwrap_or_default().matches('\n').count() + 1;
        found.push(format!("{file}:{line}: {}{}", key_of(&rest, line), error.message()));
        if found.len() == MOST || !blank(&mut rest, span) {
            break;
        }
    }
    found
}

/// The key that a line assigns, with its table, for the message.
fn key_of(text: &str, line: usize) -> String {
    let mut table = "";
    let mut key = "";
    for (number, content) in text.lines().enumerate().take(line) {
        let content = content.trim();
        if content.starts_with('[') {
            table = content.trim_matches(|c| c == '[' || c == ']');
            key = "";
        } else if number + 1 == line {
            key = content.split_once('=').map_or("", |(key, _)| key.trim());
        }
    }
    match (table, key) {
        ("", "") => String::new(),
        (table, "") => format!("[{table}]: "),
        ("", key) => format!("{key}: "),
        (table, key) => format!("{table}.{key}: "),
    }
}

/// The line that assigns a dotted key, in a file that is written with one key a line.
pub fn line_of(text: &str, key: &str) -> Option<usize> {
    let (table, name) = key.rsplit_once('.').unwrap_or(("", key));
    let mut inside = "";
    for (number, content) in text.lines().enumerate() {
        let content = content.trim();
        if content.starts_with('[') {
            inside = content.trim_matches(|c| c == '[' || c == ']');
        } else if inside == table && content.split_once('=').is_some_and(|(key, _)| key.trim() == name) {
            return Some(number + 1);
        }
    }
    None
}

/// Replaces the lines of a span by empty ones; `false` when that changes nothing.
fn blank(text: &mut String, span: std::ops::Range<usize>) -> bool {
    let start = text
        .get(..span.start)
        .and_then(|before| before.rfind('\n'))
        .map_or(0, |at| at + 1);
    let from = span.end.max(span.start + 1).min(text.len());
    let end = text
        .get(from.saturating_sub(1)..)
        .and_then(|after| after.find('\n'))
        .map_or(text.len(), |at| from - 1 + at);
    let Some(piece) = text.get(start..end) else {
        return false;
    };
    let empty: String = piece.chars().filter(|c| *c == '\n').collect();
    let changed = piece != empty;
    text.replace_range(start..end, &empty);
    changed
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Root {
        _number: u16,
        _words: Vec<String>,
        _inner: Inner,
    }
    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Inner {
        _yes: bool,
    }

    #[test]
    fn every_mistake_is_found_with_its_line_and_key() {
        let text = "_number = \"x\"\n_words = [\n 1,\n]\n[_inner]\n_yes = 3\nnope = 1\n";
        let found = mistakes::<Root>(text, "hub.toml");
        assert_eq!(found.len(), 4, "{found:#?}");
        assert!(
            found.iter().any(|m| m.starts_with("hub.toml:1: _number: ")),
            "{found:#?}"
        );
        assert!(
            found.iter().any(|m| m.starts_with("hub.toml:6: _inner._yes: ")),
            "{found:#?}"
        );
        assert!(
            found
                .iter()
                .any(|m| m.starts_with("hub.toml:7: _inner.nope: unknown field")),
            "{found:#?}"
        );
    }

    #[test]
    fn a_key_is_found_in_its_table() {
        let text = "url = 1\n# [log]\n[bus]\nurl = 2\n[log]\nlevel=\"x\"\n";
        let lines = ["url", "bus.url", "log.level", "log.url", "none"].map(|key| line_of(text, key));
        assert_eq!(lines, [Some(1), Some(4), Some(6), None, None]);
    }

    #[test]
    fn broken_syntax_is_named_and_does_not_hide_the_rest() {
        let found = mistakes::<Root>("_number = = 3\n[_inner]\nnope = 1\n", "f");
        assert_eq!(found.len(), 2, "{found:#?}");
    }

    #[test]
    fn a_good_text_has_none() {
        assert!(mistakes::<Root>("_number = 1\n_words = [\"a\"]\n[_inner]\n_yes = true\n", "f").is_empty());
    }
}
