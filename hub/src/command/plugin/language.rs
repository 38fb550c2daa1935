//! `plugin new --language`: the rules of `sdk/examples`, each made to stand alone.

use std::{fs, path::Path};

use super::sdk;

/// A rule in a language other than Rust.
pub(super) struct Example {
    /// As its manifest names it.
    name: &'static str,
    files: &'static [(&'static str, &'static [u8])],
    /// The commands that make `rule.wasm` of it.
    pub(super) build: &'static str,
}

/// The files of an example, from `sdk/examples`.
macro_rules! files {
    ($folder:literal: $($file:literal),+ $(,)?) => {
        &[$(($file, include_bytes!(concat!("../../../../sdk/examples/", $folder, "/", $file)).as_slice())),+]
    };
}

pub(super) const JAVASCRIPT: Example = Example {
    name: "count-javascript",
    files: files!("javascript": "rule.js", "plugin.toml", "package.json", "package-lock.json", ".npmrc"),
    build: "npm ci\n  npm run build",
};

pub(super) const PYTHON: Example = Example {
    name: "count-python",
    files: files!("python": "app.py", "plugin.toml", "requirements.txt", "build.sh"),
    build: "python3 -m venv .venv\n  .venv/bin/pip install --require-hashes -r requirements.txt\n  PATH=$PWD/.venv/bin:$PATH sh build.sh",
};

pub(super) const C: Example = Example {
    name: "count-c",
    files: files!(
        "c": "rule.c", "plugin.toml", "build.sh", "libc/memory.c", "libc/stdlib.h", "libc/string.h",
        "bindings/rule_plugin.c", "bindings/rule_plugin.h", "bindings/rule_plugin_component_type.o",
    ),
    build: "sh build.sh",
};

/// What the compilers leave in the folder.
const IGNORE: &str = "node_modules/\n.venv/\n__pycache__/\n/*.wasm\n*.key\n";

impl Example {
    /// Writes it into a folder, under a name of its own, with the interface beside it.
    ///
    /// # Errors
    /// When files cannot be written.
    pub(super) fn write(&self, dir: &Path, name: &str) -> anyhow::Result<()> {
        for (path, bytes) in self.files {
            let path = dir.join(path);
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            match std::str::from_utf8(bytes) {
                Ok(text) => fs::write(path, self.adapted(text, name))?,
                Err(_) => fs::write(path, bytes)?,
            }
        }
        fs::write(dir.join(".gitignore"), IGNORE)?;
        sdk::write_interface(&dir.join(".streamflow"))
    }

    fn adapted(&self, text: &str, name: &str) -> String {
        text.replace(&format!("name = \"{}\"", self.name), &format!("name = \"{name}\""))
            .replace("../../../wit", ".streamflow/wit")
    }
}

#[cfg(test)]
mod tests {
    use streamflow_component::Manifest;

    use super::*;

    #[test]
    fn each_example_stands_alone_under_its_own_name() {
        for example in [JAVASCRIPT, PYTHON, C] {
            let dir = tempfile::tempdir().unwrap();
            example.write(dir.path(), "mine").unwrap();
            let manifest = fs::read_to_string(dir.path().join("plugin.toml")).unwrap();
            assert_eq!(Manifest::parse(&manifest).unwrap().name, "mine");
            assert!(dir.path().join(".streamflow/wit/streamflow-plugin.wit").is_file());
            for (path, bytes) in example.files {
                let written = fs::read(dir.path().join(path)).unwrap();
                let Ok(text) = std::str::from_utf8(bytes) else {
                    assert!(written == *bytes, "{path}: other bytes than those of the example");
                    continue;
                };
                let written = String::from_utf8(written).unwrap();
                assert!(!written.contains("../wit") && !written.contains(example.name), "{path}");
                assert_eq!(written.lines().count(), text.lines().count(), "{path}");
            }
        }
    }
}
