//! The SDK that this hub was built with, so that a plugin needs nothing from elsewhere to be written against it.

use std::{fs, io, path::Path};

use rust_embed::RustEmbed;
use toml::{Table, Value};

#[derive(RustEmbed)]
#[folder = "../sdk/src"]
struct Sources;

#[derive(RustEmbed)]
#[folder = "../sdk/derive/src"]
struct Derive;

#[derive(RustEmbed)]
#[folder = "../wit"]
struct Interface;

const MANIFEST: &str = include_str!("../../../../sdk/Cargo.toml");
const DERIVE_MANIFEST: &str = include_str!("../../../../sdk/derive/Cargo.toml");
const WORKSPACE: &str = include_str!("../../../../Cargo.toml");
/// The versions with which the shipped plugins were built; cargo leaves out what a plugin does not need.
pub(super) const LOCK: &str = include_str!("../../../../plugins/Cargo.lock");

/// Writes the SDK into `folder/sdk` and the interface beside it, in place of what was there.
///
/// # Errors
/// When files cannot be written.
pub(super) fn write(folder: &Path) -> anyhow::Result<()> {
    let old = folder.join("sdk");
    if old.exists() {
        fs::remove_dir_all(old)?;
    }
    unpack::<Sources>(&folder.join("sdk/src"))?;
    write_interface(folder)?;
    unpack::<Derive>(&folder.join("sdk/derive/src"))?;
    fs::write(folder.join("sdk/Cargo.toml"), manifest(MANIFEST)?)?;
    fs::write(folder.join("sdk/derive/Cargo.toml"), manifest(DERIVE_MANIFEST)?)?;
    Ok(())
}

/// Writes the interface alone into `folder/wit`, in place of what was there.
///
/// # Errors
/// When files cannot be written.
pub(super) fn write_interface(folder: &Path) -> anyhow::Result<()> {
    let wit = folder.join("wit");
    if wit.exists() {
        fs::remove_dir_all(&wit)?;
    }
    Ok(unpack::<Interface>(&wit)?)
}

fn unpack<E: RustEmbed>(folder: &Path) -> io::Result<()> {
    for name in E::iter() {
        let Some(file) = E::get(&name) else { continue };
        let path = folder.join(&*name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, file.data)?;
    }
    Ok(())
}

/// A manifest of the SDK, with what it has from its workspace written out.
fn manifest(text: &str) -> anyhow::Result<String> {
    let workspace: Table = toml::from_str(WORKSPACE)?;
    let shared = |of: &str| workspace.get("workspace").and_then(|own| own.get(of)).cloned();
    let (package, dependencies) = (shared("package"), shared("dependencies"));
    let mut manifest: Table = toml::from_str(text)?;
    manifest.remove("lints");
    inherit(manifest.get_mut("package"), package.as_ref());
    inherit(manifest.get_mut("dependencies"), dependencies.as_ref());
    if let Some(Value::Table(targets)) = manifest.get_mut("target") {
        for (_, target) in targets.iter_mut() {
            inherit(target.get_mut("dependencies"), dependencies.as_ref());
        }
    }
    Ok(toml::to_string(&manifest)?)
}

fn inherit(table: Option<&mut Value>, workspace: Option<&Value>) {
    let Some(Value::Table(table)) = table else { return };
    for (name, value) in table.iter_mut() {
        let from_workspace = value.get("workspace").is_some();
        if let Some(own) = workspace.and_then(|own| own.get(name)).filter(|_| from_workspace) {
            *value = own.clone();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sdk_stands_alone() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path()).unwrap();
        write(dir.path()).unwrap();
        let text = fs::read_to_string(dir.path().join("sdk/Cargo.toml")).unwrap();
        assert!(!text.contains("workspace"), "{text}");
        let manifest: Table = toml::from_str(&text).unwrap();
        assert!(manifest["dependencies"]["wit-bindgen"]["version"].is_str(), "{text}");
        let derive = fs::read_to_string(dir.path().join("sdk/derive/Cargo.toml")).unwrap();
        assert!(
            !derive.contains("workspace") && derive.contains("proc-macro = true"),
            "{derive}"
        );
        for file in [
            "sdk/src/lib.rs",
            "sdk/src/events.rs",
            "sdk/derive/src/lib.rs",
            "wit/streamflow-plugin.wit",
        ] {
            assert!(dir.path().join(file).is_file(), "{file}");
        }
        assert!(LOCK.contains("name = \"wit-bindgen\""));
    }
}
