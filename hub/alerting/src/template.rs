//! Templates of messages: what users write in place of the hub's own words. Sandboxed: no files, no includes, a bounded number of
//! steps, a bounded text.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;
use streamflow_model::{AlertState, Channel, Instant, Level, RuleError};
use streamflow_plugin_host::Notice;

use crate::{link::PLACE, matchers::wrong};

/// Steps that one template may take.
const FUEL: u64 = 50_000;
/// Blocks inside each other.
const DEEPEST: usize = 32;
/// Bytes of a template.
const LONGEST_TEMPLATE: usize = 16 * 1024;
/// Bytes of a title, and of a text.
const LONGEST: (usize, usize) = (1024, 64 * 1024);

/// What a template sees.
#[derive(Debug, Serialize)]
struct View<'a> {
    state: &'a str,
    level: &'a str,
    rule: &'a str,
    title: &'a str,
    body: &'a str,
    value: Option<f64>,
    labels: &'a BTreeMap<String, String>,
    group_labels: &'a BTreeMap<String, String>,
    annotations: &'a BTreeMap<String, String>,
    starts_at: String,
    ends_at: Option<String>,
    at: String,
    url: &'a str,
    external_url: &'a str,
    channel: &'a str,
    acknowledge_url: &'a str,
    test: bool,
}

/// Writes a notice in the channel's words. What fails stays in the hub's own, and the failure is answered.
pub(crate) fn word(notice: &mut Notice, channel: &Channel) -> Result<(), String> {
    let templates = [
        ("title_template", &channel.title_template, LONGEST.0),
        ("body_template", &channel.body_template, LONGEST.1),
    ];
    if templates.iter().all(|(_, template, _)| template.is_none()) {
        return Ok(());
    }
    let mut made = [None, None];
    let mut failure = Ok(());
    for ((field, template, longest), made) in templates.into_iter().zip(&mut made) {
        let Some(template) = template else { continue };
        match render(template, notice, &channel.name, longest) {
            Ok(text) => *made = Some(text),
            Err(reason) => failure = Err(format!("{field}: {reason}")),
        }
    }
    let [title, body] = made;
    if let Some(title) = title {
        // One line: receivers put it into headers and subjects.
        notice.title = title.split_whitespace().collect::<Vec<_>>().join(" ");
    }
    if let Some(body) = body {
        notice.body = body;
    }
    failure
}

/// Tries a channel's templates on samples of everything that can be told.
pub(crate) fn check(channel: &Channel) -> Vec<RuleError> {
    let mut errors = Vec::new();
    let templates = [
        ("title_template", &channel.title_template, LONGEST.0),
        ("body_template", &channel.body_template, LONGEST.1),
    ];
    for (field, template, longest) in templates {
        let Some(template) = template else { continue };
        if template.len() > LONGEST_TEMPLATE {
            errors.push(wrong(field, format!("must have at most {LONGEST_TEMPLATE} bytes")));
            continue;
        }
        let tried = samples()
            .iter()
            .find_map(|notice| render(template, notice, &channel.name, longest).err());
        errors.extend(tried.map(|reason| wrong(field, reason)));
    }
    errors
}

fn render(template: &str, notice: &Notice, channel: &str, longest: usize) -> Result<String, String> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(DEEPEST);
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    let time = |ms: i64| Instant(ms).to_string();
    let view = View {
        state: notice.state.name(),
        level: notice.level.name(),
        rule: &notice.rule,
        title: &notice.title,
        body: &notice.body,
        value: notice.value,
        labels: &notice.labels,
        group_labels: &notice.group_labels,
        annotations: &notice.annotations,
        starts_at: time(notice.starts_at_ms),
        ends_at: notice.ends_at_ms.map(time),
        at: time(notice.at_ms),
        url: &notice.url,
        external_url: &notice.external_url,
        channel,
        acknowledge_url: if notice.state == AlertState::Firing { PLACE } else { "" },
        test: notice.test,
    };
    let mut text = Bounded {
        text: Vec::new(),
        longest,
    };
    let compiled = environment.template_from_str(template).map_err(|error| words(&error))?;
    let rendered = compiled.render_captured_to(&view, &mut text).map(drop);
    if text.text.len() > longest {
        return Err(format!("makes a text of more than {longest} bytes"));
    }
    rendered.map_err(|error| words(&error))?;
    String::from_utf8(text.text).map_err(|error| error.to_string())
}

