//! `plugin build` and `plugin test`: cargo, in a plugin's folder.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, bail};
use serde_json::Value;

use super::{
    super::UsageError,
    pack::{self, ManifestFile},
};

const TARGET: &str = "wasm32-unknown-unknown";

/// Compiles the plugin and packs it with its manifest; answers the file.
///
/// # Errors
/// When it does not compile, or does not fit its manifest.
pub(super) fn build(dir: &Path) -> anyhow::Result<PathBuf> {
    let dir = project(dir)?;
    require_target()?;
    // Before a minute of compiling.
    let manifest = ManifestFile::read(&dir.join("plugin.toml"))?;
    pack::pack(&compile(&dir)?, manifest, None)
}

/// Runs the plugin's tests.
///
/// # Errors
/// When one fails.
pub(super) fn test(dir: &Path) -> anyhow::Result<()> {
    let dir = project(dir)?;
    let status = cargo(&dir, "test")?.status().context("cargo cannot be started")?;
    if !status.success() {
        bail!("the plugin's tests failed");
    }
    Ok(())
}

fn project(dir: &Path) -> anyhow::Result<PathBuf> {
    let dir = dir.canonicalize().with_context(|| dir.display().to_string())?;
    if dir.join("plugin.toml").is_file() && dir.join("Cargo.toml").is_file() {
        return Ok(dir);
    }
    let message = format!(
        "{} is no plugin's folder; `streamflow-hub plugin new NAME` makes one",
        dir.display()
    );
    Err(UsageError(message).into())
}

/// Without the network where everything is there already, which is the case on a machine that built the hub.
fn cargo(dir: &Path, verb: &str) -> anyhow::Result<Command> {
    let host = host()?;
    let offline = Command::new("cargo")
        .args(["fetch", "--offline", "--quiet", "--target", TARGET, "--target", &host])
        .current_dir(dir)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .context("cargo cannot be started; plugins are built with Rust, see https://rustup.rs")?
        .success();
    let mut command = Command::new("cargo");
    command.arg(verb).current_dir(dir);
    if offline {
        command.arg("--offline");
    }
    Ok(command)
}

/// The platform of this machine, as Rust calls it.
fn host() -> anyhow::Result<String> {
    let output = Command::new("rustc")
        .arg("-vV")
        .output()
        .context("rustc cannot be started; plugins are built with Rust, see https://rustup.rs")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned)
        .context("`rustc -vV` does not say for which platform it compiles")
}

fn require_target() -> anyhow::Result<()> {
    let output = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .context("rustc cannot be started; plugins are built with Rust, see https://rustup.rs")?;
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let there = output.status.success() && fs::read_dir(&folder).is_ok_and(|mut files| files.next().is_some());
    if there {
        return Ok(());
    }
    bail!(
        "Rust's target {TARGET} is missing: `rustup target add {TARGET}`, or the package of your distribution \
         (Debian, Ubuntu: libstd-rust-dev-wasm32), or scripts/wasm-target.sh of StreamFlow's sources"
    )
}

/// Runs cargo and answers the module that it made.
fn compile(dir: &Path) -> anyhow::Result<PathBuf> {
    let mut child = cargo(dir, "build")?
        .args([
            "--release",
            "--lib",
            "--target",
            TARGET,
            "--message-format=json-render-diagnostics",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .context("cargo cannot be started")?;
    let mut module = None;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let Ok(message) = serde_json::from_str::<Value>(&line?) else {
                continue;
            };
            module = wasm_of(&message).or(module);
        }
    }
    if !child.wait()?.success() {
        bail!("the plugin does not compile");
    }
    module.context("cargo made no module; Cargo.toml needs [lib] crate-type = [\"cdylib\"]")
}

/// The module that a message of cargo names. The plugin itself is the last one.
fn wasm_of(message: &Value) -> Option<PathBuf> {
    if message["reason"] != "compiler-artifact" {
        return None;
    }
    let files = message["filenames"].as_array()?.iter().filter_map(Value::as_str);
    files
        .map(PathBuf::from)
        .find(|file| file.extension().is_some_and(|own| own == "wasm"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_module_is_found_among_cargos_messages() {
        let artifact = |files: &[&str]| json!({"reason": "compiler-artifact", "filenames": files});
        assert_eq!(
            wasm_of(&artifact(&["/a/liba.rlib", "/a/a.wasm"])),
            Some(PathBuf::from("/a/a.wasm"))
        );
        assert_eq!(wasm_of(&artifact(&["/a/liba.rlib"])), None);
        assert_eq!(wasm_of(&json!({"reason": "build-finished", "success": true})), None);
    }
}
