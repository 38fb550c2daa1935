//! Where a transform may write, as agents see it.

/// The longest texts: of a type, of the other fields of an event, and of fields in `data` and `metadata`.
const MAX_TYPE: usize = 128;
const MAX_TEXT: usize = 256;
const MAX_FIELD: usize = 64 * 1024;
/// The deepest path, and the longest keys of one together.
const MAX_DEPTH: usize = 64;
const MAX_KEYS: usize = 4096;

/// The most bytes of a text that is set at a path.
pub(super) fn room(path: &str) -> Result<usize, String> {
    let refused = |reason: &str| Err(format!("`{path}` cannot be set: {reason}"));
    let (root, keys) = parts(path)?;
    match (root, keys.is_empty()) {
        ("data" | "metadata", false) if fits(&keys) => Ok(MAX_FIELD),
        ("data" | "metadata", false) => refused("it is too deep or too long"),
        ("data" | "metadata", true) => refused("only fields in it can, such as `data.name`"),
        ("id" | "source" | "timestamp", _) => refused("it says which event this is, where and when it arose"),
        ("tags", _) => refused("it is a list"),
        ("type" | "severity" | "correlation_id" | "session_id" | "user_id", false) => {
            refused("nothing stands below it")
        }
        ("type", true) => Ok(MAX_TYPE),
        ("severity" | "correlation_id" | "session_id" | "user_id", true) => Ok(MAX_TEXT),
        _ => refused("a path begins with `data` or `metadata`, or is `type` or another field of an event"),
    }
}

pub(super) fn droppable(path: &str) -> Result<(), String> {
    let refused = |reason: &str| Err(format!("`{path}` cannot be removed: {reason}"));
    let (root, keys) = parts(path)?;
    match (root, keys.is_empty()) {
        ("data" | "metadata", _) if fits(&keys) => Ok(()),
        ("data" | "metadata", _) => refused("it is too deep or too long"),
        ("tags" | "correlation_id" | "session_id" | "user_id", true) => Ok(()),
        ("tags" | "correlation_id" | "session_id" | "user_id", false) => refused("nothing stands below it"),
        ("id" | "type" | "source" | "timestamp" | "severity", _) => refused("every event has one"),
        _ => refused("a path begins with `data` or `metadata`, or is `user_id` or another field of an event"),
    }
}

fn fits(keys: &[String]) -> bool {
    keys.len() < MAX_DEPTH && keys.iter().map(String::len).sum::<usize>() <= MAX_KEYS
}

/// The root and the keys below it: `data.a`, `data["a.b"].c`.
fn parts(path: &str) -> Result<(&str, Vec<String>), String> {
    let wrong = || format!("`{path}` is not a path, such as `data.name` or `data[\"a.b\"]`");
    let (root, mut rest) = name(path);
    let mut keys = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let (key, behind) = name(after);
            if key.is_empty() {
                return Err(wrong());
            }
            keys.push(key.to_owned());
            rest = behind;
        } else {
            let quoted = rest.strip_prefix('[').ok_or_else(wrong)?;
            let mut texts = serde_json::Deserializer::from_str(quoted).into_iter::<String>();
            let Some(Ok(key)) = texts.next() else {
                return Err(wrong());
            };
            keys.push(key);
            let behind = quoted.get(texts.byte_offset()..).unwrap_or_default();
            rest = behind.strip_prefix(']').ok_or_else(wrong)?;
        }
    }
    Ok((root, keys))
}

/// Letters, digits and `_`, not beginning with a digit, and what follows.
fn name(text: &str) -> (&str, &str) {
    let other = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    let end = if text.starts_with(|c: char| c.is_ascii_digit()) {
        0
    } else {
        text.find(other).unwrap_or(text.len())
    };
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_can_be_set_say_how_much_room_there_is() {
        for (path, bytes) in [
            ("data.a", MAX_FIELD),
            ("metadata[\"a.b\"].c", MAX_FIELD),
            ("user_id", MAX_TEXT),
            ("type", MAX_TYPE),
        ] {
            assert_eq!(room(path), Ok(bytes), "{path}");
        }
        let deep = format!("data{}", ".a".repeat(64));
        for path in [
            "",
            "site",
            "site.a",
            "data",
            "data.",
            "data[",
            "data[1]",
            "data.1",
            "data[\"a\"",
            "data.a b",
            "id",
            "source",
            "timestamp",
            "tags",
            "user_id.a",
            &deep,
        ] {
            assert!(
                room(path).is_err_and(|error| error.contains(&format!("`{path}`"))),
                "{path}"
            );
        }
    }

    #[test]
    fn what_every_event_has_cannot_be_removed() {
        for path in ["data", "data.a", "metadata[\"a\"]", "tags", "user_id"] {
            assert_eq!(droppable(path), Ok(()), "{path}");
        }
        for path in [
            "",
            "type",
            "severity",
            "id",
            "source",
            "timestamp",
            "tags.a",
            "site",
            "data[",
        ] {
            assert!(droppable(path).is_err(), "{path}");
        }
    }
}
