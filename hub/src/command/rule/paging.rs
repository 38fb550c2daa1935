//! `streamflow-hub rule backtest --all`, and how the answer to a backtest of paging is shown.

use serde_json::{Value, json};
use streamflow_model::{Instant, Role, Span};

use super::{counted, plain, progress, time};
use crate::{
    cli::{Common, Target},
    command::{print, remote::Remote},
};

/// Notifications that are shown one by one.
const SHOWN: usize = 20;

/// What the alerts of all enabled rules would have meant.
///
/// # Errors
/// When a time is wrong, or the hub refuses.
pub(super) async fn all(
    common: &Common,
    target: &Target,
    (from, to): (&str, &str),
    acknowledge_after: Option<Span>,
) -> anyhow::Result<()> {
    let now = Instant::now();
    let (from, to) = (time("--from", from, now)?, time("--to", to, now)?);
    let hub = Remote::connect(common, target, Role::Viewer).await?;
    let body = json!({"from": from, "to": to, "acknowledge_after": acknowledge_after});
    let mut report = hub
        .lines("/api/v1/paging/backtest", &body, |line| progress(common.output, line))
        .await?;
    hub.close().await;
    if let Some(fields) = report.as_object_mut() {
        fields.remove("type");
    }
    let count = report["rules"].as_array().map_or(0, Vec::len);
    let noun = if count == 1 { "rule" } else { "rules" };
    let mut lines = vec![
        format!(
            "{count} {noun} between {} and {}",
            string(&report["from"]),
            string(&report["to"])
        ),
        text(&report["paging"]),
    ];
    let notes = report["notes"].as_array().into_iter().flatten();
    lines.extend(notes.map(|note| format!("note: {}", string(note))));
    lines.push(format!(
        "{} events in {} chunks read, {} ms",
        report["scanned"]["events"], report["scanned"]["chunks"], report["took_ms"]
    ));
    print::done(common.output, &lines.join("\n"), &report)
}

/// Who would have been told, and what was held back.
pub(super) fn text(paging: &Value) -> String {
    let list = |key: &str| paging[key].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut lines = vec![format!(
        "{} would have fired, and {} would have been sent",
        counted(&paging["fired"], "alert"),
        counted(&paging["notifications"], "notification")
    )];
    if paging["acknowledged"].as_u64().is_some_and(|count| count > 0) {
        lines.push(format!(
            "{} acknowledged as supposed",
            counted(&paging["acknowledged"], "alert")
        ));
    }
    let who: Vec<Vec<String>> = list("who")
        .iter()
        .map(|one| {
            let causes = one["causes"].as_object().into_iter().flatten();
            let causes: Vec<String> = causes.map(|(cause, count)| format!("{count} {cause}")).collect();
            vec![
                string(&one["channel"]),
                person(one),
                one["notifications"].to_string(),
                causes.join(", "),
                hours(&one["by_hour"]),
                string(&one["last_at"]),
            ]
        })
        .collect();
    if !who.is_empty() {
        lines.push(print::table(
            &["CHANNEL", "ON CALL", "TOLD", "WHY", "MOST AT (UTC)", "LAST"],
            &who,
        ));
    }
    let held: Vec<Vec<String>> = list("held")
        .iter()
        .map(|held| {
            let name = held["comment"]
                .as_str()
                .filter(|comment| !comment.is_empty())
                .map_or_else(|| string(&held["name"]), plain);
            let longest = held["longest_ms"].as_i64().filter(|ms| *ms > 0);
            vec![
                string(&held["gate"]),
                name,
                held["count"].to_string(),
                held["told_later"].to_string(),
                longest.map_or_else(String::new, |ms| Span::from_ms(ms).to_string()),
            ]
        })
        .collect();
    if !held.is_empty() {
        lines.push(print::table(
            &["HELD BACK BY", "WHICH", "COUNT", "TOLD LATER", "LONGEST WAIT"],
            &held,
        ));
    }
    let pages = list("pages");
    let rows: Vec<Vec<String>> = pages
        .iter()
        .take(SHOWN)
        .map(|page| {
            vec![
                string(&page["at"]),
                string(&page["channel"]),
                person(page),
                string(&page["cause"]),
                page["alerts"].to_string(),
                string(&page["title"]),
            ]
        })
        .collect();
    if !rows.is_empty() {
        lines.push(print::table(
            &["AT", "CHANNEL", "ON CALL", "WHY", "ALERTS", "TITLE"],
            &rows,
        ));
    }
    if pages.len() > SHOWN {
        lines.push(format!("… and {} more; --output json lists them", pages.len() - SHOWN));
    }
    lines.join("\n")
}

fn string(value: &Value) -> String {
    plain(value.as_str().unwrap_or_default())
}

fn person(one: &Value) -> String {
    match (one["schedule"].as_str(), one["person"].as_str()) {
        (Some(schedule), Some(person)) => plain(&format!("{person} ({schedule})")),
        (Some(schedule), None) => plain(&format!("everybody ({schedule})")),
        (None, _) => String::new(),
    }
}

/// The hour with most notifications.
fn hours(by_hour: &Value) -> String {
    let counts = by_hour.as_array().into_iter().flatten().map(Value::as_u64);
    let most = counts
        .enumerate()
        .max_by_key(|(hour, count)| (*count, std::cmp::Reverse(*hour)));
    most.map_or_else(String::new, |(hour, _)| format!("{hour:02}:00"))
}
