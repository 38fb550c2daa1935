//! From a file to code that can be instantiated: size, manifest, compilation, imports, exports; in this order, each before the next.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use sha2::{Digest, Sha256};
use streamflow_component::{Kind, Manifest, Package, PackageError};
use wasmtime::{
    Engine, Store,
    component::{Component, InstancePre},
};

use super::{
    Cache, Sandbox,
    bindings::{channel, rule, transform},
    engine::Ticker,
    guest::Guest,
};
use crate::signature::{SignatureError, Trust, TrustedKeys};

/// Largest plugin file. A component that holds Python's interpreter has 18 MiB.
pub(crate) const MAX_FILE: usize = 32 << 20;

/// The interface that this host speaks.
const PACKAGE: &str = "streamflow:plugin/";
const API: &str = "0.1";

/// Compiled and linked code.
pub(crate) struct Code {
    pre: InstancePre<Guest>,
    exports: Exports,
    /// Without it a deadline would never come.
    _ticker: Arc<Ticker>,
}

/// What it exports, by the kind of the plugin.
enum Exports {
    Channel(channel::GuestIndices),
    Rule(rule::GuestIndices),
    Transform(transform::GuestIndices),
}

/// Why a file cannot be run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the file has {0} bytes; {MAX_FILE} are allowed")]
    Large(usize),
    #[error(transparent)]
    Package(#[from] PackageError),
    /// With what an agent calls it: the name of one that comes with agents, or where a file lies.
    #[error("transforms run in agents: name it in agent.toml, as [[processors]] kind = \"plugin\", plugin = \"{0}\"")]
    ForAgents(String),
    #[error("it needs version {0} of the plugin interface; this hub speaks {API}")]
    Api(String),
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
    #[error("input.fields: `{0}`: {1}")]
    Field(String, String),
    #[error("a {0} has no {1}: it computes, and nothing else")]
    Rights(&'static str, &'static str),
    #[error(
        "not signed; set [plugins] allow_unsigned = true to run it all the same, or sign it with `streamflow-hub plugin sign` and list the key in [plugins] trusted_keys"
    )]
    Unsigned,
    #[error(transparent)]
    Signature(#[from] SignatureError),
    #[error("another plugin has this name")]
    NameTaken,
    #[error("{0}")]
    NotApproved(String),
}

impl LoadError {
    /// For a transform that did not come with the hub.
    pub(crate) fn file_for_agents() -> Self {
        Self::ForAgents("/path/to/it.wasm".to_owned())
    }
}

/// A file's bytes and what its manifest says.
pub(crate) struct File {
    pub(crate) bytes: Vec<u8>,
    pub(crate) manifest: Manifest,
    /// What the component imports, as it is written in the file.
    imports: Vec<String>,
}

impl File {
    pub(crate) fn read(path: &Path) -> Result<Self, LoadError> {
        let at = |source| LoadError::Read {
            path: path.to_owned(),
            source,
        };
        let size = fs::metadata(path).map_err(at)?.len();
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if size > MAX_FILE {
            return Err(LoadError::Large(size));
        }
        Self::of(fs::read(path).map_err(at)?)
    }

    pub(crate) fn of(bytes: Vec<u8>) -> Result<Self, LoadError> {
        if bytes.len() > MAX_FILE {
            return Err(LoadError::Large(bytes.len()));
        }
        let Package { manifest, imports, .. } = Package::read(&bytes)?;
        Ok(Self {
            bytes,
            manifest,
            imports,
        })
    }

    /// Whose word there is for it.
    pub(crate) fn trust(&self, keys: &TrustedKeys, allow_unsigned: bool) -> Result<Trust, LoadError> {
        let trust = keys.judge(&Package::read(&self.bytes)?)?;
        if trust == Trust::Unsigned && !allow_unsigned {
            return Err(LoadError::Unsigned);
        }
        Ok(trust)
    }

