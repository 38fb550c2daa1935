//! Files with rules: JSON or TOML, one rule, a list, or a list under `rules`. Every mistake is found, not the first alone.

use std::{fmt, path::Path};

use serde::Serialize;
use serde_json::{Map, Value};
use streamflow_model::{RuleDraft, RuleError};

/// Fields of a saved rule that are no part of what a user writes; a rule read from a hub may be kept in a file.
const READ_ONLY: [&str; 4] = ["id", "version", "created_at", "updated_at"];
/// More mistakes of one rule than this are not worth listing.
const MOST: usize = 50;

/// One thing wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mistake {
    /// The file.
    pub file: String,
    /// The rule's name, or its place in the file.
    pub rule: Option<String>,
    /// Field of the rule.
    pub field: Option<String>,
    /// What is wrong and what would be right.
    pub reason: String,
    /// Line in the file, or in the expression, from 1.
    pub line: Option<u32>,
    /// Column, from 1.
    pub column: Option<u32>,
    /// The expression's line that is wrong.
    pub text: Option<String>,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let (None, Some(line)) = (&self.rule, self.line) {
            write!(f, ":{line}")?;
            if let Some(column) = self.column {
                write!(f, ":{column}")?;
            }
        }
        if let Some(rule) = &self.rule {
            write!(f, ": {rule}")?;
        }
        if let Some(field) = &self.field {
            write!(f, ": {field}")?;
        }
        write!(f, ": {}", self.reason)?;
        if let (Some(text), Some(line), Some(column)) = (&self.text, self.line, self.column) {
            let lead = format!("{line} | ");
            let before = column.saturating_sub(1) as usize;
            // Tabs stay tabs, so that the mark stands below its place.
            let gap: String = text
                .chars()
                .take(before)
                .map(|c| if c == '\t' { '\t' } else { ' ' })
                .chain(std::iter::repeat_n(' ', before.saturating_sub(text.chars().count())))
                .collect();
            write!(f, "\n    {lead}{text}\n    {}{gap}^", " ".repeat(lead.len()))?;
        }
        Ok(())
    }
}

/// Reads a file.
///
/// # Errors
/// Every mistake in it.
pub fn read(path: &Path) -> Result<Vec<RuleDraft>, Vec<Mistake>> {
    let file = path.display().to_string();
    let whole = |reason: String, line: Option<u32>, column: Option<u32>| Mistake {
        file: file.clone(),
        rule: None,
        field: None,
        reason,
        line,
        column,
        text: None,
    };
    let text = std::fs::read_to_string(path).map_err(|e| vec![whole(e.to_string(), None, None)])?;
    let value = parse(path, &text).map_err(|(reason, line, column)| vec![whole(reason, line, column)])?;
    let rules = match value {
        Value::Array(rules) => rules,
        Value::Object(mut fields) if fields.len() == 1 && fields.get("rules").is_some_and(Value::is_array) => {
            match fields.remove("rules") {
                Some(Value::Array(rules)) => rules,
                _ => Vec::new(),
            }
        }
        one @ Value::Object(_) => vec![one],
        _ => {
            let reason = "holds no rule; write a rule, a list of rules, or a list named `rules`";
            return Err(vec![whole(reason.to_owned(), None, None)]);
        }
    };
    if rules.is_empty() {
        return Err(vec![whole("holds no rule".to_owned(), None, None)]);
    }
    let (mut drafts, mut mistakes) = (Vec::<RuleDraft>::new(), Vec::new());
    for (place, rule) in rules.into_iter().enumerate() {
        let named = rule.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
        let name = named.map_or_else(|| format!("rule {}", place + 1), str::to_owned);
        match draft(rule) {
            Ok(draft) => {
                if drafts.iter().any(|other| other.name == draft.name) {
                    let mut mistake = whole("there is another rule of this name in the file".to_owned(), None, None);
                    (mistake.rule, mistake.field) = (Some(name), Some("name".to_owned()));
                    mistakes.push(mistake);
                }
                drafts.push(draft);
            }
            Err(wrong) => mistakes.extend(wrong.into_iter().map(|(error, text)| Mistake {
                file: file.clone(),
                rule: Some(name.clone()),
                field: Some(error.field),
                reason: error.reason,
                line: error.line,
                column: error.column,
                text,
            })),
        }
    }
    if mistakes.is_empty() { Ok(drafts) } else { Err(mistakes) }
}

type Syntax = (String, Option<u32>, Option<u32>);

/// JSON or TOML, by the name's ending, else by what the text looks like.
pub fn parse(path: &Path, text: &str) -> Result<Value, Syntax> {
    let json = match path.extension().and_then(|ending| ending.to_str()) {
        Some("json") => true,
        Some("toml") => false,
        Some("yaml" | "yml") => return Err(("YAML is not read; write TOML or JSON".to_owned(), None, None)),
        _ => text.trim_start().starts_with(['{', '[']) && !text.trim_start().starts_with("[["),
    };
    let place = |n: usize| u32::try_from(n).ok();
    if json {
        return serde_json::from_str(text).map_err(|e| {
            let message = e.to_string();
            let reason = message.split(" at line ").next().unwrap_or(&message).to_owned();
            (reason, place(e.line()), place(e.column()))
        });
    }
    toml::from_str(text).map_err(|e| {
        let before = e.span().and_then(|span| text.get(..span.start));
        let line = before.map(|before| before.matches('\n').count() + 1);
        let column = before.map(|before| before.chars().rev().take_while(|c| *c != '\n').count() + 1);
        (e.message().to_owned(), line.and_then(place), column.and_then(place))
    })
}

