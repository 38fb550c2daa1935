//! Groups of alerting rules as Prometheus has them. Their expressions are evaluated by the hub's own PromQL; what it does not
//! know is refused by name.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use streamflow_dashboard::PromQl;
use streamflow_model::Span;

/// How often a group that does not say is evaluated.
const INTERVAL: Span = Span::from_secs(60);
/// Groups, and rules of one.
const MOST: usize = 1000;

/// Rules that are evaluated together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// How often it is evaluated.
    pub interval: Span,
    /// Its rules.
    pub rules: Vec<PromRule>,
}

/// One alerting rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PromRule {
    /// Name of its alerts.
    pub alert: String,
    /// PromQL; every series of the result is an alert.
    pub expr: String,
    /// How long a series must be there before its alert fires.
    pub hold: Span,
    /// How long the alert goes on after its series has gone.
    pub keep_firing_for: Span,
    /// Further labels; they may name the series' labels and value.
    pub labels: BTreeMap<String, String>,
    /// Texts; they may name the series' labels and value.
    pub annotations: BTreeMap<String, String>,
}

/// Something wrong with a group.
#[derive(Debug)]
pub struct Wrong {
    /// The group, and the rule.
    pub rule: String,
    /// The key.
    pub field: String,
    /// What is wrong.
    pub reason: String,
    /// Text of the file near it.
    pub looks_like: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGroup {
    name: String,
    #[serde(default)]
    interval: Option<String>,
    #[serde(default)]
    rules: Vec<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    #[serde(default)]
    alert: Option<String>,
    #[serde(default)]
    record: Option<String>,
    expr: Text,
    #[serde(default, rename = "for")]
    hold: Option<String>,
    #[serde(default)]
    keep_firing_for: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, Text>,
    #[serde(default)]
    annotations: BTreeMap<String, Text>,
}

/// YAML reads `severity: 1` as a number.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Text {
    Plain(String),
    Number(serde_json::Number),
    Bool(bool),
}

impl Text {
    fn into_text(self) -> String {
        match self {
            Self::Plain(text) => text,
            Self::Number(number) => number.to_string(),
            Self::Bool(is) => is.to_string(),
        }
    }
}

/// The groups, and everything that is wrong with them.
pub fn groups(raw: Vec<Value>) -> (Vec<Group>, Vec<Wrong>) {
    let (mut groups, mut wrong) = (Vec::<Group>::new(), Vec::new());
    for (nth, value) in raw.into_iter().take(MOST).enumerate() {
        let group = match serde_json::from_value::<RawGroup>(value) {
            Ok(group) => group,
            Err(error) => {
                wrong.push(Wrong {
                    rule: format!("group {}", nth + 1),
                    field: "groups".to_owned(),
                    reason: error.to_string(),
                    looks_like: "groups".to_owned(),
                });
                continue;
            }
        };
        let mut told = |rule: &str, field: &str, reason: String, looks_like: &str| {
            wrong.push(Wrong {
                rule: rule.to_owned(),
                field: field.to_owned(),
                reason,
                looks_like: looks_like.to_owned(),
            });
        };
        if groups.iter().any(|other| other.name == group.name) {
            told(
                &group.name,
                "name",
                "there is another group of this name in the file".to_owned(),
                &group.name,
            );
        }
        let interval = match group.interval.as_deref().map(duration) {
            None => INTERVAL,
            Some(Ok(interval)) if interval >= Span::from_secs(1) => interval,
            Some(Ok(_)) => {
                told(&group.name, "interval", "must be 1s at least".to_owned(), "interval");
                INTERVAL
            }
            Some(Err(reason)) => {
                told(&group.name, "interval", reason, "interval");
                INTERVAL
            }
        };
        let mut rules = Vec::new();
        for (nth, value) in group.rules.into_iter().take(MOST).enumerate() {
            let place = format!("{}: rule {}", group.name, nth + 1);
            match serde_json::from_value::<RawRule>(value) {
                Ok(raw) => rules.extend(rule(&group.name, raw, &mut told)),
                Err(error) => told(&place, "rules", error.to_string(), &group.name),
            }
        }
        groups.push(Group {
            name: group.name,
            interval,
            rules,
        });
    }
    (groups, wrong)
}

fn rule(group: &str, raw: RawRule, told: &mut impl FnMut(&str, &str, String, &str)) -> Option<PromRule> {
    let expr = raw.expr.into_text();
    if let Some(record) = raw.record {
        let reason = "recording rules are not evaluated; declare a metric (POST /api/v1/metrics) in place of it";
        told(&format!("{group}: {record}"), "record", reason.to_owned(), &record);
        return None;
    }
    let Some(alert) = raw.alert.filter(|name| !name.is_empty()) else {
        told(group, "alert", "is required".to_owned(), &expr);
        return None;
    };
    let place = format!("{group}: {alert}");
    if let Err(reason) = PromQl::check(&expr) {
        told(&place, "expr", reason, &expr);
    }
    let mut length = |field: &str, text: Option<String>| {
        let read = text.as_deref().map_or(Ok(Span::ZERO), duration);
        read.unwrap_or_else(|reason| {
            told(&place, field, reason, text.as_deref().unwrap_or_default());
            Span::ZERO
        })
    };
    let hold = length("for", raw.hold);
    let keep_firing_for = length("keep_firing_for", raw.keep_firing_for);
    let mut texts = |field: &str, texts: BTreeMap<String, Text>| -> BTreeMap<String, String> {
        let texts = texts.into_iter().map(|(name, text)| (name, text.into_text()));
        let texts: BTreeMap<String, String> = texts.collect();
        for (name, text) in &texts {
            if let Err(reason) = fill(text, &BTreeMap::new(), 0.0) {
                told(&place, &format!("{field}.{name}"), reason, text);
            }
        }
        texts
    };
    Some(PromRule {
        labels: texts("labels", raw.labels),
        annotations: texts("annotations", raw.annotations),
        alert,
        expr,
        hold,
        keep_firing_for,
    })
}

