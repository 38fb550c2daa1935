//! What a shadow run has shown, for people.

use serde_json::Value;

use super::{super::print, field};

/// Versions, costs and differences side by side.
pub(super) fn describe(found: &Value) -> String {
    let number = |value: &Value| {
        value
            .as_u64()
            .map_or_else(|| "-".to_owned(), |number| number.to_string())
    };
    let side = |name: &str, version: &str| -> Vec<String> {
        let cost = &found[name];
        vec![
            version.to_owned(),
            number(&cost["cpu_ns_per_event"]),
            number(&cost["memory_bytes"]),
            number(&cost["errors"]),
            number(&cost["traps"]),
        ]
    };
    let rows = [
        side("active", field(found, "active_version")),
        side("shadow", &format!("{} (shadow)", field(found, "version"))),
    ];
    let verdicts = &found["verdicts"];
    let mut text = format!(
        "\nshadow {} since {}, {}: {} events in {} calls, {} calls not compared\n{}\nverdicts: {} the same, {} changed, {} only of the active version, {} only of the shadow\n",
        field(found, "version"),
        field(found, "since"),
        field(found, "state"),
        number(&found["events"]),
        number(&found["calls"]),
        number(&found["passed_over_calls"]),
        print::table(&["VERSION", "NS/EVENT", "MEMORY", "ERRORS", "TRAPS"], &rows),
        number(&verdicts["same"]),
        number(&verdicts["changed"]),
        number(&verdicts["only_active"]),
        number(&verdicts["only_shadow"]),
    );
    if let Some(reason) = found["reason"].as_str() {
        text.push_str(&format!("it follows no more: {reason}\n"));
    }
    for example in found["examples"].as_array().into_iter().flatten() {
        text.push_str(&format!(
            "{} {} rule {}: active {}, shadow {}\n",
            field(example, "at"),
            field(example, "kind"),
            field(example, "rule"),
            verdict(&example["active"]),
            verdict(&example["shadow"]),
        ));
    }
    text
}

fn verdict(verdict: &Value) -> String {
    if verdict.is_null() {
        return "says nothing".to_owned();
    }
    let state = if verdict["resolved"] == true {
        "resolved"
    } else {
        "firing"
    };
    format!(
        "{state} {}: {} ({})",
        field(verdict, "key"),
        field(verdict, "title"),
        verdict["value"]
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_stand_side_by_side() {
        let cost = |ns: u64| json!({"cpu_ns_per_event": ns, "memory_bytes": 10, "errors": 0, "traps": 0});
        let found = json!({
            "version": "2.0.0", "active_version": "1.0.0", "since": "s", "state": "running", "reason": null, "events": 5, "calls": 1, "passed_over_calls": 0,
            "active": cost(40), "shadow": cost(60), "verdicts": {"same": 1, "changed": 0, "only_active": 1, "only_shadow": 0},
            "examples": [{"kind": "only_active", "rule": "r", "at": "t", "active": {"key": "k", "resolved": false, "title": "hot", "value": 7.0}, "shadow": null}],
        });
        let text = describe(&found);
        for words in [
            "2.0.0 (shadow)",
            "40",
            "60",
            "1 only of the active version",
            "active firing k: hot (7.0), shadow says nothing",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }
}
