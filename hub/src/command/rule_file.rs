//! Files with rules: TOML, YAML or JSON; one rule, a list, or a list under `rules`. Every mistake is found, not the first alone.
//!
//! A file may also hold `channels` and a `routing` for provisioning, or `groups` as Prometheus has them.

mod place;
pub mod prometheus;

use std::{fmt, path::Path};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use streamflow_alerting::ChannelDraft;
use streamflow_model::{RoutingDraft, RuleDraft, RuleError};

use prometheus::Group;

pub use place::containing;

/// Fields of a saved rule that are no part of what a user writes; a rule read from a hub may be kept in a file.
const READ_ONLY: [&str; 5] = ["id", "version", "created_at", "updated_at", "provisioned"];
/// More mistakes of one rule than this are not worth listing.
const MOST: usize = 50;

/// One thing wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mistake {
    /// The file.
    pub file: String,
    /// Line in the file, from 1, as far as it can be told.
    pub at: Option<u32>,
    /// The rule's name, or its place in the file; or another part of the file.
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
        if let Some(at) = self.at {
            write!(f, ":{at}")?;
        } else if let (None, Some(line)) = (&self.rule, self.line) {
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

/// What a file holds.
#[derive(Debug, Clone, Default)]
pub struct Provided {
    /// Rules; each has been compiled.
    pub rules: Vec<RuleDraft>,
    /// Channels, whose plugins have not been asked.
    pub channels: Vec<ChannelDraft>,
    /// The routing tree and the rules of inhibition.
    pub routing: Option<RoutingDraft>,
    /// Groups of alerting rules as Prometheus has them.
    pub groups: Vec<Group>,
}

/// Keys of a file that holds more than rules.
const KEYS: [&str; 4] = ["rules", "channels", "routing", "groups"];

/// Reads the rules of a file.
///
/// # Errors
/// Every mistake in it.
pub fn read(path: &Path) -> Result<Vec<RuleDraft>, Vec<Mistake>> {
    let provided = read_all(path)?;
    if provided.rules.is_empty() && !provided.groups.is_empty() {
        let reason = "holds rules of Prometheus; the hub evaluates them, but only its own rules can be explained, tested or tried on the past";
        return Err(vec![whole(path, reason.to_owned(), None, None)]);
    }
    if provided.rules.is_empty() {
        return Err(vec![whole(path, "holds no rule".to_owned(), None, None)]);
    }
    Ok(provided.rules)
}

/// Reads everything that a file holds.
///
/// # Errors
/// Every mistake in it.
pub fn read_all(path: &Path) -> Result<Provided, Vec<Mistake>> {
    let text = std::fs::read_to_string(path).map_err(|e| vec![whole(path, e.to_string(), None, None)])?;
    let value = parse(path, &text).map_err(|(reason, line, column)| vec![whole(path, reason, line, column)])?;
    let mut reader = Reader {
        path,
        text: &text,
        provided: Provided::default(),
        mistakes: Vec::new(),
    };
    match value {
        Value::Array(rules) => reader.rules(rules, "rules"),
        Value::Object(fields)
            if !fields.contains_key("name") && fields.keys().any(|key| KEYS.contains(&key.as_str())) =>
        {
            reader.document(fields);
        }
        one @ Value::Object(_) => reader.rules(vec![one], ""),
        // An empty YAML file is one null.
        _ => reader.wrong(
            None,
            None,
            "holds no rule; write a rule, a list of rules, or a list named `rules`".to_owned(),
            None,
        ),
    }
    let Reader { provided, mistakes, .. } = reader;
    if mistakes.is_empty() {
        Ok(provided)
    } else {
        Err(mistakes)
    }
}

/// A mistake of a file as a whole.
fn whole(path: &Path, reason: String, line: Option<u32>, column: Option<u32>) -> Mistake {
    Mistake {
        file: path.display().to_string(),
        at: None,
        rule: None,
        field: None,
        reason,
        line,
        column,
        text: None,
    }
}

/// Reads the parts of one file.
struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    provided: Provided,
    mistakes: Vec<Mistake>,
}

