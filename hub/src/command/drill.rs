//! `streamflow-hub alert drill` and `alert drills`.

use std::{collections::BTreeMap, io::Write as _, time::Duration};

use anyhow::Context;
use reqwest::Method;
use serde_json::{Map, Value, json};
use streamflow_model::{Drill, DrillRequest, DrillState, HopName, Level, Role};

use super::{Failed, UsageError, print, remote::Remote};
use crate::cli::{AlertCommand, Common, Output, Target};

/// Between two looks at a drill that is waited for.
const LOOK: Duration = Duration::from_millis(500);
/// Looks with one token, which the command may have made for a minute.
const LOOKS: u32 = 60;
/// Drills listed.
const LISTED: usize = 100;

/// Runs one of the two subcommands.
///
/// # Errors
/// When the hub cannot be reached or refuses, or the drill that was waited for failed.
pub async fn run(command: AlertCommand) -> anyhow::Result<()> {
    match command {
        AlertCommand::Drills { common, target } => {
            let hub = Remote::connect(&common, &target, Role::Viewer).await?;
            let answer = hub
                .ask(Method::GET, &format!("/api/v1/drills?limit={LISTED}"), None)
                .await;
            hub.close().await;
            list(&common, &answer?["data"])
        }
        AlertCommand::Drill {
            common,
            target,
            what,
            agent,
            from_hub,
            channels,
            page,
            level,
            no_ack,
            deadline,
            acknowledge_within,
            event,
            wait,
        } => {
            let (rule, route) = match labels(&what) {
                Some(labels) => (None, Some(labels)),
                None => (Some(what), None),
            };
            let request = DrillRequest {
                rule,
                route,
                level: level.and_then(|level| serde_json::from_value::<Level>(json!(level)).ok()),
                agent,
                from_hub,
                channels: (!channels.is_empty()).then_some(channels),
                page,
                acknowledge: no_ack.then_some(false),
                deadline,
                acknowledge_within,
                event: event.as_deref().map(fields).transpose()?,
            };
            let drill = begin(&common, &target, &request).await?;
            if !wait {
                let text = format!("{}\nfollow it with: streamflow-hub alert drills", drill.id);
                return print::done(common.output, &text, &serde_json::to_value(&drill)?);
            }
            let ended = follow(&common, &target, drill).await?;
            print::done(common.output, &whole(&ended), &serde_json::to_value(&ended)?)?;
            match (ended.state, ended.lost_at) {
                (DrillState::Passed, _) => Ok(()),
                (_, Some(hop)) => Err(Failed(format!("the drill was lost at `{}`", hop.name())).into()),
                (_, None) => Err(Failed("the drill failed".to_owned()).into()),
            }
        }
        _ => Err(UsageError("no subcommand about drills".to_owned()).into()),
    }
}

/// `team=db,service=orders` as labels; `None` when it is not of this form.
fn labels(what: &str) -> Option<BTreeMap<String, String>> {
    let pair = |part: &str| {
        let (name, value) = part.split_once('=')?;
        let name = name.trim();
        let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
        is_name.then(|| (name.to_owned(), value.trim().to_owned()))
    };
    what.split(',').map(pair).collect()
}

fn fields(event: &str) -> anyhow::Result<Map<String, Value>> {
    let read = serde_json::from_str(event);
    read.map_err(|error| UsageError(format!("--event is not a JSON object: {error}")).into())
}

async fn begin(common: &Common, target: &Target, request: &DrillRequest) -> anyhow::Result<Drill> {
    let hub = Remote::connect(common, target, Role::Editor).await?;
    let body = serde_json::to_value(request)?;
    let answer = hub.ask(Method::POST, "/api/v1/drills", Some(&body)).await;
    hub.close().await;
    read(&answer?["data"])
}

/// Waits for the end; shows each hop to people as it happens.
async fn follow(common: &Common, target: &Target, drill: Drill) -> anyhow::Result<Drill> {
    let mut drill = drill;
    let mut shown = 0;
    loop {
        let hub = Remote::connect(common, target, Role::Viewer).await?;
        for _ in 0..LOOKS {
            let answer = hub
                .ask(Method::GET, &format!("/api/v1/drills/{}", drill.id), None)
                .await?;
            drill = read(&answer["data"])?;
            if common.output == Output::Text {
                for hop in drill.hops.iter().skip(shown) {
                    // Nobody need read how it goes on.
                    drop(writeln!(
                        std::io::stderr(),
                        "{} after {} ms",
                        hop.hop.name(),
                        hop.took_ms
                    ));
                }
                shown = shown.max(drill.hops.len());
            }
            if drill.state != DrillState::Running {
                hub.close().await;
                return Ok(drill);
            }
            tokio::time::sleep(LOOK).await;
        }
        hub.close().await;
    }
}

fn read(drill: &Value) -> anyhow::Result<Drill> {
    serde_json::from_value(drill.clone()).context("the hub answered no drill; is it of another version?")
}

fn whole(drill: &Drill) -> String {
    let mut lines = vec![format!("{}: {} ({})", drill.target, drill.state.name(), drill.id)];
    if let (Some(hop), Some(reason)) = (drill.lost_at, &drill.reason) {
        lines.push(format!("lost at {}: {reason}", hop.name()));
    }
    let accepted = drill.hops.iter().any(|hop| hop.hop == HopName::Accepted);
    let told = if accepted { "told" } else { "was to tell" };
    lines.push(format!("agent {}, {told} {}", drill.agent, drill.channels.join(", ")));
    let would = match drill.would_tell.as_slice() {
        [] => "nobody".to_owned(),
        names => names.join(", "),
    };
    lines.push(format!("a real alert would tell {would}"));
    lines.extend(drill.notes.iter().map(|note| format!("note: {note}")));
    lines.push(String::new());
    let rows: Vec<Vec<String>> = drill
        .hops
        .iter()
        .map(|hop| {
            let took = format!("{} ms", hop.took_ms);
            vec![hop.hop.name().to_owned(), hop.at.to_string(), took, hop.detail.clone()]
        })
        .collect();
    lines.push(print::table(&["HOP", "AT", "TOOK", "DETAIL"], &rows));
    // What came over the network must not steer the terminal.
    lines.join("\n").replace(|c: char| c.is_control() && c != '\n', " ")
}

fn list(common: &Common, drills: &Value) -> anyhow::Result<()> {
    let read: Vec<Drill> = serde_json::from_value(drills.clone())?;
    let rows: Vec<Vec<String>> = read
        .iter()
        .map(|drill| {
            let lost = drill.lost_at.map_or("", HopName::name);
            vec![
                drill.id.clone(),
                drill.state.name().to_owned(),
                drill.started_at.to_string(),
                format!("{} ms", drill.took_ms()),
                lost.to_owned(),
                drill.target.replace(char::is_control, " "),
            ]
        })
        .collect();
    let lines = if rows.is_empty() {
        "no drills".to_owned()
    } else {
        print::table(&["ID", "STATE", "STARTED", "TOOK", "LOST AT", "TARGET"], &rows)
    };
    print::done(common.output, &lines, drills)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_told_from_the_name_of_a_rule() {
        let team = BTreeMap::from([
            ("team".to_owned(), "db".to_owned()),
            ("source".to_owned(), "a b".to_owned()),
        ]);
        assert_eq!(labels("team=db, source=a b"), Some(team));
        for name in [
            "api error rate",
            "019b76da-a800-7000-8000-000000000001",
            "a > b = c",
            "",
            "x=1,y",
        ] {
            assert_eq!(labels(name), None, "{name}");
        }
    }
}
