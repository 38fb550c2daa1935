//! Runs one subcommand, and turns its error into words and an exit status.

mod agent;
mod alert;
mod drill;
mod plugin;
mod print;
mod remote;
mod rule;
pub mod rule_file;
mod rule_test;
mod user;

use std::io::Write as _;

use clap::CommandFactory;
use streamflow_storage::Store;

use crate::{
    cli::{AgentCommand, Cli, Command, Common, ConfigCommand, TokenCommand, UserCommand},
    config::{self, ConfigError, HubConfig},
    logging, provisioning, serve,
};

/// Wrong usage that the argument parser cannot see.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// What was asked for was done, and its outcome is a failure, such as a test that fails.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failed(pub String);

/// Runs what the command line asks for.
///
/// # Errors
/// Whatever went wrong, for [`report`] and [`exit_code`].
pub fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Serve {
            common,
            ready_json,
            standby,
        } => {
            let mut config = config::load(&common.config)?;
            config.ha.standby |= standby;
            logging::start(&config.log)?;
            block_on(serve::serve(config, ready_json))
        }
        Command::Config(ConfigCommand::Check { common }) => {
            let config = config::load(&common.config)?;
            let mistakes = config
                .provisioning
                .folder()
                .map(provisioning::check)
                .unwrap_or_default();
            if !mistakes.is_empty() {
                return Err(ConfigError { mistakes }.into());
            }
            print::done(
                common.output,
                &format!("{}: fine", common.config.display()),
                &serde_json::json!({"ok": true}),
            )
        }
        Command::Config(ConfigCommand::Show { common }) => {
            let config = config::load(&common.config)?;
            print::done(
                common.output,
                &toml::to_string(&config)?,
                &serde_json::to_value(&config)?,
            )
        }
        Command::Agent(command) => match command {
            AgentCommand::Token { common, ttl } => with_store(&common, async |config, store| {
                agent::token(&common, &config, store, ttl).await
            }),
            AgentCommand::List { common } => with_store(&common, async |_, store| agent::list(&common, store).await),
            AgentCommand::Revoke { common, id } => {
                with_store(&common, async |_, store| agent::revoke(&common, store, &id).await)
            }
        },
        Command::User(command) => match command {
            UserCommand::List { common } => with_store(&common, async |_, store| user::list(&common, store).await),
            UserCommand::Add { common, username, role } => with_store(&common, async |_, store| {
                user::add(&common, store, &username, role).await
            }),
            UserCommand::SetPassword { common, username } => with_store(&common, async |_, store| {
                user::set_password(&common, store, &username).await
            }),
        },
        Command::Token(TokenCommand::Create {
            common,
            name,
            role,
            ttl,
        }) => with_store(&common, async |_, store| {
            user::create_token(&common, store, &name, role, ttl).await
        }),
        Command::Rule(command) => block_on(rule::run(command)),
        Command::Alert(command) => block_on(alert::run(command)),
        Command::Plugin(command) => plugin::run(command),
        Command::Completions { shell } => print::completions(shell, Cli::command()),
    }
}

fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(work)
}

/// Opens the store beside a hub that may be running.
fn with_store(
    common: &Common,
    work: impl AsyncFnOnce(HubConfig, &dyn Store) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let config = config::load(&common.config)?;
    block_on(async {
        let store = streamflow_storage::open_tool(&config.storage, &config.data_dir).await?;
        work(config, store.as_ref()).await
    })
}

/// Nobody reads the output any more: whoever did, such as `head`, has what it wanted.
fn unread(error: &anyhow::Error) -> bool {
    let closed = |error: &std::io::Error| error.kind() == std::io::ErrorKind::BrokenPipe;
    error.downcast_ref::<std::io::Error>().is_some_and(closed)
}

/// Writes an error to stderr.
pub fn report(error: &anyhow::Error) {
    if unread(error) {
        return;
    }
    let text = if error.is::<ConfigError>() {
        error.to_string()
    } else {
        format!("error: {error:#}")
    };
    // When stderr is closed there is nobody left to tell.
    drop(writeln!(std::io::stderr(), "{text}"));
}

/// 2 for wrong usage or configuration, 0 when nobody reads the output any more, else 1.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    if unread(error) {
        0
    } else if error.is::<ConfigError>() || error.is::<UsageError>() {
        2
    } else {
        1
    }
}
