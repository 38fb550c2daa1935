//! A plugin as one file: a WebAssembly component with its manifest in a custom section.
//!
//! Apart from the hub's plugin host, because building plugins must not need the WebAssembly compiler of the hub.

pub mod manifest;
mod package;

pub use manifest::{HttpGrant, Kind, Manifest, ManifestError};
pub use package::{PackageError, encode, read_manifest};
