//! `streamflow-hub rule …`.

mod paging;

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use reqwest::Method;
use serde_json::{Value, json};
use streamflow_model::{Instant, Role, Rule, RuleDraft, RuleExplanation, RuleKind, Span, WindowSpec};

use super::{Failed, UsageError, print, remote::Remote, rule_file, rule_test};
use crate::{
    cli::{Common, Output, RuleCommand, Target},
    past,
};

/// Rules in one page of the API.
const PAGE: usize = 1000;

/// Runs one of the subcommands.
///
/// # Errors
/// When a file is wrong, the hub refuses, or a test fails.
pub async fn run(command: RuleCommand) -> anyhow::Result<()> {
    match command {
        RuleCommand::List { common, target } => list(&common, &target).await,
        RuleCommand::Check { output, files } => check(output, &files),
        RuleCommand::Explain { common, target, rule } => explain(&common, &target, &rule).await,
        RuleCommand::Backtest {
            common,
            target,
            rule,
            all: _,
            paging,
            acknowledge_after,
            from,
            to,
            plugin_version,
        } => {
            let paging = Asked {
                paging: paging || acknowledge_after.is_some(),
                acknowledge_after,
            };
            match rule {
                Some(rule) => {
                    let version = plugin_version.as_deref();
                    backtest(&common, &target, &rule, (&from, &to), version, paging).await
                }
                None => paging::all(&common, &target, (&from, &to), acknowledge_after).await,
            }
        }
        RuleCommand::Test { output, files } => test(output, &files),
    }
}

async fn list(common: &Common, target: &Target) -> anyhow::Result<()> {
    let hub = Remote::connect(common, target, Role::Viewer).await?;
    let rules = rules(&hub).await?;
    hub.close().await;
    let rows: Vec<Vec<String>> = rules
        .iter()
        .map(|rule| {
            let draft = &rule.draft;
            vec![
                rule.id.clone(),
                if draft.enabled { "on" } else { "off" }.to_owned(),
                draft.level.name().to_owned(),
                what(draft),
                plain(&draft.name),
            ]
        })
        .collect();
    let text = if rows.is_empty() {
        "no rules".to_owned()
    } else {
        print::table(&["ID", "STATE", "LEVEL", "WHAT", "NAME"], &rows)
    };
    print::done(common.output, &text, &serde_json::to_value(&rules)?)
}

async fn rules(hub: &Remote) -> anyhow::Result<Vec<Rule>> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/v1/rules?limit={PAGE}&cursor={cursor}");
        let page = hub.ask(Method::GET, &path, None).await?;
        all.extend(serde_json::from_value::<Vec<Rule>>(page["data"].clone())?);
        match page["pagination"]["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => return Ok(all),
        }
    }
}

fn check(output: Output, files: &[PathBuf]) -> anyhow::Result<()> {
    let (mut fine, mut mistakes) = (0, Vec::new());
    for file in files {
        match rule_file::read(file) {
            Ok(rules) => fine += rules.len(),
            Err(wrong) => mistakes.extend(wrong),
        }
    }
    let json = json!({"ok": mistakes.is_empty(), "rules": fine, "mistakes": mistakes});
    if mistakes.is_empty() {
        let noun = if fine == 1 { "rule is" } else { "rules are" };
        return print::done(output, &format!("{fine} {noun} fine"), &json);
    }
    if output == Output::Json {
        print::done(output, "", &json)?;
    }
    let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    Err(UsageError(lines.join("\n")).into())
}

async fn explain(common: &Common, target: &Target, rule: &str) -> anyhow::Result<()> {
    let explained = match from_file(rule)? {
        Some(drafts) => drafts
            .iter()
            .map(RuleDraft::explain)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|errors| UsageError(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))?,
        None => {
            let hub = Remote::connect(common, target, Role::Viewer).await?;
            let id = id_of(&hub, rule).await?;
            let path = format!("/api/v1/rules/{id}/explain");
            let answer = hub.ask(Method::GET, &path, None).await?;
            hub.close().await;
            vec![serde_json::from_value(answer["data"].clone())?]
        }
    };
    let text: Vec<String> = explained.iter().map(explained_text).collect();
    print::done(common.output, &text.join("\n\n"), &serde_json::to_value(&explained)?)
}