/// A text that refuses to grow too long.
struct Bounded {
    text: Vec<u8>,
    longest: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        if self.text.len() > self.longest {
            return Err(io::Error::other("too long"));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn words(error: &minijinja::Error) -> String {
    let place = error.line().map_or_else(String::new, |line| format!(" in line {line}"));
    match error.detail() {
        Some(detail) => format!("{}: {detail}{place}", error.kind()),
        None => format!("{}{place}", error.kind()),
    }
}

/// An alert that fires, one that is over, and a group.
fn samples() -> [Notice; 3] {
    let labels = [
        ("alertname", "api error rate"),
        ("level", "critical"),
        ("source", "web-1"),
    ];
    let labels: BTreeMap<String, String> = labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let firing = Notice {
        id: "019b76da-a800-7000-8000-000000000001".to_owned(),
        rule_id: "019b76da-a800-7000-8000-000000000002".to_owned(),
        rule: "api error rate".to_owned(),
        key: "019b76da-a800-7000-8000-000000000002{source=web-1}".to_owned(),
        state: AlertState::Firing,
        level: Level::Critical,
        title: "api error rate: 57 > 50 for source=web-1".to_owned(),
        body: "count() over 5m is 57, and the condition `value > threshold` holds.".to_owned(),
        at_ms: 1_767_323_045_678,
        starts_at_ms: 1_767_323_045_678,
        ends_at_ms: None,
        value: Some(57.0),
        group_labels: BTreeMap::from([("source".to_owned(), "web-1".to_owned())]),
        labels,
        annotations: BTreeMap::new(),
        idempotency_key: "sample".to_owned(),
        external_url: "https://hub.example.org".to_owned(),
        url: "https://hub.example.org/alerts/019b76da-a800-7000-8000-000000000001".to_owned(),
        test: false,
        members: Vec::new(),
        omitted: 0,
    };
    let over = Notice {
        state: AlertState::Resolved,
        ends_at_ms: Some(1_767_323_105_678),
        ..firing.clone()
    };
    let group = Notice {
        title: "2 firing: alertname=api error rate".to_owned(),
        value: None,
        ..firing.clone()
    };
    [firing, over, group]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn channel(title: Option<&str>, body: Option<&str>) -> Channel {
        Channel {
            title_template: title.map(str::to_owned),
            body_template: body.map(str::to_owned),
            ..sample::channel("ops")
        }
    }

    #[test]
    fn words_are_the_channels_own() {
        let [mut notice, ..] = samples();
        let title = "[{{ level|upper }}]\n{{ rule }} on {{ labels.source }}: {% if value is not none %}{{ value|round }}{% endif %}";
        let body =
            "{% for name, text in labels|items %}{{ name }}={{ text }} {% endfor %}{{ annotations.runbook.none }}";
        let channel = channel(Some(title), Some(body));
        assert_eq!(check(&channel), Vec::new());
        word(&mut notice, &channel).unwrap();
        assert_eq!(notice.title, "[CRITICAL] api error rate on web-1: 57.0", "one line");
        assert_eq!(notice.body, "alertname=api error rate level=critical source=web-1 ");
    }

    #[test]
    fn a_template_that_fails_leaves_the_hubs_own_words() {
        let [mut notice, ..] = samples();
        let before = notice.clone();
        let channel = channel(Some("{{ labels.source|nothing }}"), Some("fine"));
        let reason = word(&mut notice, &channel).unwrap_err();
        assert!(reason.contains("title_template"), "{reason}");
        assert_eq!((notice.title, notice.body.as_str()), (before.title, "fine"));
    }

    #[test]
    fn templates_are_bounded_and_reach_nothing() {
        for (template, reason) in [
            (
                "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
                "fuel",
            ),
            ("{{ 'x' * 70000 }}", "more than 65536 bytes"),
            ("{% include '/etc/passwd' %}", "syntax"),
            ("{{ value ", "line 1"),
            ("{{ nothing() }}", "unknown function"),
        ] {
            let errors = check(&channel(None, Some(template)));
            assert_eq!(errors[0].field, "body_template");
            assert!(errors[0].reason.contains(reason), "{template}: {}", errors[0].reason);
        }
    }
}
