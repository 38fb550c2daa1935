//! The hub's binary: reads the command line and hands over.

mod beside;
mod cli;
mod command;
mod config;
mod drill;
mod heartbeat;
mod logging;
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

/// Bodies, frames and chunks come and go by the megabyte; the system's allocator gives them back to the kernel each time, and
/// takes a page fault for every four kilobytes of the next.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