fn explained_text(rule: &RuleExplanation) -> String {
    let mut lines = vec![plain(&rule.name), format!("  match      {}", rule.plan)];
    for one in &rule.predicates {
        let how = match &one.reason {
            Some(reason) => format!("interpreter: {reason}"),
            None => one.by.clone(),
        };
        let skip = one
            .skips_by
            .as_ref()
            .map_or_else(String::new, |by| format!(", skips chunks by {by}"));
        lines.push(format!("             {}   [{how}{skip}]", plain(&one.predicate)));
    }
    if let Some(types) = &rule.types {
        lines.push(format!("  types      {}", plain(&types.join(", "))));
    }
    lines.push(format!("  reads      {}", plain(&rule.reads.join(", "))));
    if !rule.aggregate.is_empty() {
        lines.push(format!("  aggregate  {}", plain(&rule.aggregate)));
    }
    if !rule.group_by.is_empty() {
        lines.push(format!("  group by   {}", plain(&rule.group_by.join(", "))));
    }
    if !rule.condition.is_empty() {
        lines.push(format!("  condition  {}", plain(&rule.condition)));
    }
    lines.push(format!("  judged     {}: {}", rule.judged, rule.because));
    lines.join("\n")
}

async fn backtest(
    common: &Common,
    target: &Target,
    rule: &str,
    (from, to): (&str, &str),
    plugin_version: Option<&str>,
    paging: Asked,
) -> anyhow::Result<()> {
    let now = Instant::now();
    let (from, to) = (time("--from", from, now)?, time("--to", to, now)?);
    let drafts = from_file(rule)?;
    let hub = Remote::connect(common, target, Role::Viewer).await?;
    let asked: Vec<(String, String, Value)> = match drafts {
        Some(drafts) => drafts
            .iter()
            .map(|draft| {
                let version = plugin_version.filter(|_| draft.kind == RuleKind::Plugin);
                let body = json!({"rule": draft, "from": from, "to": to, "version": version});
                let body = paging.put_in(body);
                (draft.name.clone(), "/api/v1/rules/backtest".to_owned(), body)
            })
            .collect(),
        None => {
            let path = format!("/api/v1/rules/{}/backtest", id_of(&hub, rule).await?);
            let body = json!({"from": from, "to": to, "version": plugin_version});
            vec![(rule.to_owned(), path, paging.put_in(body))]
        }
    };
    let mut reports = Vec::new();
    for (name, path, body) in asked {
        let mut report = hub.lines(&path, &body, |line| progress(common.output, line)).await?;
        if let Some(fields) = report.as_object_mut() {
            fields.remove("type");
            fields.insert("rule".to_owned(), Value::from(name));
        }
        reports.push(report);
    }
    hub.close().await;
    let text: Vec<String> = reports.iter().map(report_text).collect();
    let json = match reports.as_slice() {
        [only] => only.clone(),
        _ => Value::from(reports.clone()),
    };
    print::done(common.output, &text.join("\n\n"), &json)
}

/// Whether it is asked, too, who would have been told.
#[derive(Clone, Copy)]
struct Asked {
    paging: bool,
    acknowledge_after: Option<Span>,
}

impl Asked {
    fn put_in(self, mut body: Value) -> Value {
        body["paging"] = json!(self.paging);
        body["acknowledge_after"] = json!(self.acknowledge_after);
        body
    }
}

/// Shows on a terminal how far it is.
fn progress(output: Output, line: &Value) -> ControlFlow<()> {
    use std::io::{IsTerminal, Write};
    let mut err = std::io::stderr();
    if output == Output::Text && err.is_terminal() {
        let share = line["progress"].as_f64().unwrap_or_default() * 100.0;
        let until = line["until"].as_str().unwrap_or_default();
        let written = write!(err, "\r{share:3.0} %  {}\x1b[K", plain(until)).and_then(|()| err.flush());
        if written.is_err() {
            return ControlFlow::Continue(());
        }
        if share >= 100.0 {
            drop(write!(err, "\r\x1b[K"));
        }
    }
    ControlFlow::Continue(())
}

