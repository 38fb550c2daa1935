//! Checks a configuration against the JSON schema of its plugin's manifest.

use jsonschema::Validator;
use serde_json::{Map, Value};

/// A compiled schema.
#[derive(Debug)]
pub(crate) struct Schema(Validator);

impl Schema {
    /// Compiles a manifest's schema; references to other documents are not followed.
    pub(crate) fn compile(schema: &Map<String, Value>) -> Result<Self, String> {
        jsonschema::validator_for(&Value::Object(schema.clone()))
            .map(Self)
            .map_err(|error| error.to_string())
    }

    /// Everything that is wrong, each naming its key. Values are not repeated: they may be secrets.
    pub(crate) fn problems(&self, config: &Map<String, Value>) -> Vec<String> {
        let config = Value::Object(config.clone());
        let problem = |error: jsonschema::ValidationError<'_>| {
            let path = error.instance_path().to_string();
            let key = path.trim_start_matches('/').replace('/', ".");
            let message = error.masked_with("the value");
            if key.is_empty() {
                message.to_string()
            } else {
                format!("{key}: {message}")
            }
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
        let problems = |config: Value| schema.problems(config.as_object().unwrap());
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