impl Reader<'_> {
    fn document(&mut self, fields: Map<String, Value>) {
        for (key, value) in fields {
            match (key.as_str(), value) {
                ("rules", Value::Array(rules)) => self.rules(rules, "rules"),
                ("channels", Value::Array(channels)) => self.channels(channels),
                ("routing", Value::Object(routing)) => self.routing(routing),
                ("groups", Value::Array(groups)) => {
                    let (groups, wrong) = prometheus::groups(groups);
                    self.provided.groups = groups;
                    for error in wrong {
                        let at = place::containing(self.text, &error.looks_like);
                        self.wrong(Some(error.rule), Some(error.field), error.reason, at);
                    }
                }
                (key, _) if KEYS.contains(&key) => {
                    let what = if key == "routing" { "a table" } else { "a list" };
                    self.wrong(None, Some(key.to_owned()), format!("must be {what}"), None);
                }
                (key, _) => {
                    let reason = format!("unknown key; a file holds {}", KEYS.join(", "));
                    self.wrong(None, Some(key.to_owned()), reason, place::containing(self.text, key));
                }
            }
        }
    }

    /// `list` is the key of the list; empty when the file is one rule.
    fn rules(&mut self, rules: Vec<Value>, list: &str) {
        if rules.is_empty() {
            return self.wrong(None, None, "holds no rule".to_owned(), None);
        }
        for (nth, rule) in rules.into_iter().enumerate() {
            let name = name_of(&rule).unwrap_or_else(|| format!("rule {}", nth + 1));
            let wrong = match draft(rule) {
                Ok(draft) => {
                    let twice = self.provided.rules.iter().any(|other| other.name == draft.name);
                    self.provided.rules.push(draft);
                    let reason = "there is another rule of this name in the file";
                    Vec::from_iter(twice.then(|| (error("name", reason), None)))
                }
                Err(wrong) => wrong,
            };
            for (error, text) in wrong {
                let at = place::line(self.path, self.text, list, nth, &error.field);
                self.mistakes.push(Mistake {
                    at,
                    rule: Some(name.clone()),
                    field: Some(error.field),
                    line: error.line,
                    column: error.column,
                    text,
                    ..whole(self.path, error.reason, None, None)
                });
            }
        }
    }

    fn channels(&mut self, channels: Vec<Value>) {
        for (nth, channel) in channels.into_iter().enumerate() {
            let name =
                name_of(&channel).map_or_else(|| format!("channel {}", nth + 1), |name| format!("channel {name}"));
            let (draft, wrong) = match channel {
                Value::Object(fields) => {
                    lenient::<ChannelDraft>(fields, &["created_at", "updated_at", "health", "provisioned"])
                }
                _ => (None, vec![error("channel", "must be a table")]),
            };
            for error in &wrong {
                let at = place::line(self.path, self.text, "channels", nth, &error.field);
                self.wrong(
                    Some(name.clone()),
                    Some(error.field.clone()),
                    unquoted(&error.reason),
                    at,
                );
            }
            if let Some(draft) = draft.filter(|_| wrong.is_empty()) {
                if self.provided.channels.iter().any(|other| other.name() == draft.name()) {
                    let reason = "there is another channel of this name in the file".to_owned();
                    self.wrong(Some(name), Some("name".to_owned()), reason, None);
                }
                self.provided.channels.push(draft);
            }
        }
    }

    fn routing(&mut self, routing: Map<String, Value>) {
        let (draft, wrong) = lenient::<RoutingDraft>(routing, &["version", "updated_at", "provisioned"]);
        if wrong.is_empty() {
            self.provided.routing = draft;
        }
        for error in wrong {
            let key = error.field.rsplit(['.', ']']).next().unwrap_or_default();
            let at = place::containing(self.text, key);
            self.wrong(Some("routing".to_owned()), Some(error.field), error.reason, at);
        }
    }

    fn wrong(&mut self, rule: Option<String>, field: Option<String>, reason: String, at: Option<u32>) {
        self.mistakes.push(Mistake {
            at,
            rule,
            field,
            ..whole(self.path, reason, None, None)
        });
    }
}

/// A reason without the value that it quotes from the file: of a channel that may be a secret.
fn unquoted(reason: &str) -> String {
    let quoted = reason.find(['"', '`']).filter(|_| reason.starts_with("invalid "));
    let expected = reason.rfind(", expected");
    match quoted.zip(expected) {
        Some((from, to)) if from < to => {
            let (before, after) = (reason.get(..from), reason.get(to..));
            format!("{}{}", before.unwrap_or_default().trim_end(), after.unwrap_or_default())
        }
        _ => reason.to_owned(),
    }
}

fn name_of(part: &Value) -> Option<String> {
    let name = part.get("name").and_then(Value::as_str);
    name.filter(|name| !name.is_empty()).map(str::to_owned)
}

type Syntax = (String, Option<u32>, Option<u32>);

/// TOML, YAML or JSON, by the name's ending, else TOML or JSON by what the text looks like.
pub fn parse(path: &Path, text: &str) -> Result<Value, Syntax> {
    let place = |n: usize| u32::try_from(n).ok();
    let json = match path.extension().and_then(|ending| ending.to_str()) {
        Some("json") => true,
        Some("toml") => false,
        Some("yaml" | "yml") => {
            return serde_saphyr::from_str(text).map_err(|error| {
                let at = error.location();
                let number = |n: Option<u64>| n.and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
                let message = error.without_snippet().to_string();
                // The place is told in the file's own terms.
                let reason = message.split(" at line ").next().unwrap_or(&message).to_owned();
                (reason, number(at.map(|at| at.line())), number(at.map(|at| at.column())))
            });
        }
        _ => text.trim_start().starts_with(['{', '[']) && !text.trim_start().starts_with("[["),
    };
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
    let Value::Object(fields) = rule else {
        return Err(vec![(error("rule", "must be an object"), None)]);
    };
    let (draft, wrong) = lenient::<RuleDraft>(fields, &READ_ONLY);
    let named: Vec<String> = wrong.iter().map(|error| error.field.clone()).collect();
    let mut wrong: Vec<(RuleError, Option<String>)> = wrong.into_iter().map(|error| (error, None)).collect();
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

/// Reads fields and finds every mistake: what is wrong is left out, and the rest is read again.
fn lenient<T: DeserializeOwned>(mut fields: Map<String, Value>, read_only: &[&str]) -> (Option<T>, Vec<RuleError>) {
    fields.retain(|key, _| !read_only.contains(&key.as_str()));
    let mut wrong = Vec::new();
    loop {
        let attempt = match serde_json::to_string(&fields) {
            Ok(attempt) => attempt,
            Err(e) => return (None, vec![error("", &e.to_string())]),
        };
        let mut reader = serde_json::Deserializer::from_str(&attempt);
        match serde_path_to_error::deserialize::<_, T>(&mut reader) {
            Ok(value) => return (Some(value), wrong),
            Err(e) => {
                let path = e.path().to_string();
                let message = e.into_inner().to_string();
                let reason = message.split(" at line ").next().unwrap_or(&message).to_owned();
                let Some(field) = repair(&mut fields, &path, &reason) else {
                    wrong.push(error("rule", &reason));
                    return (None, wrong);
                };
                wrong.push(error(&field, &reason));
                if wrong.len() >= MOST {
                    return (None, wrong);
                }
            }
        }
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
mod tests;
