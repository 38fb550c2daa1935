//! Output of subcommands: for people or for programs.

use std::io::Write;

use serde_json::Value;

use crate::cli::Output;

/// Prints a result in the asked form.
///
/// # Errors
/// When stdout is closed.
pub fn done(output: Output, text: &str, json: &Value) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match output {
        Output::Text => writeln!(out, "{}", text.trim_end())?,
        Output::Json => writeln!(out, "{json}")?,
    }
    Ok(())
}

/// Prints a completion script for a shell.
///
/// # Errors
/// When stdout is closed.
pub fn completions(shell: clap_complete::Shell, mut command: clap::Command) -> anyhow::Result<()> {
    // Made in memory first, as the generator panics when it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "streamflow-hub", &mut script);
    let mut out = std::io::stdout().lock();
    out.write_all(&script)?;
    Ok(out.flush()?)
}

/// Lays rows out in columns under a heading.
pub fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = heading.iter().map(|h| h.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        padded.join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(&mut heading.iter().copied())];
    lines.extend(rows.iter().map(|row| line(&mut row.iter().map(String::as_str))));
    lines.join("\n")
}
