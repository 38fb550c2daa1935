//! Names as serde's `rename_all` writes them.

/// A field's name in a style; none when serde has no such style.
pub(crate) fn field(name: &str, style: &str) -> Option<String> {
    match style {
        // Serde leaves the underscores of fields alone in these.
        "lowercase" | "snake_case" => Some(name.to_owned()),
        "UPPERCASE" => Some(name.to_uppercase()),
        _ => styled(&name.split('_').map(str::to_owned).collect::<Vec<_>>(), style),
    }
}

/// A variant's name in a style; none when serde has no such style.
pub(crate) fn variant(name: &str, style: &str) -> Option<String> {
    let mut words: Vec<String> = Vec::new();
    for c in name.chars() {
        match words.last_mut() {
            Some(word) if !c.is_uppercase() => word.push(c),
            _ => words.push(c.to_lowercase().collect()),
        }
    }
    match style {
        "lowercase" => Some(name.to_lowercase()),
        "UPPERCASE" => Some(name.to_uppercase()),
        "snake_case" => Some(words.join("_")),
        _ => styled(&words, style),
    }
}

/// `words` are in lower case.
fn styled(words: &[String], style: &str) -> Option<String> {
    Some(match style {
        "PascalCase" => words.iter().map(|word| capital(word)).collect(),
        "camelCase" => {
            let (first, rest) = words.split_first()?;
            first.clone() + &rest.iter().map(|word| capital(word)).collect::<String>()
        }
        "SCREAMING_SNAKE_CASE" => words.join("_").to_uppercase(),
        "kebab-case" => words.join("-"),
        "SCREAMING-KEBAB-CASE" => words.join("-").to_uppercase(),
        _ => return None,
    })
}

fn capital(word: &str) -> String {
    let mut rest = word.chars();
    rest.next()
        .map(|first| first.to_uppercase().chain(rest).collect())
        .unwrap_or_default()
}

/// A field's name for people: `within_seconds` is `Within seconds`.
pub(crate) fn title(name: &str) -> String {
    capital(&name.trim_start_matches("r#").replace('_', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_serde() {
        for (style, own_field, own_variant) in [
            ("lowercase", "within_seconds", "verylow"),
            ("UPPERCASE", "WITHIN_SECONDS", "VERYLOW"),
            ("snake_case", "within_seconds", "very_low"),
            ("PascalCase", "WithinSeconds", "VeryLow"),
            ("camelCase", "withinSeconds", "veryLow"),
            ("SCREAMING_SNAKE_CASE", "WITHIN_SECONDS", "VERY_LOW"),
            ("kebab-case", "within-seconds", "very-low"),
            ("SCREAMING-KEBAB-CASE", "WITHIN-SECONDS", "VERY-LOW"),
        ] {
            assert_eq!(field("within_seconds", style).as_deref(), Some(own_field));
            assert_eq!(variant("VeryLow", style).as_deref(), Some(own_variant));
        }
        assert_eq!((field("a", "Title"), variant("A", "Title")), (None, None));
        assert_eq!(title("within_seconds"), "Within seconds");
    }
}
