//! From a file to code that can be instantiated: size, manifest, compilation, imports, exports; in this order, each before the next.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use streamflow_component::{Kind, Manifest, PackageError};
use wasmtime::{Engine, Store, component::Component};

use super::{
    Cache, Sandbox,
    bindings::{ChannelPlugin, ChannelPluginPre},
    guest::Guest,
};

/// Largest plugin file.
const MAX_FILE: u64 = 16 << 20;

/// The interface that this host speaks.
const PACKAGE: &str = "streamflow:plugin/";
const API: &str = "0.1";

/// Compiled and linked code.
pub(crate) struct Code {
    pre: ChannelPluginPre<Guest>,
}

/// Why a file cannot be run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the file has {0} bytes; {MAX_FILE} are allowed")]
    Large(u64),
    #[error(transparent)]
    Package(#[from] PackageError),
    #[error("this hub runs no {0} plugins yet")]
    Kind(&'static str),
    #[error("it needs version {0} of the plugin interface; this hub speaks {API}")]
    Api(String),
    #[error("it asks for mail, which this hub does not offer yet")]
    Mail,
    #[error("it does not compile: {0}")]
    Compile(String),
    #[error("it was not compiled within {0} ms")]
    Slow(u32),
    #[error("it imports {0}, which {1}")]
    Import(String, &'static str),
    #[error("it does not fit the plugin interface: {0}")]
    Link(String),
    #[error("the schema of its configuration: {0}")]
    Schema(String),
    #[error("not signed; set [plugins] allow_unsigned = true to run it all the same")]
    Unsigned,
    #[error("another plugin has this name")]
    NameTaken,
}

/// A file's bytes and what its manifest says.
pub(crate) struct File {
    pub(crate) bytes: Vec<u8>,
    pub(crate) manifest: Manifest,
}

impl File {
    pub(crate) fn read(path: &Path) -> Result<Self, LoadError> {
        let at = |source| LoadError::Read {
            path: path.to_owned(),
            source,
        };
        let size = fs::metadata(path).map_err(at)?.len();
        if size > MAX_FILE {
            return Err(LoadError::Large(size));
        }
        let bytes = fs::read(path).map_err(at)?;
        let manifest = streamflow_component::read_manifest(&bytes)?;
        Ok(Self { bytes, manifest })
    }
}

impl Code {
    /// Compiles and links. Takes long: not for async threads.
    pub(crate) fn build(sandbox: &Sandbox, cache: &Cache, file: &File) -> Result<Self, LoadError> {
        let manifest = &file.manifest;
        if manifest.kind != Kind::Channel {
            return Err(LoadError::Kind(manifest.kind.name()));
        }
        if manifest.api != API {
            return Err(LoadError::Api(manifest.api.clone()));
        }
        if manifest.mail {
            return Err(LoadError::Mail);
        }
        let sha256: String = Sha256::digest(&file.bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let component = cache
            .compile(&sandbox.engine, &file.bytes, &sha256)
            .map_err(|error| LoadError::Compile(error.root_cause().to_string()))?;
        for import in imports(&sandbox.engine, &component) {
            allowed(&import, manifest).map_err(|reason| LoadError::Import(import, reason))?;
        }
        let link = |error: wasmtime::Error| LoadError::Link(format!("{error:#}"));
        let pre = sandbox.linker.instantiate_pre(&component).map_err(link)?;
        Ok(Self {
            pre: ChannelPluginPre::new(pre).map_err(link)?,
        })
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.pre.engine()
    }

    pub(crate) async fn instantiate(&self, store: &mut Store<Guest>) -> wasmtime::Result<ChannelPlugin> {
        self.pre.instantiate_async(store).await
    }
}

fn imports(engine: &Engine, component: &Component) -> Vec<String> {
    component
        .component_type()
        .imports(engine)
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// Whether a manifest entitles to an import.
fn allowed(import: &str, manifest: &Manifest) -> Result<(), &'static str> {
    const NOT_OFFERED: &str = "this hub does not offer";
    let (interface, version) = import
        .strip_prefix(PACKAGE)
        .and_then(|name| name.split_once('@'))
        .ok_or(NOT_OFFERED)?;
    if version.strip_prefix(API).is_none_or(|rest| !rest.starts_with('.')) {
        return Err("is of another version of the interface");
    }
    match interface {
        "types" | "log" => Ok(()),
        "http" if manifest.http.is_empty() => Err("its manifest does not ask for ([capabilities] http)"),
        "http" => Ok(()),
        _ => Err(NOT_OFFERED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_need_a_right() {
        let manifest = |more: &str| {
            let text = format!("[plugin]\nname = \"a\"\nversion = \"1\"\nkind = \"channel\"\napi = \"0.1\"\n{more}");
            Manifest::parse(&text).unwrap()
        };
        let (none, http) = (manifest(""), manifest("[capabilities]\nhttp = [\"config:url\"]"));
        assert_eq!(allowed("streamflow:plugin/log@0.1.0", &none), Ok(()));
        assert_eq!(allowed("streamflow:plugin/http@0.1.7", &http), Ok(()));
        assert!(
            allowed("streamflow:plugin/http@0.1.0", &none)
                .unwrap_err()
                .contains("manifest")
        );
        for import in [
            "wasi:filesystem/types@0.2.0",
            "wasi:sockets/tcp@0.2.0",
            "streamflow:plugin/mail@0.1.0",
            "env",
            "streamflow:plugin/log",
        ] {
            assert!(
                allowed(import, &http).unwrap_err().contains("does not offer"),
                "{import}"
            );
        }
        for version in ["0.2.0", "0.10.0", "1.0.0", "0.1"] {
            let import = format!("streamflow:plugin/log@{version}");
            assert!(
                allowed(&import, &http).unwrap_err().contains("another version"),
                "{import}"
            );
        }
    }
}
