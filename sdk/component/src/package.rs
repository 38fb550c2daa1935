//! Makes the one file that a plugin ships as, and reads the manifest back out of it.

use wasm_encoder::{ComponentSection, CustomSection};
use wasmparser::{Parser, Payload};

use crate::{Manifest, ManifestError};

const MANIFEST_SECTION: &str = "streamflow:manifest";

/// A manifest is some lines of text; more than this is not one.
const MAX_MANIFEST: usize = 256 << 10;

/// Why a file is not a plugin, or cannot become one.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// The compiled module does not fit the interface.
    #[error("not a plugin module: {0}")]
    Module(String),
    /// The bytes are not WebAssembly.
    #[error("not a WebAssembly component: {0}")]
    Malformed(#[from] wasmparser::BinaryReaderError),
    /// A core module: it was not made into a component.
    #[error("a core module, not a component; build it with scripts/build-plugins.sh")]
    CoreModule,
    /// No manifest inside.
    #[error("no manifest inside (custom section {MANIFEST_SECTION})")]
    NoManifest,
    /// More than one manifest inside.
    #[error("more than one manifest inside")]
    ManyManifests,
    /// Larger than any manifest.
    #[error("the manifest has {0} bytes; {MAX_MANIFEST} are allowed")]
    LargeManifest(usize),
    /// The manifest is not text.
    #[error("the manifest is not UTF-8")]
    NotText,
    /// The manifest does not hold.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// Makes a component of a compiled core module, with its manifest inside.
///
/// # Errors
/// When the module does not fit the interface that it was built against, or the manifest does not hold.
pub fn encode(core_module: &[u8], manifest: &str) -> Result<Vec<u8>, PackageError> {
    Manifest::parse(manifest)?;
    if manifest.len() > MAX_MANIFEST {
        return Err(PackageError::LargeManifest(manifest.len()));
    }
    // The encoder's errors explain themselves over several causes; the alternate form prints them all.
    let mut component = wit_component::ComponentEncoder::default()
        .validate(true)
        .module(core_module)
        .and_then(|encoder| encoder.encode())
        .map_err(|error| PackageError::Module(format!("{error:#}")))?;
    CustomSection {
        name: MANIFEST_SECTION.into(),
        data: manifest.as_bytes().into(),
    }
    .append_to_component(&mut component);
    Ok(component)
}

/// The manifest inside a component.
///
/// # Errors
/// When the bytes are not a component with exactly one manifest that holds.
pub fn read_manifest(component: &[u8]) -> Result<Manifest, PackageError> {
    let mut found = Vec::new();
    // Modules and components nest; a section of an inner one is not the plugin's own.
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(component) {
        match payload? {
            Payload::Version { encoding, .. } if depth == 0 && encoding == wasmparser::Encoding::Module => {
                return Err(PackageError::CoreModule);
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::CustomSection(section) if depth == 0 && section.name() == MANIFEST_SECTION => {
                found.push(section.data())
            }
            _ => {}
        }
    }
    let bytes = match found.as_slice() {
        [] => return Err(PackageError::NoManifest),
        [bytes] => *bytes,
        _ => return Err(PackageError::ManyManifests),
    };
    if bytes.len() > MAX_MANIFEST {
        return Err(PackageError::LargeManifest(bytes.len()));
    }
    Ok(Manifest::parse(
        std::str::from_utf8(bytes).map_err(|_| PackageError::NotText)?,
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "[plugin]\nname = \"a\"\nversion = \"1.0.0\"\nkind = \"channel\"\napi = \"0.1\"\n";

    fn with_sections(mut component: Vec<u8>, sections: &[&str]) -> Vec<u8> {
        for text in sections {
            CustomSection {
                name: MANIFEST_SECTION.into(),
                data: text.as_bytes().into(),
            }
            .append_to_component(&mut component);
        }
        component
    }

    #[test]
    fn the_manifest_comes_back() {
        let component = with_sections(wat::parse_str("(component)").unwrap(), &[MANIFEST]);
        assert_eq!(read_manifest(&component).unwrap().name, "a");
    }

    #[test]
    fn a_manifest_of_an_inner_module_does_not_count() {
        let inner = format!("(component (core module (@custom \"{MANIFEST_SECTION}\" \"x\")))");
        let component = wat::parse_str(&inner).unwrap();
        assert!(matches!(read_manifest(&component), Err(PackageError::NoManifest)));
        assert_eq!(read_manifest(&with_sections(component, &[MANIFEST])).unwrap().name, "a");
    }

    #[test]
    fn what_is_not_a_plugin_is_named() {
        let component = || wat::parse_str("(component)").unwrap();
        assert!(matches!(read_manifest(b"#!/bin/sh"), Err(PackageError::Malformed(_))));
        assert!(matches!(
            read_manifest(&wat::parse_str("(module)").unwrap()),
            Err(PackageError::CoreModule)
        ));
        assert!(matches!(read_manifest(&component()), Err(PackageError::NoManifest)));
        assert!(matches!(
            read_manifest(&with_sections(component(), &[MANIFEST, MANIFEST])),
            Err(PackageError::ManyManifests)
        ));
        assert!(matches!(
            read_manifest(&with_sections(component(), &["plugin = 1"])),
            Err(PackageError::Manifest(_))
        ));
        assert!(matches!(encode(b"\0asm", MANIFEST), Err(PackageError::Module(_))));
    }
}
