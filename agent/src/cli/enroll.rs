//! `enroll`

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use streamflow_proto::wire::EnrollToken;

use super::output::{self, Failure};
use super::{Output, one};
use crate::config::check::check_endpoint;
use crate::config::load;
use crate::identity::Identity;

#[derive(Debug, Args)]
pub struct EnrollArgs {
    /// Address of the hub, HOST:PORT. Left out: the first of hub.endpoints, or a hub on this host. It is kept with the identity, and `run` goes there
    /// unless hub.endpoints names others.
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
    let hub = match &args.hub {
        Some(hub) => hub.clone(),
        None => config.hub.addresses("").swap_remove(0),
    };
    check_endpoint(&hub).map_err(|reason| one("--hub", format!("`{hub}` {reason}")))?;
    let path = Identity::path(&config.data_dir);
    if path.exists() && !args.force {
        return Err(Failure::Failed(format!(
            "{} exists: this agent is enrolled; --force enrols it anew",
            path.display()
        )));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let identity = runtime.block_on(crate::enroll::enroll(&hub, &token, &config.name, &config.data_dir))?;
    let file = path.display().to_string();
    let elsewhere = elsewhere(&hub, &config.hub.endpoints, &args.config);
    match args.output {
        Output::Json => output::json(
            &json!({ "agent_id": identity.agent_id, "hub": hub, "file": file, "expires_ms": identity.expires_ms, "warning": elsewhere }),
        ),
        Output::Text => {
            output::line(format_args!(
                "enrolled at {hub} as {}; identity in {file}",
                identity.agent_id
            ))?;
            match elsewhere {
                Some(warning) => Ok(writeln!(io::stderr(), "warning: {warning}")?),
                None => Ok(output::line(
                    "start it with `streamflow-agent run`, or systemctl enable --now streamflow-agent",
                )?),
            }
        }
    }
}

/// What to write where, when the configuration sends the agent to other addresses than the one it has just enrolled at.
fn elsewhere(hub: &str, endpoints: &[String], config: &Path) -> Option<String> {
    if endpoints.is_empty() || endpoints.iter().any(|endpoint| endpoint == hub) {
        return None;
    }
    let file = config.display();
    let named = endpoints.join(", ");
    Some(format!(
        "`run` does not go to {hub} but to hub.endpoints, which is {named}; unless that is the same hub, write in {file}: endpoints = [\"{hub}\"], or remove the key"
    ))
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
