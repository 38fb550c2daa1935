//! Matchers, compiled: whether an alert's labels are meant.

use std::collections::BTreeMap;

use regex::{Regex, RegexBuilder};
use serde_json::json;
use streamflow_model::{MatchOp, Matcher, RuleError};

/// Matchers in one list.
const MOST: usize = 32;
/// Bytes that one compiled regular expression may take.
const REGEX_BYTES: usize = 256 * 1024;
/// Bytes of a name or a value.
const LONGEST: usize = 1024;

/// All of them must hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct Matchers(Vec<Compiled>);

#[derive(Debug, Clone)]
struct Compiled {
    name: String,
    wanted: Wanted,
    negated: bool,
}

#[derive(Debug, Clone)]
enum Wanted {
    Value(String),
    Regex(Regex),
}

impl Matchers {
    /// Compiles a list; `field` is its place in the document, for the errors.
    pub(crate) fn compile(field: &str, matchers: &[Matcher]) -> Result<Self, Vec<RuleError>> {
        let mut errors = Vec::new();
        if matchers.len() > MOST {
            errors.push(wrong(field, format!("at most {MOST} matchers")));
        }
        let mut compiled = Vec::with_capacity(matchers.len());
        for (nth, matcher) in matchers.iter().enumerate() {
            match compile(matcher) {
                Ok(one) => compiled.push(one),
                Err((part, reason)) => errors.push(wrong(format!("{field}[{nth}].{part}"), reason)),
            }
        }
        if errors.is_empty() {
            Ok(Self(compiled))
        } else {
            Err(errors)
        }
    }

    /// Whether all of them hold. A label that is not there counts as empty.
    pub(crate) fn hold(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|one| {
            let value = labels.get(&one.name).map_or("", String::as_str);
            let holds = match &one.wanted {
                Wanted::Value(wanted) => wanted == value,
                Wanted::Regex(regex) => regex.is_match(value),
            };
            holds != one.negated
        })
    }

    /// Whether they hold for an alert without labels, and so for all that they do not name.
    pub(crate) fn hold_for_nothing(&self) -> bool {
        self.hold(&BTreeMap::new())
    }
}

fn compile(matcher: &Matcher) -> Result<Compiled, (&'static str, String)> {
    if matcher.name.is_empty() || matcher.name.len() > LONGEST {
        return Err(("name", format!("must have 1 to {LONGEST} bytes")));
    }
    if matcher.value.len() > LONGEST {
        return Err(("value", format!("must have at most {LONGEST} bytes")));
    }
    let wanted = match matcher.op {
        MatchOp::Equal | MatchOp::NotEqual => Wanted::Value(matcher.value.clone()),
        MatchOp::Matches | MatchOp::NotMatches => {
            let regex = RegexBuilder::new(&format!("^(?:{})$", matcher.value))
                .size_limit(REGEX_BYTES)
                .dot_matches_new_line(true)
                .build();
            let regex = regex.map_err(|error| ("value", format!("is no regular expression: {error}")))?;
            Wanted::Regex(regex)
        }
    };
    Ok(Compiled {
        name: matcher.name.clone(),
        wanted,
        negated: matches!(matcher.op, MatchOp::NotEqual | MatchOp::NotMatches),
    })
}

/// One mistake of a document.
pub(crate) fn wrong(field: impl Into<String>, reason: impl Into<String>) -> RuleError {
    RuleError {
        field: field.into(),
        reason: reason.into(),
        line: None,
        column: None,
    }
}

/// All mistakes of a document in one refusal.
pub(crate) fn refuse(what: &str, errors: &[RuleError]) -> streamflow_web::ApiError {
    let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
    streamflow_web::ApiError::validation(format!("{what} is wrong: {}", all.join("; ")))
        .with_details(json!({"errors": errors}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matcher(text: &str) -> Matcher {
        let at = text.find(['=', '!']).unwrap();
        let op = ["=~", "!~", "!=", "="]
            .into_iter()
            .find(|op| text[at..].starts_with(op))
            .unwrap();
        serde_json::from_value(json!({"name": &text[..at], "op": op, "value": &text[at + op.len()..]})).unwrap()
    }

    #[test]
    fn each_operator_means_what_it_says() {
        let labels = BTreeMap::from([
            ("team".to_owned(), "web".to_owned()),
            ("source".to_owned(), "web-12".to_owned()),
        ]);
        for (text, holds) in [
            ("team=web", true),
            ("team=we", false),
            ("team!=db", true),
            ("team!=web", false),
            ("source=~web-\\d+", true),
            ("source=~web", false),
            ("source=~a|web-12", true),
            ("source!~web", true),
            ("source!~web-.*", false),
            ("region=", true),
            ("region!=", false),
            ("region=~.*", true),
            ("region=~.+", false),
        ] {
            let matchers = Matchers::compile("matchers", &[matcher(text)]).unwrap();
            assert_eq!(matchers.hold(&labels), holds, "{text}");
        }
        let both = [matcher("team=web"), matcher("source=db-1")];
        assert!(!Matchers::compile("", &both).unwrap().hold(&labels), "all must hold");
        assert!(Matchers::default().hold_for_nothing());
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        let list = [matcher("team=~("), matcher("=x"), matcher("a=b")];
        let errors = Matchers::compile("route.matchers", &list).unwrap_err();
        let fields: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, ["route.matchers[0].value", "route.matchers[1].name"]);
        let bomb = [matcher("a=~(x{1000}){1000}")];
        assert!(
            Matchers::compile("m", &bomb).is_err(),
            "a regular expression is bounded"
        );
    }
}
