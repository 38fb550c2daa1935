//! `streamflow-hub alert …`.

use reqwest::Method;
use serde_json::{Value, json};
use streamflow_model::Role;

use super::{print, remote::Remote};
use crate::cli::{AlertCommand, Common};

/// Alerts listed at most.
const MOST: usize = 1000;

/// Runs one of the subcommands.
///
/// # Errors
/// When the hub cannot be reached, or refuses.
pub async fn run(command: AlertCommand) -> anyhow::Result<()> {
    match command {
        AlertCommand::List { common, target, state } => {
            let hub = Remote::connect(&common, &target, Role::Viewer).await?;
            let filter = state.map_or_else(String::new, |state| format!("&state={state}"));
            let answer = hub
                .ask(Method::GET, &format!("/api/v1/alerts?limit={MOST}{filter}"), None)
                .await;
            hub.close().await;
            let answer = answer?;
            list(&common, &answer["data"])
        }
        AlertCommand::Show { common, target, id } => {
            let hub = Remote::connect(&common, &target, Role::Viewer).await?;
            let answer = hub.ask(Method::GET, &format!("/api/v1/alerts/{id}"), None).await;
            hub.close().await;
            let answer = answer?;
            print::done(common.output, &whole(&answer["data"]), &answer["data"])
        }
        AlertCommand::Ack {
            common,
            target,
            id,
            comment,
        } => {
            let hub = Remote::connect(&common, &target, Role::Editor).await?;
            act(&common, hub, &id, "acknowledge", &comment).await
        }
        drill @ (AlertCommand::Drill { .. } | AlertCommand::Drills { .. }) => super::drill::run(drill).await,
        AlertCommand::Resolve {
            common,
            target,
            id,
            comment,
        } => {
            let hub = Remote::connect(&common, &target, Role::Editor).await?;
            act(&common, hub, &id, "resolve", &comment).await
        }
    }
}

async fn act(common: &Common, hub: Remote, id: &str, what: &str, comment: &str) -> anyhow::Result<()> {
    let body = json!({"comment": comment});
    let answer = hub
        .ask(Method::POST, &format!("/api/v1/alerts/{id}/{what}"), Some(&body))
        .await;
    hub.close().await;
    let answer = answer?;
    let alert = &answer["data"];
    print::done(common.output, &format!("{} {}", text(alert, "state"), id), alert)
}

fn list(common: &Common, alerts: &Value) -> anyhow::Result<()> {
    let rows: Vec<Vec<String>> = alerts
        .as_array()
        .into_iter()
        .flatten()
        .map(|alert| {
            let since = alert["fired_at"].as_str().or(alert["pending_at"].as_str());
            vec![
                text(alert, "id"),
                text(alert, "state"),
                text(alert, "level"),
                since.unwrap_or("").to_owned(),
                text(alert, "title"),
            ]
        })
        .collect();
    let lines = if rows.is_empty() {
        "no alerts".to_owned()
    } else {
        print::table(&["ID", "STATE", "LEVEL", "SINCE", "TITLE"], &rows)
    };
    print::done(common.output, &lines, alerts)
}

fn whole(alert: &Value) -> String {
    let mut lines = vec![
        text(alert, "title"),
        format!("{}, level {}", text(alert, "state"), text(alert, "level")),
    ];
    if alert["flapping"] == true {
        lines.push("flapping".to_owned());
    }
    lines.extend(text(alert, "message").lines().map(str::to_owned));
    let labels = alert["labels"].as_object().into_iter().flatten();
    let labels: Vec<String> = labels
        .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or("")))
        .collect();
    lines.push(format!("labels: {}", labels.join(", ")));
    lines.push(String::new());
    let timeline = alert["timeline"].as_array().into_iter().flatten();
    let rows: Vec<Vec<String>> = timeline
        .map(|entry| {
            ["at", "what", "by", "detail"]
                .iter()
                .map(|key| text(entry, key))
                .collect()
        })
        .collect();
    lines.push(print::table(&["AT", "WHAT", "BY", "DETAIL"], &rows));
    // What came over the network must not steer the terminal.
    lines.join("\n").replace(|c: char| c.is_control() && c != '\n', " ")
}

fn text(value: &Value, key: &str) -> String {
    let text = value[key].as_str().unwrap_or("");
    text.replace(|c: char| c.is_control() && (c != '\n' || key != "message"), " ")
}