fn report_text(report: &Value) -> String {
    let text = |value: &Value| plain(value.as_str().unwrap_or_default());
    let firings = report["data"].as_array().map(Vec::as_slice).unwrap_or_default();
    let rows: Vec<Vec<String>> = firings
        .iter()
        .map(|firing| {
            let labels = firing["labels"].as_object().into_iter().flatten();
            let labels: Vec<String> = labels
                .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
                .collect();
            let end = firing["resolved_at"].as_str().unwrap_or("still firing");
            vec![
                text(&firing["at"]),
                plain(&labels.join(", ")),
                firing["value"].to_string(),
                plain(end),
            ]
        })
        .collect();
    // Who would have been told is counted below when it was asked.
    let told = if report["paging"].is_object() {
        String::new()
    } else {
        format!(", with {}", counted(&report["notifications"], "notification"))
    };
    let mut lines = vec![format!(
        "{}: would have fired {}{told}, between {} and {}",
        text(&report["rule"]),
        counted(&report["fired"], "time"),
        text(&report["from"]),
        text(&report["to"]),
    )];
    if !rows.is_empty() {
        lines.push(print::table(&["AT", "GROUP", "VALUE", "RESOLVED"], &rows));
    }
    if report["paging"].is_object() {
        lines.push(paging::text(&report["paging"]));
    }
    let notes = report["notes"].as_array().into_iter().flatten();
    lines.extend(notes.map(|note| format!("note: {}", text(note))));
    lines.push(format!(
        "{} events in {} chunks read, {} chunks skipped, {} ms",
        report["scanned"]["events"], report["scanned"]["chunks"], report["skipped"], report["took_ms"]
    ));
    lines.join("\n")
}

fn test(output: Output, files: &[PathBuf]) -> anyhow::Result<()> {
    let options = past::Options {
        analytics: streamflow_analytics::Options::default(),
        alerting: streamflow_alerting::Options::default(),
    };
    let mut verdicts = Vec::new();
    for file in files {
        verdicts.extend(rule_test::run(file, &options)?);
    }
    let failed = verdicts.iter().filter(|verdict| !verdict.passed).count();
    let json = json!({"passed": verdicts.len() - failed, "failed": failed, "tests": verdicts});
    print::done(output, &rule_test::text(&verdicts), &json)?;
    if failed > 0 {
        let noun = if failed == 1 { "test" } else { "tests" };
        return Err(Failed(format!("{failed} {noun} failed")).into());
    }
    Ok(())
}

/// The rules of a file, when the argument names one.
fn from_file(rule: &str) -> anyhow::Result<Option<Vec<RuleDraft>>> {
    let path = Path::new(rule);
    let looks_like_one = path.extension().is_some() || rule.contains('/');
    if !path.exists() && !looks_like_one {
        return Ok(None);
    }
    rule_file::read(path).map(Some).map_err(|mistakes| {
        let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        UsageError(lines.join("\n")).into()
    })
}

/// The id of a rule that is named by its id or its name.
async fn id_of(hub: &Remote, rule: &str) -> anyhow::Result<String> {
    let all = rules(hub).await?;
    let found = all.iter().find(|one| one.id == rule || one.draft.name == rule);
    let found = found.map(|one| one.id.clone());
    found.ok_or_else(|| {
        UsageError(format!(
            "`{rule}` is neither a file nor a rule of the hub; `streamflow-hub rule list` shows them"
        ))
        .into()
    })
}

/// A time, or how long ago.
fn time(argument: &str, text: &str, now: Instant) -> Result<Instant, UsageError> {
    if text == "now" {
        return Ok(now);
    }
    let ago = |span: Span| Instant(now.0.saturating_sub(span.ms()));
    Instant::parse(text)
        .or_else(|| text.parse::<Span>().ok().map(ago))
        .ok_or_else(|| {
            UsageError(format!(
                "{argument}: `{text}` is no time; write 2026-01-02T03:04:05Z, ms since 1970, or how long ago, such as 24h"
            ))
        })
}

fn what(draft: &RuleDraft) -> String {
    match (&draft.plugin, &draft.pattern, &draft.absence) {
        (Some(plugin), _, _) => format!("plugin {}", plain(plugin)),
        (_, Some(pattern), _) => {
            let steps: Vec<&str> = pattern.steps.iter().map(|step| step.name.as_str()).collect();
            format!("{} within {}", plain(&steps.join(", ")), pattern.within)
        }
        (_, _, Some(absence)) => format!("nothing for {}", absence.silent_for),
        _ if draft.kind == RuleKind::Anomaly => format!("odd {} over {}", draft.aggregate, window(draft)),
        _ => format!("{} over {}", draft.aggregate, window(draft)),
    }
}

/// A count with its noun.
fn counted(count: &Value, noun: &str) -> String {
    let plural = if count.as_u64() == Some(1) { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

fn window(draft: &RuleDraft) -> String {
    match &draft.window {
        WindowSpec::Tumbling(size) => size.to_string(),
        WindowSpec::Sliding { size, slide } => format!("{size} every {slide}"),
        WindowSpec::Session { session_gap, .. } => format!("sessions with pauses under {session_gap}"),
    }
}

/// What came over the network must not steer the terminal.
fn plain(text: &str) -> String {
    text.replace(char::is_control, " ")
}
