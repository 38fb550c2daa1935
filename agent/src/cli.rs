//! The command line.

mod enroll;
mod output;
mod run;
mod status;
mod tap;
mod test;
mod validate;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::config::Config;
use crate::config::load::{self, Look, Problem};
use output::Failure;

/// Reads what happens on this host, keeps it safe on disk, and delivers it to a StreamFlow hub.
///
/// Each event reaches the hub exactly once, whatever dies in between: events and the place up to which their files were read are made durable
/// together before anything counts as read.
#[derive(Debug, Parser)]
#[command(name = "streamflow-agent", version, propagate_version = true, after_long_help = EXAMPLES, after_help = EXIT)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT: &str = "Exit status: 0 fine, 1 failed, 2 wrong usage or configuration.";
const EXAMPLES: &str = "Examples:
  streamflow-agent enroll --hub hub.example:4433 --token sf1.…      once, with a token of the hub
  streamflow-agent validate --config /etc/streamflow/agent.toml    find every mistake
  streamflow-agent run --config /etc/streamflow/agent.toml
  streamflow-agent status --output json
  tail -n 100 app.log | streamflow-agent test --source app         what these lines become
  streamflow-agent tap --limit 10                                   what would be sent now

Variables override the file: STREAMFLOW_AGENT__SPOOL__MAX_BYTES=2GiB.

Exit status: 0 fine, 1 failed, 2 wrong usage or configuration.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the agent until SIGTERM or Ctrl-C.
    ///
    /// The first signal stops reading, makes what was read durable and tries to deliver it for hub.drain_timeout; a second one exits at once. Either
    /// way, and after kill -9 too, the next start goes on where this one ended.
    Run(run::RunArgs),
    /// Check the configuration and report every mistake with its line.
    ///
    /// Nothing is connected, and of the files that it names only those of plugins are opened: whether they are signed, what they may do, and whether they take their
    /// configuration. So a configuration can be checked on another machine.
    Validate(Common),
    /// Get this agent's certificate with a one-time token of the hub.
    ///
    /// The token pins the hub's CA, so an impostor cannot answer. Key, certificate and CA are kept in data_dir/identity.json, readable only for the
    /// owner; nothing else changes. Make a token on the hub with `streamflow-hub agent token --ttl 1h`.
    Enroll(enroll::EnrollArgs),
    /// Show how the running agent does: connection, spool, lag, drops, sources.
    Status(Common),
    /// Print what the sources read from now on, as the events that the agent would send.
    ///
    /// Needs no hub and no spool, and leaves the running agent and its positions alone.
    Tap(tap::TapArgs),
    /// Print the events that lines from standard input become: format, then processors.
    Test(test::TestArgs),
    /// Print a completion script, for example: streamflow-agent completions bash > /etc/bash_completion.d/streamflow-agent
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
struct Common {
    /// Configuration file.
    #[arg(
        short,
        long,
        default_value = "/etc/streamflow/agent.toml",
        env = "STREAMFLOW_AGENT_CONFIG"
    )]
    config: PathBuf,
    /// For people or for programs.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON value.
    Json,
}

impl Common {
    fn load(&self) -> Result<Config, Failure> {
        self.load_with(&|_| Vec::new())
    }

    fn load_with(&self, look: Look<'_>) -> Result<Config, Failure> {
        load::load_with(&self.config, std::env::vars(), look).map_err(Failure::Config)
    }
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let (output, result) = match cli.command {
        Command::Run(args) => (args.common.output, run::run(&args)),
        Command::Validate(args) => (args.output, validate::validate(&args)),
        Command::Enroll(args) => (args.output, enroll::enroll(&args)),
        Command::Status(args) => (args.output, status::status(&args)),
        Command::Tap(args) => (args.common.output, tap::tap(&args)),
        Command::Test(args) => (args.common.output, test::test(&args)),
        Command::Completions { shell } => (
            Output::Text,
            output::completions(shell, Cli::command(), "streamflow-agent"),
        ),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(output),
    }
}

/// Problems as one failure.
fn one(key: &str, message: String) -> Failure {
    Failure::Config(vec![Problem {
        file: "command line".into(),
        line: None,
        key: key.into(),
        message,
    }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }
}
