//! `plugin new`: a folder with a working plugin and its test.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use streamflow_component::is_plugin_name;

use super::{super::UsageError, language, sdk};
use crate::cli::plugin::{NewKind, NewLanguage};

const CARGO: &str = include_str!("../../../../sdk/template/Cargo.toml.in");
const IGNORE: &str = "/target\n/*.wasm\n*.key\n";

struct Template {
    manifest: &'static str,
    lib: &'static str,
    tests: &'static str,
}

const fn template(kind: NewKind) -> Template {
    match kind {
        NewKind::Rule => Template {
            manifest: include_str!("../../../../sdk/template/rule/plugin.toml"),
            lib: include_str!("../../../../sdk/template/rule/src/lib.rs"),
            tests: include_str!("../../../../sdk/template/rule/src/tests.rs"),
        },
        NewKind::Channel => Template {
            manifest: include_str!("../../../../sdk/template/channel/plugin.toml"),
            lib: include_str!("../../../../sdk/template/channel/src/lib.rs"),
            tests: include_str!("../../../../sdk/template/channel/src/tests.rs"),
        },
        NewKind::Transform => Template {
            manifest: include_str!("../../../../sdk/template/transform/plugin.toml"),
            lib: include_str!("../../../../sdk/template/transform/src/lib.rs"),
            tests: include_str!("../../../../sdk/template/transform/src/tests.rs"),
        },
    }
}

/// Makes the folder `name` in the working directory; answers it, and the commands that come next.
///
/// # Errors
/// When the name cannot be used, the folder exists, or files cannot be written.
pub(super) fn create(name: &str, kind: NewKind, language: NewLanguage) -> anyhow::Result<(PathBuf, String)> {
    if !is_plugin_name(name) {
        return Err(UsageError(format!(
            "`{name}` cannot be a plugin's name: 1 to 64 of a-z, 0-9 and -, a letter first"
        ))
        .into());
    }
    let dir = std::env::current_dir()?.join(name);
    if dir.exists() {
        return Err(UsageError(format!("{} exists already", dir.display())).into());
    }
    let example = match language {
        NewLanguage::Rust => None,
        NewLanguage::Javascript => Some(&language::JAVASCRIPT),
        NewLanguage::Python => Some(&language::PYTHON),
        NewLanguage::C => Some(&language::C),
    };
    if example.is_some() && kind != NewKind::Rule {
        let text = "--language: in a language other than Rust, `plugin new` makes rules; docs/plugins.md tells of the other kinds";
        return Err(UsageError(text.to_owned()).into());
    }
    let write = || match example {
        Some(example) => example.write(&dir, name),
        None => rust(&dir, name, &template(kind)),
    };
    write().with_context(|| format!("{} cannot be made", dir.display()))?;
    let next = match example {
        Some(example) => format!("{}\n  streamflow-hub plugin pack rule.wasm", example.build),
        None => "streamflow-hub plugin test\n  streamflow-hub plugin build".to_owned(),
    };
    Ok((dir, next))
}

fn rust(dir: &Path, name: &str, template: &Template) -> anyhow::Result<()> {
    fs::create_dir_all(dir.join("src"))?;
    for (path, text) in [
        ("Cargo.toml", CARGO),
        ("plugin.toml", template.manifest),
        ("src/lib.rs", template.lib),
        ("src/tests.rs", template.tests),
        (".gitignore", IGNORE),
        ("Cargo.lock", sdk::LOCK),
    ] {
        let text = if path.ends_with(".toml") {
            text.replace("NAME", name)
        } else {
            text.to_owned()
        };
        fs::write(dir.join(path), text)?;
    }
    sdk::write(&dir.join(".streamflow"))
}
