//! What commands print, and how they fail.

use std::io::{self, Write};
use std::process::ExitCode;

use serde::Serialize;

use super::Output;
use crate::config::load::Problem;

/// Why a command ends without success.
#[derive(Debug)]
pub enum Failure {
    /// Exit status 2.
    Config(Vec<Problem>),
    /// Exit status 1.
    Failed(String),
    /// Exit status 1, and everything is said already.
    Said,
    /// Exit status 0: nobody reads the output any more.
    Unread,
}

impl<E: std::error::Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        // Whoever read the output, such as `head`, has what it wanted.
        if closed(&error) {
            return Self::Unread;
        }
        Self::Failed(error.to_string())
    }
}

/// Whether an error says that nobody reads the output any more.
fn closed(error: &(dyn std::error::Error + 'static)) -> bool {
    let pipe = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    std::iter::successors(Some(error), |error| error.source()).any(|error| {
        error.downcast_ref::<io::Error>().is_some_and(pipe)
            || error
                .downcast_ref::<serde_json::Error>()
                .is_some_and(|error| error.io_error_kind() == Some(io::ErrorKind::BrokenPipe))
    })
}

#[derive(Serialize)]
struct Report<'a> {
    error: &'a str,
    #[serde(skip_serializing_if = "<[Problem]>::is_empty")]
    problems: &'a [Problem],
}

impl Failure {
    /// Says it on stderr.
    pub fn report(&self, output: Output) -> ExitCode {
        let (code, message, problems) = match self {
            Self::Config(problems) => (2, "the configuration has mistakes", &problems[..]),
            Self::Failed(message) => (1, message.as_str(), &[][..]),
            Self::Said => return ExitCode::from(1),
            Self::Unread => return ExitCode::SUCCESS,
        };
        let mut stderr = io::stderr().lock();
        let written = match output {
            Output::Json => serde_json::to_string(&Report {
                error: message,
                problems,
            })
            .map_err(io::Error::from)
            .and_then(|text| writeln!(stderr, "{text}")),
            Output::Text if problems.is_empty() => writeln!(stderr, "error: {message}"),
            Output::Text => problems
                .iter()
                .try_for_each(|problem| writeln!(stderr, "error: {problem}")),
        };
        // There is nobody left to tell.
        drop(written);
        ExitCode::from(code)
    }
}

/// Prints one line on stdout.
pub fn line(text: impl std::fmt::Display) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

/// Prints a completion script for a shell.
pub fn completions(shell: clap_complete::Shell, mut command: clap::Command, name: &str) -> Result<(), Failure> {
    // Made in memory first, as the generator panics when it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    let mut stdout = io::stdout().lock();
    stdout.write_all(&script)?;
    Ok(stdout.flush()?)
}

/// Prints one JSON value on stdout.
pub fn json(value: &impl Serialize) -> Result<(), Failure> {
    Ok(line(serde_json::to_string(value)?)?)
}
