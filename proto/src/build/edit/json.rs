//! The same edit for objects that stand as JSON text. Whatever it does not name keeps its place and its digits.

use super::super::slow::Members;

/// Writes or removes what is at `keys` of an object. Nothing happens when there is nothing to remove.
pub(super) fn edited(object: &str, keys: &[String], value: Option<&str>) -> serde_json::Result<String> {
    let Some((key, below)) = keys.split_first() else {
        return Ok(value.unwrap_or(object).to_owned());
    };
    // What is no object gives way to one.
    let members = if object.trim_start().starts_with('{') {
        serde_json::from_str::<Members<'_>>(object)?.0
    } else {
        Vec::new()
    };
    let mut out = String::with_capacity(object.len() + value.map_or(0, str::len) + key.len() + 8);
    out.push('{');
    let mut put = |name: &str, json: &str| {
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str(&serde_json::Value::from(name).to_string());
        out.push(':');
        out.push_str(json);
    };
    let mut found = false;
    for (name, old) in &members {
        if name != key {
            put(name, old.get());
            continue;
        }
        found = true;
        match value {
            None if below.is_empty() => {}
            None if !old.get().starts_with('{') => put(name, old.get()),
            Some(value) if below.is_empty() => put(name, value),
            _ => put(name, &edited(old.get(), below, value)?),
        }
    }
    if let (false, Some(value)) = (found, value) {
        put(key, &edited("{}", below, Some(value))?);
    }
    out.push('}');
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::edited;

    #[test]
    fn members_keep_their_place_and_digits() {
        let keys = |path: &str| path.split('.').map(str::to_owned).collect::<Vec<_>>();
        for (object, path, value, want) in [
            ("{}", "a", Some("1"), r#"{"a":1}"#),
            ("{}", "a.b", Some("1"), r#"{"a":{"b":1}}"#),
            (
                r#"{"x":1e400, "a":2,"y":[1]}"#,
                "a",
                Some("\"t\""),
                r#"{"x":1e400,"a":"t","y":[1]}"#,
            ),
            (r#"{"a":5,"c":{}}"#, "a.b", Some("1"), r#"{"a":{"b":1},"c":{}}"#),
            (r#"{"a":{"b":1,"c":2}}"#, "a.b", None, r#"{"a":{"c":2}}"#),
            (r#"{"a":{"b":1}}"#, "a.b", None, r#"{"a":{}}"#),
            (r#"{"a":5}"#, "a.b", None, r#"{"a":5}"#),
            (r#"{"a":5}"#, "z.b", None, r#"{"a":5}"#),
        ] {
            assert_eq!(
                edited(object, &keys(path), value).unwrap(),
                want,
                "{object} {path} {value:?}"
            );
        }
    }
}
