//! Checks a configuration against the JSON schema of its plugin's manifest.

use std::fmt;

use jsonschema::Validator;
use serde_json::{Map, Value};

/// A compiled schema.
#[derive(Debug)]
pub(crate) struct Schema(Validator);

/// One thing that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Path of keys, with dots; empty for the configuration as a whole.
    pub(crate) key: String,
    /// What is wrong, without the value: it may be a secret.
    pub(crate) message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.key, self.message)
        }
    }
}

impl Schema {
    /// Compiles a manifest's schema; references to other documents are not followed.
    pub(crate) fn compile(schema: &Map<String, Value>) -> Result<Self, String> {
        jsonschema::validator_for(&Value::Object(schema.clone()))
            .map(Self)
            .map_err(|error| error.to_string())
    }

    /// Everything that is wrong.
    pub(crate) fn problems(&self, config: &Map<String, Value>) -> Vec<Problem> {
        let config = Value::Object(config.clone());
        let problem = |error: jsonschema::ValidationError<'_>| Problem {
            key: error
                .instance_path()
                .to_string()
                .trim_start_matches('/')
                .replace('/', "."),
            message: error.masked_with("the value").to_string(),
        };
        self.0.iter_errors(&config).map(problem).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_problem_names_its_key_and_no_value() {
        let schema = json!({
            "type": "object", "required": ["url"], "additionalProperties": false,
            "properties": {"url": {"type": "string"}, "token": {"type": "string", "minLength": 9}, "on": {"type": "boolean"}},
        });
        let schema = Schema::compile(schema.as_object().unwrap()).unwrap();
        let problems = |config: Value| -> Vec<String> {
            schema
                .problems(config.as_object().unwrap())
                .iter()
                .map(Problem::to_string)
                .collect()
        };
        assert_eq!(problems(json!({"url": "x"})), Vec::<String>::new());
        assert!(problems(json!({}))[0].contains("url"));
        let found = problems(json!({"url": "x", "token": "hunter2", "on": 1}));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found.iter().any(|problem| problem.starts_with("token: ")), "{found:?}");
        assert!(!found.join(" ").contains("hunter2"), "{found:?}");
        assert!(problems(json!({"url": "x", "colour": 1})).join(" ").contains("colour"));
    }

    #[test]
    fn a_schema_that_is_none_is_refused() {
        for schema in [
            json!({"type": "text"}),
            json!({"$ref": "file:///etc/passwd"}),
            json!({"$ref": "http://127.0.0.1/"}),
        ] {
            assert!(Schema::compile(schema.as_object().unwrap()).is_err(), "{schema}");
        }
    }
}
