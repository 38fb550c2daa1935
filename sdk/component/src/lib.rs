//! A plugin as one file: a WebAssembly component with its manifest in a custom section.
//!
//! Apart from the hub's plugin host, because building plugins must not need the WebAssembly compiler of the hub.

mod envelope;
mod input;
pub mod manifest;
mod package;
mod schema;
mod sections;

pub use envelope::{Envelope, EnvelopeField};
pub use input::{ColumnsError, Field, FieldType, Input};
pub use manifest::{HttpGrant, Kind, Manifest, ManifestError, is_plugin_name};
pub use package::{Package, PackageError, encode, sign_with};
