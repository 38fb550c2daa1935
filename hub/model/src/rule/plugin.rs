//! Rules of kind `plugin`: a WebAssembly plugin decides; the rule says which one, how it is configured, and which events it sees.

use streamflow_proto::{
    aggregate::AggregateSpec,
    filter::{Condition, Filter},
};

use super::{Compiled, RuleDraft, RuleError, RuleKind, check_texts, expression, plain};

/// Largest configuration, as JSON.
const MAX_CONFIG: usize = 64 << 10;

impl RuleDraft {
    /// Checks a rule of kind `plugin`. Whether the plugin exists and takes the configuration, the plugin host knows.
    pub(super) fn compile_plugin(&self) -> Result<Compiled, Vec<RuleError>> {
        let mut errors = Vec::new();
        if self.name.trim().is_empty() || self.name.len() > 128 {
            errors.push(plain("name", "must have 1 to 128 bytes"));
        }
        if self.plugin.as_ref().is_none_or(|name| name.is_empty()) {
            errors.push(plain(
                "plugin",
                "is required for the kind `plugin`: the name of a rule plugin",
            ));
        }
        if serde_json::to_string(&self.config).is_ok_and(|text| text.len() > MAX_CONFIG) {
            errors.push(plain("config", format!("has more than {MAX_CONFIG} bytes")));
        }
        if !self.group_by.is_empty() {
            errors.push(plain(
                "group_by",
                "is not for the kind `plugin`: the plugin names its incidents itself",
            ));
        }
        self.check_fields(&mut errors);
        errors.extend(check_texts("labels", &self.labels, true));
        errors.extend(check_texts("annotations", &self.annotations, false));
        let filter = Filter::compile(&self.matches).map_err(|error| errors.push(expression("match", error)));
        // Nothing asks for these two of a rule that a plugin decides.
        let unused = (AggregateSpec::parse("count()"), Condition::compile("value > 0.0"));
        match (filter, unused) {
            (Ok(filter), (Ok(aggregate), Ok(condition))) if errors.is_empty() => Ok(Compiled {
                filter,
                aggregate,
                group_by: Vec::new(),
                condition,
                pattern: None,
                absence: None,
                anomaly: None,
            }),
            _ => Err(errors),
        }
    }

    /// Fields of the kind `plugin` in a rule of another kind.
    pub(super) fn refuse_plugin_fields(&self, errors: &mut Vec<RuleError>) {
        if self.kind != RuleKind::Plugin {
            let fields = [("plugin", self.plugin.is_some()), ("config", !self.config.is_empty())];
            let given = fields.into_iter().filter(|(_, given)| *given);
            errors.extend(given.map(|(field, _)| plain(field, "is only for the kind `plugin`")));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn fields(value: Value) -> Vec<String> {
        let draft: RuleDraft = serde_json::from_value(value).unwrap();
        let errors = draft.compile().err().unwrap_or_default();
        errors.into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn a_plugin_rule_needs_a_plugin_and_no_threshold() {
        let fine =
            json!({"name": "a", "kind": "plugin", "plugin": "hot", "config": {"threshold": 5}, "match": "type == 'x'"});
        assert_eq!(fields(fine), Vec::<String>::new());
        assert_eq!(fields(json!({"name": "a", "kind": "plugin"})), ["plugin"]);
        let wrong = json!({"name": "", "kind": "plugin", "plugin": "hot", "threshold": 1, "group_by": ["source"], "match": "type =="});
        assert_eq!(fields(wrong), ["name", "group_by", "threshold", "match"]);
        assert_eq!(
            fields(json!({"name": "a", "threshold": 1, "plugin": "hot", "config": {"a": 1}})),
            ["plugin", "config"]
        );
        let foreign =
            json!({"name": "a", "kind": "plugin", "plugin": "hot", "window": "1m", "absence": {"silent_for": "5m"}});
        assert_eq!(fields(foreign), ["absence", "window"]);
        let large = json!({"name": "a", "kind": "plugin", "plugin": "hot", "config": {"a": "x".repeat(MAX_CONFIG)}});
        assert_eq!(fields(large), ["config"]);
    }

    #[test]
    fn it_has_no_plan_to_explain() {
        let draft: RuleDraft = serde_json::from_value(json!({"name": "a", "kind": "plugin", "plugin": "hot"})).unwrap();
        assert_eq!(draft.explain().unwrap_err()[0].field, "kind");
        assert_eq!(draft.reach(), crate::Span::ZERO);
    }

    #[test]
    fn rules_of_other_kinds_do_not_show_the_fields() {
        let draft: RuleDraft = serde_json::from_value(json!({"name": "a"})).unwrap();
        let shown = serde_json::to_value(draft).unwrap();
        assert!(shown.get("plugin").is_none() && shown.get("config").is_none());
    }
}
