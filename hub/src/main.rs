//! The hub's binary: reads the command line and hands over.

mod cli;
mod command;
mod config;
mod logging;
mod past;
mod serve;
mod shipped;
mod shutdown;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match command::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            command::report(&error);
            ExitCode::from(command::exit_code(&error))
        }
    }
}
