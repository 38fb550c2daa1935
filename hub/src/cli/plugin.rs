//! What `streamflow-hub plugin` accepts.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

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
    },
    /// Build the plugin of a folder into one file; its path is the last line of the output
    Build {
        #[command(flatten)]
        common: Common,
        /// Folder of the plugin
        #[arg(long, default_value = ".", value_name = "FOLDER")]
        dir: PathBuf,
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
    },
}
