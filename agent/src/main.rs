//! The `streamflow-agent` program.

fn main() -> std::process::ExitCode {
    streamflow_agent::cli::main()
}