    /// SHA-256 of the whole file, in hexadecimal.
    pub(crate) fn sha256(&self) -> String {
        Sha256::digest(&self.bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

impl Code {
    /// Compiles and links. Takes long: not for async threads.
    pub(crate) fn build(sandbox: &Sandbox, cache: Option<&Cache>, file: &File) -> Result<Self, LoadError> {
        let manifest = &file.manifest;
        fits_its_kind(manifest)?;
        if manifest.api != API {
            return Err(LoadError::Api(manifest.api.clone()));
        }
        let check = |import: String| match allowed(&import, manifest) {
            Ok(()) => Ok(()),
            Err(reason) => Err(LoadError::Import(import, reason)),
        };
        // What can be refused at once is not compiled first, which takes long. What counts is what the compiler found, below.
        file.imports.iter().cloned().try_for_each(check)?;
        let engine = &sandbox.engine;
        let component = match cache {
            Some(cache) => cache.compile(engine, &file.bytes, &file.sha256()),
            None => Component::new(engine, &file.bytes),
        };
        let component = component.map_err(|error| LoadError::Compile(error.root_cause().to_string()))?;
        imports(engine, &component).into_iter().try_for_each(check)?;
        let link = |error: wasmtime::Error| LoadError::Link(format!("{error:#}"));
        let pre = sandbox.linker.instantiate_pre(&component).map_err(link)?;
        let exports = match manifest.kind {
            Kind::Channel => Exports::Channel(channel::GuestIndices::new(&pre).map_err(link)?),
            Kind::Rule => Exports::Rule(rule::GuestIndices::new(&pre).map_err(link)?),
            Kind::Transform => Exports::Transform(transform::GuestIndices::new(&pre).map_err(link)?),
        };
        Ok(Self {
            pre,
            exports,
            _ticker: Arc::clone(&sandbox.ticker),
        })
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.pre.engine()
    }

    pub(crate) async fn channel(&self, store: &mut Store<Guest>) -> wasmtime::Result<channel::Guest> {
        let Exports::Channel(indices) = &self.exports else {
            return Err(wasmtime::format_err!("not a channel"));
        };
        let instance = self.pre.instantiate_async(&mut *store).await?;
        indices.load(store, &instance)
    }

    pub(crate) async fn transform(&self, store: &mut Store<Guest>) -> wasmtime::Result<transform::Guest> {
        let Exports::Transform(indices) = &self.exports else {
            return Err(wasmtime::format_err!("not a transform"));
        };
        let instance = self.pre.instantiate_async(&mut *store).await?;
        indices.load(store, &instance)
    }

    pub(crate) async fn rule(&self, store: &mut Store<Guest>) -> wasmtime::Result<rule::Guest> {
        let Exports::Rule(indices) = &self.exports else {
            return Err(wasmtime::format_err!("not a rule"));
        };
        let instance = self.pre.instantiate_async(&mut *store).await?;
        indices.load(store, &instance)
    }
}

/// Whether a manifest asks only for what its kind of plugin can have.
fn fits_its_kind(manifest: &Manifest) -> Result<(), LoadError> {
    let rights = [
        ("http", !manifest.http.is_empty()),
        ("secrets", !manifest.secrets.is_empty()),
        ("mail", manifest.mail),
    ];
    match rights.iter().find(|(_, asked)| *asked) {
        Some((right, _)) if manifest.kind != Kind::Channel => Err(LoadError::Rights(manifest.kind.name(), right)),
        _ => Ok(()),
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
    const NO_WASI: &str = "this hub does not offer: no plugin gets WASI, and tools that want it can leave it out (componentize-py and \
         componentize-qjs with `--stub-wasi`, componentize-js with `disableFeatures`, Rust for the target wasm32-unknown-unknown)";
    if import.starts_with("wasi:") {
        return Err(NO_WASI);
    }
    let (interface, version) = import
        .strip_prefix(PACKAGE)
        .and_then(|name| name.split_once('@'))
        .ok_or(NOT_OFFERED)?;
    if version.strip_prefix(API).is_none_or(|rest| !rest.starts_with('.')) {
        return Err("is of another version of the interface");
    }
    match interface {
        "types" | "log" => Ok(()),
        "group" if manifest.kind == Kind::Channel => Ok(()),
        "group" => Err("is for channels"),
        "http" if manifest.http.is_empty() => Err("its manifest does not ask for ([capabilities] http)"),
        "http" => Ok(()),
        "mail" if !manifest.mail => Err("its manifest does not ask for ([capabilities] mail)"),
        "mail" => Ok(()),
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
        let mail = manifest("[capabilities]\nmail = true");
        assert_eq!(allowed("streamflow:plugin/mail@0.1.0", &mail), Ok(()));
        assert!(
            allowed("streamflow:plugin/mail@0.1.0", &http)
                .unwrap_err()
                .contains("manifest")
        );
        for import in [
            "wasi:filesystem/types@0.2.0",
            "wasi:sockets/tcp@0.2.0",
            "env",
            "streamflow:plugin/log",
        ] {
            assert!(
                allowed(import, &http).unwrap_err().contains("does not offer"),
                "{import}"
            );
        }
        assert!(
            allowed("wasi:cli/stdout@0.2.12", &http)
                .unwrap_err()
                .contains("--stub-wasi")
        );
        for version in ["0.2.0", "0.10.0", "1.0.0", "0.1"] {
            let import = format!("streamflow:plugin/log@{version}");
            assert!(
                allowed(&import, &http).unwrap_err().contains("another version"),
                "{import}"
            );
        }
    }
}
