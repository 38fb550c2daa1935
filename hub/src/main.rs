//! The hub's binary: reads the command line and hands over.

mod beside;
mod cli;
mod command;
mod config;
mod drill;
mod heartbeat;
mod logging;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod memory;
mod past;
mod prom_rules;
mod provisioning;
mod self_watch;
mod serve;
mod shipped;
mod shutdown;
mod standby;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    memory::bound();
    let cli = cli::Cli::parse();
    match command::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            command::report(&error);
            ExitCode::from(command::exit_code(&error))
        }
    }
}