/// A text with `{{ $labels.name }}` and `{{ $value }}` filled in.
///
/// # Errors
/// What else stands between the braces: Prometheus' templates can do more.
pub fn fill(text: &str, labels: &BTreeMap<String, String>, value: f64) -> Result<String, String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (inside, next) = after.split_once("}}").ok_or("a template `{{` is not closed")?;
        filled.push_str(before);
        match inside.trim() {
            "$value" | ".Value" => filled.push_str(&value.to_string()),
            other => {
                let name = other
                    .strip_prefix("$labels.")
                    .or_else(|| other.strip_prefix(".Labels."));
                let is_name =
                    |name: &&str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
                let name = name.filter(is_name).ok_or_else(|| {
                    format!("the template `{{{{ {other} }}}}` is not supported; `{{{{ $labels.name }}}}` and `{{{{ $value }}}}` are")
                })?;
                filled.push_str(labels.get(name).map_or("", String::as_str));
            }
        }
        rest = next;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// A length of time as Prometheus writes it: `1h30m`, `1w`, `0`.
fn duration(text: &str) -> Result<Span, String> {
    let wrong = || format!("`{text}` is not a length of time; write for example 30s, 5m or 1h30m");
    if text == "0" {
        return Ok(Span::ZERO);
    }
    let mut rest = text;
    let mut total = 0_i64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, after) = rest.split_at(digits);
        let unit = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, next) = after.split_at(unit);
        let size = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 7 * 86_400_000,
            "y" => 365 * 86_400_000,
            _ => return Err(wrong()),
        };
        let number: i64 = number.parse().map_err(|_| wrong())?;
        total = number
            .checked_mul(size)
            .and_then(|ms| total.checked_add(ms))
            .ok_or_else(wrong)?;
        rest = next;
    }
    if text.is_empty() {
        Err(wrong())
    } else {
        Ok(Span::from_ms(total))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_group_of_prometheus_is_read() {
        let raw = json!([{"name": "web", "interval": "15s", "rules": [
            {"alert": "Slow", "expr": "avg(streamflow_requests) > 3", "for": "1m30s", "labels": {"severity": "page", "tier": 1},
             "annotations": {"summary": "{{ $labels.instance }} is slow: {{ $value }}"}}]}]);
        let (groups, wrong) = groups(raw.as_array().unwrap().clone());
        assert!(wrong.is_empty(), "{wrong:?}");
        let rule = &groups[0].rules[0];
        assert_eq!(
            (groups[0].interval, rule.hold),
            (Span::from_secs(15), Span::from_secs(90))
        );
        assert_eq!(rule.labels["tier"], "1");
        let labels = BTreeMap::from([("instance".to_owned(), "a".to_owned())]);
        assert_eq!(
            fill(&rule.annotations["summary"], &labels, 4.5).unwrap(),
            "a is slow: 4.5"
        );
    }

    #[test]
    fn what_is_not_supported_is_refused_by_name() {
        let raw = json!([{"name": "g", "interval": "0s", "rules": [
            {"record": "a:b", "expr": "a"},
            {"alert": "X", "expr": "predict_lnear(a[1h], 3) >"},
            {"alert": "Y", "expr": "a", "for": "soon", "annotations": {"d": "{{ humanize $value }}", "e": "{{ $x"}},
            {"alert": "Z", "expr": "count_values(\"a\", b)"},
            {"expr": "a", "fro": "1m"}]}]);
        let (_, wrong) = groups(raw.as_array().unwrap().clone());
        let told: Vec<(&str, &str)> = wrong
            .iter()
            .map(|one| (one.rule.as_str(), one.field.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                ("g", "interval"),
                ("g: a:b", "record"),
                ("g: X", "expr"),
                ("g: Y", "for"),
                ("g: Y", "annotations.d"),
                ("g: Y", "annotations.e"),
                ("g: Z", "expr"),
                ("g: rule 5", "rules"),
            ]
        );
        assert!(wrong[6].reason.contains("count_values"), "{wrong:?}");
    }

    #[test]
    fn lengths_of_time_are_those_of_prometheus() {
        for (text, ms) in [
            ("0", 0),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1w", 604_800_000),
            ("10ms", 10),
        ] {
            assert_eq!(duration(text), Ok(Span::from_ms(ms)), "{text}");
        }
        for text in ["", "5", "m", "1x", "-1m", "1 m"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
