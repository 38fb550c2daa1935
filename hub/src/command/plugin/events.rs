//! Events of a file, one JSON object a line, as batches of the log.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use anyhow::Context;
use serde_json::{Map, Value};
use streamflow_model::Instant;
use streamflow_proto::{batch::Batch, build::BatchBuilder};

use super::super::UsageError;

/// A batch, and the line of the file behind each of its rows.
pub(super) struct Lines {
    pub(super) batch: Batch,
    pub(super) lines: Vec<usize>,
}

/// Reads a file, or stdin for `-`.
///
/// # Errors
/// When it cannot be read.
pub(super) fn read(path: &Path) -> anyhow::Result<String> {
    if path == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).context("stdin cannot be read")?;
        return Ok(text);
    }
    fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
}

/// Cuts a text into batches of at most so many events.
///
/// # Errors
/// The first line that is no event.
pub(super) fn batches(text: &str, name: &Path, most: usize) -> anyhow::Result<Vec<Lines>> {
    let (mut all, mut builder, mut lines) = (Vec::new(), BatchBuilder::new(), Vec::new());
    let now = Instant::now().0;
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        if lines.len() >= most || builder.is_full() {
            all.push(finish(&mut builder, &mut lines)?);
        }
        if let Err(rejection) = builder.push_json(line.trim().as_bytes(), now) {
            let (field, reason) = (rejection.field, rejection.reason);
            let message = format!("{}:{}: {field}: {reason}", name.display(), index + 1);
            return Err(UsageError(message).into());
        }
        lines.push(index + 1);
    }
    if !lines.is_empty() {
        all.push(finish(&mut builder, &mut lines)?);
    }
    if all.is_empty() {
        return Err(UsageError(format!("{} holds no events", name.display())).into());
    }
    Ok(all)
}

fn finish(builder: &mut BatchBuilder, lines: &mut Vec<usize>) -> anyhow::Result<Lines> {
    Ok(Lines {
        batch: builder.finish(1).decode()?,
        lines: std::mem::take(lines),
    })
}

/// The configuration of a rule or of a transform, which the option of this name gave.
///
/// # Errors
/// When the text is no JSON object.
pub(super) fn config(text: &str, option: &str) -> anyhow::Result<Map<String, Value>> {
    serde_json::from_str(text).map_err(|error| UsageError(format!("{option} is no JSON object: {error}")).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_batches_and_a_wrong_one_is_named() {
        let name = Path::new("f");
        let text = "{\"type\":\"a\",\"source\":\"s\"}\n\n{\"type\":\"b\",\"source\":\"s\"}\n{\"type\":\"c\",\"source\":\"s\"}\n";
        let all = batches(text, name, 2).unwrap();
        let shape: Vec<(usize, Vec<usize>)> = all.iter().map(|own| (own.batch.len(), own.lines.clone())).collect();
        assert_eq!(shape, [(2, vec![1, 3]), (1, vec![4])]);
        let error = |text: &str| batches(text, name, 2).err().unwrap().to_string();
        assert!(error("{\"type\":\"a\",\"source\":\"s\"}\nnonsense\n").starts_with("f:2: "));
        assert_eq!(error("\n"), "f holds no events");
        let refused = config("[]", "--transform-config").unwrap_err().to_string();
        assert!(refused.starts_with("--transform-config is no JSON object"), "{refused}");
        assert!(config("{\"a\":1}", "--rule-config").is_ok());
    }
}
