//! What `streamflow-hub plugin` accepts.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use streamflow_model::Span;

use super::{Common, Target};

/// What every command that talks to a hub accepts.
#[derive(Debug, Args, Clone)]
pub struct OnHub {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub target: Target,
}

/// What a new plugin extends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NewKind {
    /// Looks at events and raises alerts
    Rule,
    /// Delivers notifications
    Channel,
    /// Changes events on the agents
    Transform,
}

/// In what a new plugin is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NewLanguage {
    /// With the SDK and tests that run natively
    Rust,
    /// On QuickJS
    Javascript,
    /// On CPython
    Python,
    /// Without a C library
    C,
}

#[derive(Debug, Subcommand)]
pub enum PluginCommand {
    /// Make a folder with a working plugin and its test
    #[command(
        after_help = "Example:\n  streamflow-hub plugin new too-hot --kind rule\n  cd too-hot\n  streamflow-hub plugin test\n  streamflow-hub plugin build"
    )]
    New {
        #[command(flatten)]
        common: Common,
        /// Name of the plugin: a-z, 0-9 and -
        name: String,
        /// What it extends
        #[arg(long, value_enum, default_value_t = NewKind::Rule)]
        kind: NewKind,
        /// In what it is written; in a language other than Rust there are rules
        #[arg(long, value_enum, default_value_t = NewLanguage::Rust)]
        language: NewLanguage,
    },
    /// Build the plugin of a folder into one file; its path is the last line of the output
    Build {
        #[command(flatten)]
        common: Common,
        /// Folder of the plugin
        #[arg(long, default_value = ".", value_name = "FOLDER")]
        dir: PathBuf,
    },
    /// Make a plugin of what the tools of another language have built; its path is the last line of the output
    #[command(after_help = "Example:\n  streamflow-hub plugin pack rule.wasm --manifest plugin.toml")]
    Pack {
        #[command(flatten)]
        common: Common,
        /// A component, or a core module with the bindings of wit-bindgen
        file: PathBuf,
        /// Its manifest
        #[arg(long, default_value = "plugin.toml", value_name = "FILE")]
        manifest: PathBuf,
        /// File to write; NAME.wasm beside the manifest when absent
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Run the tests of a plugin's folder
    Test {
        #[command(flatten)]
        common: Common,
        /// Folder of the plugin
        #[arg(long, default_value = ".", value_name = "FOLDER")]
        dir: PathBuf,
    },
    /// Check a file as a hub would: manifest, imports, exports, size
    Check {
        #[command(flatten)]
        common: Common,
        /// File of `plugin build`
        file: PathBuf,
    },
    /// Show events of a file to a rule or a transform, in the sandbox but without hub and agent, and print what it says or what is left of them
    #[command(
        after_help = "The file holds one event a line, as `POST /events` takes them, in the order of their time. Example:\n  streamflow-hub plugin run too-hot.wasm --events readings.ndjson --rule-config '{\"threshold\":5}' --then 10m"
    )]
    Run {
        #[command(flatten)]
        common: Common,
        /// File of `plugin build`
        file: PathBuf,
        /// File of events, one JSON object a line; - reads stdin
        #[arg(long, value_name = "FILE")]
        events: PathBuf,
        /// Configuration of the rule, or of the transform, as JSON
        #[arg(long, visible_alias = "transform-config", value_name = "JSON", default_value = "{}")]
        rule_config: String,
        /// Which events it is shown, as a rule's `match`; all when absent
        #[arg(long = "match", value_name = "EXPRESSION", default_value = "true")]
        matches: String,
        /// Events of one call, 1 to 4096
        #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=4096))]
        batch: u32,
        /// Time that passes after the last event, such as 10m
        #[arg(long, value_name = "TIME", default_value = "0s")]
        then: Span,
    },
    /// Measure a rule or a transform: cost of an event and of a batch beside a native pass over the same columns, memory, loading
    #[command(
        after_help = "Without --events, events are made up with the fields that the manifest names. Example:\n  streamflow-hub plugin bench too-hot.wasm --rule-config '{\"threshold\":5}' --output json"
    )]
    Bench {
        #[command(flatten)]
        common: Common,
        /// File of `plugin build`
        file: PathBuf,
        /// File of events, one JSON object a line, repeated as often as needed
        #[arg(long, value_name = "FILE")]
        events: Option<PathBuf>,
        /// Configuration of the rule, or of the transform, as JSON
        #[arg(long, visible_alias = "transform-config", value_name = "JSON", default_value = "{}")]
        rule_config: String,
        /// Events of one call, 1 to 4096
        #[arg(long, value_delimiter = ',', default_value = "256,1000,4096", value_parser = clap::value_parser!(u32).range(1..=4096))]
        batch: Vec<u32>,
        /// How long each batch size is measured
        #[arg(long, value_name = "TIME", default_value = "1s")]
        time: Span,
    },
    /// Make a key to sign plugins with: NAME.key, and NAME.pub for the hub's trusted_keys
    Keygen {
        #[command(flatten)]
        common: Common,
        /// Path of the two files without their endings
        #[arg(default_value = "streamflow-plugins")]
        name: PathBuf,
    },
    /// Sign a file, in place
    Sign {
        #[command(flatten)]
        common: Common,
        /// File of `plugin build`
        file: PathBuf,
        /// Secret key of `plugin keygen`, or of minisign without a password
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// Install a file into a running hub
    #[command(
        after_help = "Examples:\n  streamflow-hub plugin install too-hot.wasm --config hub.toml --approve\n  streamflow-hub plugin install too-hot.wasm --hub https://hub.example --token TOKEN"
    )]
    Install {
        #[command(flatten)]
        on: OnHub,
        /// File of `plugin build`
        file: PathBuf,
        /// Approve the rights that it asks for; without it a plugin with new rights waits for `plugin approve`
        #[arg(long)]
        approve: bool,
        /// Run it beside the version that runs, and compare what they say, until `plugin promote` or `plugin discard`
        #[arg(long)]
        shadow: bool,
    },
    /// List the plugins of a hub
    List {
        #[command(flatten)]
        on: OnHub,
    },
    /// Show everything about a plugin of a hub
    Inspect {
        #[command(flatten)]
        on: OnHub,
        /// Name of the plugin
        name: String,
    },
    /// Print the last lines of a plugin
    Logs {
        #[command(flatten)]
        on: OnHub,
        /// Name of the plugin
        name: String,
        /// Go on with new lines until interrupted
        #[arg(long, short)]
        follow: bool,
        /// Lines of this level and above: debug, info, warn or error
        #[arg(long, default_value = "debug", value_parser = ["debug", "info", "warn", "error"])]
        level: String,
        /// At most so many lines to begin with
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Let the version in the shadow take over
    Promote {
        #[command(flatten)]
        on: OnHub,
        /// Name of the plugin
        name: String,
    },
    /// End the version in the shadow
    Discard {
        #[command(flatten)]
        on: OnHub,
        /// Name of the plugin
        name: String,
    },
    /// Approve the version that waits
    Approve {
        #[command(flatten)]
        on: OnHub,
        /// Name of the plugin
        name: String,
    },
    /// Switch a plugin on, also out of quarantine
    Enable {
        #[command(flatten)]
        on: OnHub,
        /// Name of the plugin
        name: String,
    },
    /// Switch a plugin off; rules that use it wait where they are
    Disable {
        #[command(flatten)]
        on: OnHub,
        /// Name of the plugin
        name: String,
    },
    /// Go back to the version before
    Rollback {
        #[command(flatten)]
        on: OnHub,
        /// Name of the plugin
        name: String,
    },
    /// Remove a plugin with all its versions
    Remove {
        #[command(flatten)]
        on: OnHub,
        /// Name of the plugin
        name: String,
        /// Also when rules or channels use it: they stop until there is a plugin of this name again
        #[arg(long)]
        force: bool,
    },
}
