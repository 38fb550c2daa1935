//! `plugin pack`, and the end of `plugin build`: compiled code becomes the one file that a plugin is.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use streamflow_component::Manifest;

use super::{super::UsageError, read};

/// A manifest to pack with, checked.
pub(super) struct ManifestFile {
    text: String,
    /// `NAME.wasm` beside it.
    plugin: PathBuf,
}

impl ManifestFile {
    /// Reads it.
    ///
    /// # Errors
    /// When it cannot be read, or does not hold.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
        let manifest = Manifest::parse(&text).with_context(|| path.display().to_string())?;
        let plugin = path.with_file_name(format!("{}.wasm", manifest.name));
        Ok(Self { text, plugin })
    }
}

/// Packs a component or a core module with this manifest; answers the file, `NAME.wasm` beside the manifest unless another is named.
///
/// # Errors
/// When the code is none, does not fit the manifest, or nothing can be written.
pub(super) fn pack(code: &Path, manifest: ManifestFile, out: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let file = out.unwrap_or(manifest.plugin);
    if same(code, &file) {
        let text = "is what is to be packed; name another file with --out";
        return Err(UsageError(format!("{} {text}", file.display())).into());
    }
    let packed =
        streamflow_component::encode(&read(code)?, &manifest.text).with_context(|| code.display().to_string())?;
    fs::write(&file, packed).with_context(|| format!("{} cannot be written", file.display()))?;
    Ok(file)
}

fn same(one: &Path, other: &Path) -> bool {
    one.canonicalize()
        .is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "[plugin]\nname = \"mine\"\nversion = \"1\"\nkind = \"rule\"\napi = \"0.1\"\n";

    #[test]
    fn a_component_becomes_a_plugin_beside_its_manifest_or_where_it_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let [code, manifest, other] = ["code.wasm", "plugin.toml", "other.wasm"].map(|name| dir.path().join(name));
        // An empty component: magic, version, layer.
        fs::write(&code, b"\0asm\x0d\0\x01\0").unwrap();
        fs::write(&manifest, MANIFEST).unwrap();
        let pack = |code: &Path, out| pack(code, ManifestFile::read(&manifest)?, out);
        let made = pack(&code, None).unwrap();
        assert_eq!(made, dir.path().join("mine.wasm"));
        assert_eq!(pack(&code, Some(other.clone())).unwrap(), other);
        assert_eq!(fs::read(&made).unwrap(), fs::read(&other).unwrap());
        let refused = |code: &Path, out: Option<PathBuf>| format!("{:#}", pack(code, out).unwrap_err());
        assert!(refused(&made, None).contains("--out"));
        assert!(refused(&made, Some(other.clone())).contains("manifest already"));
        assert!(refused(&dir.path().join("gone.wasm"), None).contains("cannot be read"));
        fs::write(&manifest, "nonsense").unwrap();
        assert!(refused(&code, None).contains("plugin.toml"));
    }
}
