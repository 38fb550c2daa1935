//! What the command line accepts.

pub mod plugin;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use streamflow_model::{Role, Span};

/// StreamFlow hub: receives events from agents and over HTTP, stores them, evaluates rules, sends alerts and serves the dashboard.
#[derive(Debug, Parser)]
#[command(
    name = "streamflow-hub",
    version,
    arg_required_else_help = true,
    propagate_version = true
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Args, Clone)]
pub struct Common {
    /// Configuration file; every key is explained in deploy/config/hub.toml
    #[arg(
        long,
        short,
        global = true,
        value_name = "FILE",
        default_value = "/etc/streamflow/hub.toml",
        env = "STREAMFLOW_HUB_CONFIG"
    )]
    pub config: PathBuf,

    /// How results are printed
    #[arg(long, short, global = true, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Text,
    /// For programs
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the hub
    #[command(
        after_help = "Examples:\n  streamflow-hub serve --config /etc/streamflow/hub.toml\n  STREAMFLOW_HUB__HTTP__LISTEN=127.0.0.1:0 streamflow-hub serve --ready-json\n\nSIGTERM or Ctrl-C stops it: new work is refused, what is in flight is finished. A second signal stops at once."
    )]
    Serve {
        #[command(flatten)]
        common: Common,
        /// Print one line of JSON on stdout when ready, with the bound addresses
        #[arg(long)]
        ready_json: bool,
        /// While another hub serves the same data_dir, wait, and take over when it ends
        #[arg(long)]
        standby: bool,
    },
    /// Check or show the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Enrolment tokens and the agents that may connect
    #[command(subcommand)]
    Agent(AgentCommand),
    /// People who sign in
    #[command(subcommand)]
    User(UserCommand),
    /// API tokens for programs
    #[command(subcommand)]
    Token(TokenCommand),
    /// Check, explain, test and backtest rules
    #[command(subcommand)]
    Rule(RuleCommand),
    /// Alerts of the running hub
    #[command(subcommand)]
    Alert(AlertCommand),
    /// Make, build, sign and install plugins
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
    /// Print a completion script
    #[command(after_help = "Example:\n  streamflow-hub completions bash > /etc/bash_completion.d/streamflow-hub")]
    Completions {
        /// The shell it is for
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Find every mistake in the configuration; exits with 2 when there is one
    Check {
        #[command(flatten)]
        common: Common,
    },
    /// Print the configuration as the hub would use it, defaults and environment included
    Show {
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, Subcommand)]
pub enum AgentCommand {
    /// Print a one-time token with which one agent can enrol; it pins the hub's CA
    #[command(
        after_help = "Then, on the host:\n  streamflow-agent enroll --hub HOST:4433 --token TOKEN --config /etc/streamflow/agent.toml"
    )]
    Token {
        #[command(flatten)]
        common: Common,
        /// How long the token can be used, such as 30m or 1d
        #[arg(long, default_value = "1h")]
        ttl: Span,
    },
    /// List enrolled agents
    List {
        #[command(flatten)]
        common: Common,
    },
    /// Take an agent off the allow-list; an open connection ends within seconds
    Revoke {
        #[command(flatten)]
        common: Common,
        /// Identity as `agent list` shows it
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// List users
    List {
        #[command(flatten)]
        common: Common,
    },
    /// Add a user; the password is read from stdin, or made and printed when stdin is a terminal or empty
    Add {
        #[command(flatten)]
        common: Common,
        /// Sign-in name
        username: String,
        /// What the user may do: viewer, editor, admin, or ingest (only send events)
        #[arg(long, default_value = "viewer")]
        role: Role,
    },
    /// Set a password; it is read from stdin, or made and printed when stdin is a terminal or empty
    SetPassword {
        #[command(flatten)]
        common: Common,
        /// Sign-in name
        username: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make an API token and print it once
    Create {
        #[command(flatten)]
        common: Common,
        /// What it is for
        name: String,
        /// What its bearer may do: ingest (only send events), viewer, editor or admin
        #[arg(long, default_value = "ingest")]
        role: Role,
        /// How long it is valid, such as 12h or 90d
        #[arg(long, default_value = "365d")]
        ttl: Span,
    },
}

/// Which running hub a subcommand talks to.
#[derive(Debug, Args, Clone)]
pub struct Target {
    /// Address of the hub's API; without it, the hub of --config on this machine
    #[arg(long, value_name = "URL", env = "STREAMFLOW_HUB_URL")]
    pub hub: Option<String>,
    /// API token; without it, one is made for a minute in the store of --config
    #[arg(long, env = "STREAMFLOW_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum RuleCommand {
    /// List the rules of the running hub
    List {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        target: Target,
    },
    /// Find every mistake in files with rules; exits with 2 when there is one
    #[command(
        after_help = "A file holds a rule, a list of rules, or a list named `rules`, as JSON or TOML.\n\nExample:\n  streamflow-hub rule check rules/*.toml"
    )]
    Check {
        /// How results are printed
        #[arg(long, short, value_enum, default_value_t = Output::Text)]
        output: Output,
        /// Files with rules
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Say how a rule is evaluated: on columns or by the interpreter, what is skipped, when it is judged
    #[command(
        after_help = "Examples:\n  streamflow-hub rule explain rules.toml\n  streamflow-hub rule explain 'burst of errors'"
    )]
    Explain {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        target: Target,
        /// A file with rules, or the id or name of a rule of the running hub
        #[arg(value_name = "FILE|ID")]
        rule: String,
    },
    /// Run a rule over the hub's stored events: when would it have fired?
    #[command(
        after_help = "With --paging it goes on through grouping, silences, inhibition, active hours, routes, escalation and on-call schedules: who would have been told how often, and what was held back.\n\nExamples:\n  streamflow-hub rule backtest rules.toml --from 7d\n  streamflow-hub rule backtest --all --from 7d --acknowledge-after 10m\n  streamflow-hub rule backtest 'burst of errors' --from 2026-01-02T00:00:00Z --to 2026-01-03T00:00:00Z --output json"
    )]
    Backtest {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        target: Target,
        /// A file with rules, or the id or name of a rule of the running hub
        #[arg(value_name = "FILE|ID", required_unless_present = "all", conflicts_with = "all")]
        rule: Option<String>,
        /// All enabled rules of the running hub together, and who would have been told
        #[arg(long, conflicts_with = "plugin_version")]
        all: bool,
        /// Who would have been told, too
        #[arg(long)]
        paging: bool,
        /// Suppose that somebody acknowledges each alert so long after it was told of, such as 10m
        #[arg(long, value_name = "TIME")]
        acknowledge_after: Option<Span>,
        /// From when: a time, or how long ago
        #[arg(long, value_name = "TIME", default_value = "24h")]
        from: String,
        /// Until when: a time, how long ago, or now
        #[arg(long, value_name = "TIME", default_value = "now")]
        to: String,
        /// Of rules of kind `plugin`: the installed version of the plugin to run, in place of the one that runs live
        #[arg(long, value_name = "VERSION")]
        plugin_version: Option<String>,
    },
    /// Run unit tests of rules; exits with 1 when one fails. Needs no hub
    #[command(
        after_help = "docs/analytics.md explains the files.\n\nExample:\n  streamflow-hub rule test rules/tests.toml"
    )]
    Test {
        /// How results are printed
        #[arg(long, short, value_enum, default_value_t = Output::Text)]
        output: Output,
        /// Files with tests
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub enum AlertCommand {
    /// List alerts, newest first
    #[command(after_help = "Example:\n  streamflow-hub alert list --state firing")]
    List {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        target: Target,
        /// Only in this state
        #[arg(long, value_parser = ["pending", "firing", "acknowledged", "resolved", "stale"])]
        state: Option<String>,
    },
    /// Show one alert with its timeline
    Show {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        target: Target,
        /// Identifier as `alert list` shows it
        id: String,
    },
    /// Take an alert: it is not escalated any further
    Ack {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        target: Target,
        /// Identifier as `alert list` shows it
        id: String,
        /// Kept in the alert's timeline
        #[arg(long, short = 'm', default_value = "")]
        comment: String,
    },
    /// Fire drill: send a marked event all the way from an agent to a person, and time every hop
    #[command(
        after_help = "RULE is a rule's id or name, LABELS are those of an alert that goes by the routing tree.\nNobody is told but the channels for drills ([drills] channels, or --channel), unless --page is given.\n\nExamples:\n  streamflow-hub alert drill 'api error rate' --wait\n  streamflow-hub alert drill team=db,service=orders --level error --channel drill --agent web-1"
    )]
    Drill {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        target: Target,
        /// Rule, or labels as NAME=VALUE,NAME=VALUE
        #[arg(value_name = "RULE|LABELS")]
        what: String,
        /// Id or name of the agent that emits the event; without it, one that is connected
        #[arg(long, conflicts_with = "from_hub")]
        agent: Option<String>,
        /// Let the event begin in the hub's own log, without an agent
        #[arg(long)]
        from_hub: bool,
        /// Tell this channel; may be given several times
        #[arg(long = "channel", value_name = "NAME", conflicts_with = "page")]
        channels: Vec<String>,
        /// Tell those whom the real alert would tell
        #[arg(long)]
        page: bool,
        /// Level of the alert when labels are given
        #[arg(long, value_parser = ["info", "warning", "error", "critical"])]
        level: Option<String>,
        /// The drill has passed when the channels have accepted; nobody has to acknowledge
        #[arg(long)]
        no_ack: bool,
        /// How long the way to the channels may take, such as 30s
        #[arg(long, value_name = "TIME")]
        deadline: Option<Span>,
        /// How long a person may take then, such as 15m
        #[arg(long, value_name = "TIME")]
        acknowledge_within: Option<Span>,
        /// JSON object with the fields of the event, as type, source, severity and data
        #[arg(long, value_name = "JSON")]
        event: Option<String>,
        /// Wait for the outcome; exits with 1 when the drill fails
        #[arg(long)]
        wait: bool,
    },
    /// List fire drills, newest first
    Drills {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        target: Target,
    },
    /// Close an alert
    Resolve {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        target: Target,
        /// Identifier as `alert list` shows it
        id: String,
        /// Kept in the alert's timeline
        #[arg(long, short = 'm', default_value = "")]
        comment: String,
    },
}
