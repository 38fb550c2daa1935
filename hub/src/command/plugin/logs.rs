//! `plugin logs`: the last lines of a plugin, and those that come.

use std::time::Duration;

use serde_json::Value;

use super::{super::print, api::Api, field};
use crate::cli::{Common, Output};

/// Between two looks for new lines.
const PAUSE: Duration = Duration::from_millis(500);
/// Lines of one answer while following.
const MOST: u32 = 1000;

/// Prints what there is; with `follow` goes on until the process ends.
///
/// # Errors
/// When the hub does not answer, or knows no such plugin.
pub(super) async fn print(
    common: &Common,
    api: &Api,
    name: &str,
    level: &str,
    limit: u32,
    follow: bool,
) -> anyhow::Result<()> {
    let mut logs = api.logs(name, 0, level, limit).await?;
    let mut dropped = logs["dropped"].as_u64().unwrap_or(0);
    if dropped > 0 && common.output == Output::Text {
        tracing::warn!(dropped, "lines above 100 a second were dropped since the hub started");
    }
    loop {
        for line in logs["lines"].as_array().into_iter().flatten() {
            print::done(common.output, &text(line), line)?;
        }
        if !follow {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
        let after = logs["last"].as_u64().unwrap_or(0);
        logs = api.logs(name, after, level, MOST).await?;
        // A hub that was started again counts from the beginning.
        if logs["last"].as_u64().is_some_and(|last| last < after) {
            logs = api.logs(name, 0, level, MOST).await?;
        }
        let now = logs["dropped"].as_u64().unwrap_or(0);
        if now > dropped {
            tracing::warn!(dropped = now - dropped, "lines above 100 a second were dropped");
        }
        dropped = now;
    }
}

fn text(line: &Value) -> String {
    let who = match (field(line, "used_by"), line["instance"].as_u64()) {
        (_, None) => "hub".to_owned(),
        ("", Some(instance)) => format!("#{instance}"),
        (used_by, Some(instance)) => format!("{used_by}#{instance}"),
    };
    format!(
        "{} {:<5} {} {who}: {}",
        field(line, "at"),
        field(line, "level"),
        field(line, "version"),
        field(line, "line")
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_says_when_how_bad_and_who() {
        let line = json!({"at": "2026-01-01T00:00:00.000Z", "level": "warn", "version": "1.0.0", "used_by": "hot", "instance": 3, "line": "x"});
        assert_eq!(text(&line), "2026-01-01T00:00:00.000Z warn  1.0.0 hot#3: x");
        let own =
            json!({"at": "t", "level": "error", "version": "1.0.0", "used_by": "", "instance": null, "line": "ended"});
        assert_eq!(text(&own), "t error 1.0.0 hub: ended");
    }
}