/// One rule, or all that is wrong with it, each with the line of the expression that is wrong.
fn draft(rule: Value) -> Result<RuleDraft, Vec<(RuleError, Option<String>)>> {
    let Value::Object(mut fields) = rule else {
        return Err(vec![(error("rule", "must be an object"), None)]);
    };
    fields.retain(|key, _| !READ_ONLY.contains(&key.as_str()));
    let mut wrong = Vec::new();
    let draft = loop {
        let attempt = serde_json::to_string(&fields).map_err(|e| vec![(error("rule", &e.to_string()), None)])?;
        let mut reader = serde_json::Deserializer::from_str(&attempt);
        match serde_path_to_error::deserialize::<_, RuleDraft>(&mut reader) {
            Ok(draft) => break Some(draft),
            Err(e) => {
                let path = e.path().to_string();
                let message = e.into_inner().to_string();
                let reason = message.split(" at line ").next().unwrap_or(&message).to_owned();
                let Some(field) = repair(&mut fields, &path, &reason) else {
                    wrong.push((error("rule", &reason), None));
                    break None;
                };
                wrong.push((error(&field, &reason), None));
                if wrong.len() >= MOST {
                    break None;
                }
            }
        }
    };
    let named: Vec<String> = wrong.iter().map(|(error, _)| error.field.clone()).collect();
    if let Some(draft) = &draft {
        let compiled = draft.compile().err().unwrap_or_default();
        // A field that had to be left out is not wrong twice.
        let more = compiled.into_iter().filter(|error| !named.contains(&error.field));
        wrong.extend(more.map(|error| {
            let text = line_of(draft, &error);
            (error, text)
        }));
    }
    match draft {
        Some(draft) if wrong.is_empty() => Ok(draft),
        _ => Err(wrong),
    }
}

/// Takes what is wrong out of the fields, so that the rest can be checked; names it, or nothing when that cannot be done.
fn repair(fields: &mut Map<String, Value>, path: &str, reason: &str) -> Option<String> {
    let quoted = reason.split('`').nth(1).unwrap_or_default();
    if reason.starts_with("missing field") {
        let before = fields.insert(quoted.to_owned(), Value::from("unnamed"));
        return before.is_none().then(|| quoted.to_owned());
    }
    let top = path.split(['.', '[']).next().unwrap_or_default();
    let key = if reason.starts_with("unknown field") && fields.contains_key(quoted) {
        quoted
    } else {
        top
    };
    fields.remove(key)?;
    Some(if key == top { path.to_owned() } else { key.to_owned() })
}

fn error(field: &str, reason: &str) -> RuleError {
    RuleError {
        field: field.to_owned(),
        reason: reason.to_owned(),
        line: None,
        column: None,
    }
}

fn line_of(draft: &RuleDraft, error: &RuleError) -> Option<String> {
    let source = match error.field.as_str() {
        "match" => &draft.matches,
        "condition" => &draft.condition,
        _ => return None,
    };
    let line = error.line?.checked_sub(1)? as usize;
    Some(source.lines().nth(line).unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(name: &str, text: &str) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        let mistakes = read(&path).err().unwrap_or_default();
        let prefix = format!("{}", path.display());
        mistakes
            .iter()
            .map(|mistake| mistake.to_string().replace(&prefix, name))
            .collect()
    }

    #[test]
    fn every_mistake_of_every_rule_is_named_at_once() {
        let found = wrong(
            "rules.toml",
            "[[rules]]\nname = \"a\"\nmatch = \"type == 'x' &&\\n  kind == 'y'\"\nthrshold = 3\nwindow = \"0s\"\n\
             [[rules]]\nname = \"b\"\nlevel = \"loud\"\ncondition = \"value >\"\nthreshold = \"many\"\n",
        );
        for part in [
            "rules.toml: a: thrshold: unknown field",
            "rules.toml: a: window: must be between",
            "rules.toml: a: match: `kind` is unknown",
            "2 |   kind == 'y'\n          ^",
            "rules.toml: a: threshold: is required",
            "rules.toml: b: level: unknown variant `loud`",
            "rules.toml: b: threshold: invalid type",
            "rules.toml: b: condition: ",
        ] {
            assert!(
                found.iter().any(|one| one.contains(part)),
                "{part} is not in {found:#?}"
            );
        }
        assert_eq!(found.len(), 7, "{found:#?}");
    }

    #[test]
    fn broken_syntax_is_named_with_its_place() {
        assert!(wrong("r.json", "{\"name\": }")[0].starts_with("r.json:1:10: "));
        assert!(wrong("r.toml", "name = \"a\"\nfor = = 3\n")[0].starts_with("r.toml:2:"));
        assert!(wrong("r.yaml", "name: a")[0].contains("YAML"));
        assert!(wrong("r.json", "[]")[0].contains("holds no rule"));
        assert!(wrong("r.json", "[{\"aggregate\": \"count()\"}]")[0].contains("rule 1: name: missing field"));
    }

    #[test]
    fn one_rule_a_list_and_a_named_list_are_read() {
        let rule = "{\"name\":\"a\",\"threshold\":1,\"id\":\"x\",\"version\":3}";
        for text in [rule.to_owned(), format!("[{rule}]"), format!("{{\"rules\":[{rule}]}}")] {
            assert!(wrong("r.json", &text).is_empty(), "{text}");
        }
        assert!(wrong("r.json", &format!("[{rule},{rule}]"))[0].contains("another rule"));
    }
}
