//! Runs one subcommand, and turns its error into words and an exit status.

mod agent;
mod plugin;
mod print;
mod user;

use clap::CommandFactory;
use streamflow_storage::Store;

use crate::{
    cli::{AgentCommand, Cli, Command, Common, ConfigCommand, TokenCommand, UserCommand},
    config::{self, ConfigError, HubConfig},
    logging, serve,
};

/// Wrong usage that the argument parser cannot see.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// Runs what the command line asks for.
///
/// # Errors
/// Whatever went wrong, for [`report`] and [`exit_code`].
pub fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Serve { common, ready_json } => {
            let config = config::load(&common.config)?;
            logging::start(&config.log)?;
            block_on(serve::serve(config, ready_json))
        }
        Command::Config(ConfigCommand::Check { common }) => {
            config::load(&common.config)?;
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
        Command::Plugin(command) => plugin::run(command),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "streamflow-hub", &mut std::io::stdout());
            Ok(())
        }
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

/// Writes an error to stderr.
#[expect(clippy::print_stderr, reason = "the command line's own error output")]
pub fn report(error: &anyhow::Error) {
    if error.is::<ConfigError>() {
        eprintln!("{error}");
    } else {
        eprintln!("error: {error:#}");
    }
}

/// 2 for wrong usage or configuration, else 1.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    if error.is::<ConfigError>() || error.is::<UsageError>() {
        2
    } else {
        1
    }
}
