//! `enroll`

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use streamflow_proto::wire::EnrollToken;

use super::output::{self, Failure};
use super::{Output, one};
use crate::config::load;
use crate::identity::Identity;

#[derive(Debug, Args)]
pub struct EnrollArgs {
    /// Address of the hub, HOST:PORT; the first endpoint of the configuration when left out.
    #[arg(long)]
    hub: Option<String>,
    /// One-time token, or file:/path of a file that holds it, or env:NAME of a variable.
    #[arg(long)]
    token: String,
    /// Configuration file, for data_dir.
    #[arg(
        short,
        long,
        default_value = "/etc/streamflow/agent.toml",
        env = "STREAMFLOW_AGENT_CONFIG"
    )]
    config: PathBuf,
    /// Replace an identity that is there already.
    #[arg(long)]
    force: bool,
    /// For people or for programs.
    #[arg(short, long, value_enum, default_value_t)]
    pub(super) output: Output,
}

/// Enrols this agent.
pub fn enroll(args: &EnrollArgs) -> Result<(), Failure> {
    let config = load::load(&args.config, std::env::vars()).map_err(Failure::Config)?;
    let token: EnrollToken = secret(&args.token)?
        .parse()
        .map_err(|error| one("--token", format!("{error}")))?;
    let hub = args.hub.as_ref().or(config.hub.endpoints.first());
    let hub = hub.ok_or_else(|| one("--hub", "is missing, write --hub HOST:PORT".into()))?;
    let path = Identity::path(&config.data_dir);
    if path.exists() && !args.force {
        return Err(Failure::Failed(format!(
            "{} exists: this agent is enrolled; --force enrols it anew",
            path.display()
        )));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let identity = runtime.block_on(crate::enroll::enroll(hub, &token, &config.name, &config.data_dir))?;
    let file = path.display().to_string();
    match args.output {
        Output::Json => output::json(
            &json!({ "agent_id": identity.agent_id, "hub": hub, "file": file, "expires_ms": identity.expires_ms }),
        ),
        Output::Text => Ok(output::line(format_args!(
            "enrolled at {hub} as {}; identity in {file}",
            identity.agent_id
        ))?),
    }
}

fn secret(text: &str) -> Result<String, Failure> {
    if let Some(path) = text.strip_prefix("file:") {
        return std::fs::read_to_string(path).map_err(|error| one("--token", format!("cannot read {path}: {error}")));
    }
    match text.strip_prefix("env:") {
        Some(name) => std::env::var(name).map_err(|error| one("--token", format!("variable {name}: {error}"))),
        None => Ok(text.to_owned()),
    }
}
