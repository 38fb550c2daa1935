//! The one file that a plugin ships as: the component, then its manifest, then perhaps a signature, each in a custom section.
//!
//! The manifest holds the SHA-256 of the component before it, and the signature is over the manifest's text: together they cover
//! every byte.

use sha2::{Digest, Sha256};
use wasm_encoder::{ComponentSection, CustomSection};
use wasmparser::{Parser, Payload};

use crate::{
    Manifest, ManifestError, schema,
    sections::{Section, sections},
};

const MANIFEST_SECTION: &str = "streamflow:manifest";
const SIGNATURE_SECTION: &str = "streamflow:signature";

/// A manifest is some lines of text; more than this is not one.
const MAX_MANIFEST: usize = 256 << 10;
/// A signature file is four lines.
const MAX_SIGNATURE: usize = 4 << 10;

/// Why a file is not a plugin, or cannot become one.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// The compiled module does not fit the interface.
    #[error("not a plugin module: {0}")]
    Module(String),
    /// The code brings a schema of its configuration that cannot be used.
    #[error("the schema of the configuration: {0}")]
    Schema(String),
    /// The bytes are not WebAssembly.
    #[error("not a WebAssembly component: {0}")]
    Malformed(#[from] wasmparser::BinaryReaderError),
    /// The outermost sections do not end where the file ends.
    #[error("not a WebAssembly component: it is cut off")]
    Cut,
    /// A core module: it was not made into a component.
    #[error(
        "a core module, not a component; build it with `streamflow-hub plugin build`, or pack it with `streamflow-hub plugin pack`"
    )]
    CoreModule,
    /// To be packed, and packed already.
    #[error("it has a manifest already; pack the file that the compiler made")]
    Packed,
    /// No manifest inside.
    #[error("no manifest inside (custom section {MANIFEST_SECTION})")]
    NoManifest,
    /// More than one manifest inside.
    #[error("more than one manifest inside")]
    ManyManifests,
    /// Larger than any manifest.
    #[error("the manifest has {0} bytes; {MAX_MANIFEST} are allowed")]
    LargeManifest(usize),
    /// Manifest or signature is not text.
    #[error("the manifest is not UTF-8")]
    NotText,
    /// The manifest does not hold.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The component is not the one that the manifest was written for.
    #[error("the file was altered: its component is not the one whose SHA-256 the manifest holds")]
    Altered,
    /// Something stands behind the manifest that is no signature.
    #[error("the file was altered: something follows the manifest")]
    Trailing,
    /// The manifest names no component, so that a signature over it would say nothing.
    #[error("the manifest does not hold the component's SHA-256; build the plugin again")]
    NoHash,
}

/// A plugin file, taken apart.
#[derive(Debug, Clone)]
pub struct Package<'a> {
    /// Its manifest.
    pub manifest: Manifest,
    /// The manifest as it is written, which is what a signature covers.
    pub manifest_text: &'a str,
    /// The signature, in the format of minisign.
    pub signature: Option<&'a str>,
    /// Names of what the component imports from its host.
    pub imports: Vec<String>,
    /// The bytes without a signature.
    unsigned: &'a [u8],
}

/// Makes a component of a compiled core module, with its manifest inside. What is a component already, as the tools of other languages
/// make it, gets the manifest.
///
/// # Errors
/// When the module does not fit the interface that it was built against, or the manifest or the schema that the code brings does not hold.
pub fn encode(code: &[u8], manifest: &str) -> Result<Vec<u8>, PackageError> {
    Manifest::parse(manifest)?;
    if Parser::is_component(code) {
        well_formed(code)?;
        let sections = sections(code).ok_or(PackageError::Cut)?;
        let packed = |section: &Section<'_>| section.custom.is_some_and(|(name, _)| name == MANIFEST_SECTION);
        if sections.iter().any(packed) {
            return Err(PackageError::Packed);
        }
        return pack(code.to_vec(), manifest);
    }
    let (core_module, manifest) = schema::take(code, manifest)?;
    // The encoder's errors explain themselves over several causes; the alternate form prints them all.
    let component = wit_component::ComponentEncoder::default()
        .validate(true)
        .module(&core_module)
        .and_then(|encoder| encoder.encode())
        .map_err(|error| PackageError::Module(format!("{error:#}")))?;
    pack(component, &manifest)
}

fn pack(mut component: Vec<u8>, manifest: &str) -> Result<Vec<u8>, PackageError> {
    let text = format!(
        "{}\n\n[component]\nsha256 = \"{}\"\n",
        manifest.trim_end(),
        hex_sha256(&component)
    );
    if text.len() > MAX_MANIFEST {
        return Err(PackageError::LargeManifest(text.len()));
    }
    // Refuses a manifest that names a component of its own.
    Manifest::parse(&text)?;
    append(&mut component, MANIFEST_SECTION, &text);
    Ok(component)
}

/// Puts a signature over the manifest into a plugin file, in place of one that it may have. `sign` is given the text to sign.
///
/// # Errors
/// When the bytes are no plugin, or the manifest does not name its component.
pub fn sign_with<E: From<PackageError>>(
    bytes: &[u8],
    sign: impl FnOnce(&str) -> Result<String, E>,
) -> Result<Vec<u8>, E> {
    let package = Package::read(bytes)?;
    if package.manifest.sha256.is_none() {
        return Err(PackageError::NoHash.into());
    }
    let mut signed = package.unsigned.to_vec();
    append(&mut signed, SIGNATURE_SECTION, &sign(package.manifest_text)?);
    Ok(signed)
}

fn append(component: &mut Vec<u8>, name: &str, text: &str) {
    CustomSection {
        name: name.into(),
        data: text.as_bytes().into(),
    }
    .append_to_component(component);
}

fn hex_sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl<'a> Package<'a> {
    /// Takes a file apart, and checks that its component is the one that the manifest names.
    ///
    /// # Errors
    /// When the bytes are not a component with exactly one manifest that holds, or were altered.
    pub fn read(bytes: &'a [u8]) -> Result<Self, PackageError> {
        let imports = well_formed(bytes)?;
        let sections = sections(bytes).ok_or(PackageError::Cut)?;
        let named = |name: &str| {
            let is = |section: &&Section<'a>| section.custom.is_some_and(|(own, _)| own == name);
            sections.iter().filter(is).collect::<Vec<_>>()
        };
        let manifests = named(MANIFEST_SECTION);
        let section = match manifests.as_slice() {
            [] => return Err(PackageError::NoManifest),
            [one] => *one,
            _ => return Err(PackageError::ManyManifests),
        };
        let text = |section: &Section<'a>, most: usize| {
            let (_, data) = section.custom.ok_or(PackageError::NoManifest)?;
            if data.len() > most {
                return Err(PackageError::LargeManifest(data.len()));
            }
            std::str::from_utf8(data).map_err(|_| PackageError::NotText)
        };
        let manifest_text = text(section, MAX_MANIFEST)?;
        let manifest = Manifest::parse(manifest_text)?;
        let after: Vec<_> = sections.iter().filter(|other| other.start > section.start).collect();
        let (signature, end) = match after.as_slice() {
            [] => (None, bytes.len()),
            [one] if one.custom.is_some_and(|(name, _)| name == SIGNATURE_SECTION) => {
                (Some(text(one, MAX_SIGNATURE)?), one.start)
            }
            _ => return Err(PackageError::Trailing),
        };
        let (component, unsigned) = (&bytes[..section.start], &bytes[..end]);
        if manifest
            .sha256
            .as_ref()
            .is_some_and(|sha256| *sha256 != hex_sha256(component))
        {
            return Err(PackageError::Altered);
        }
        Ok(Self {
            manifest,
            manifest_text,
            signature,
            imports,
            unsigned,
        })
    }
}

/// Whether the bytes are a component at all, with all that is nested in it. Answers what the outermost component imports.
fn well_formed(bytes: &[u8]) -> Result<Vec<String>, PackageError> {
    let (mut first, mut depth, mut imports) = (true, 0_usize, Vec::new());
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::Version { encoding, .. }
                if std::mem::take(&mut first) && encoding == wasmparser::Encoding::Module =>
            {
                return Err(PackageError::CoreModule);
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    imports.push(import?.name.full_name().into_owned());
                }
            }
            _ => {}
        }
    }
    Ok(imports)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "[plugin]\nname = \"a\"\nversion = \"1.0.0\"\nkind = \"channel\"\napi = \"0.1\"\n";

    fn component() -> Vec<u8> {
        wat::parse_str("(component)").unwrap()
    }

    fn with_sections(mut component: Vec<u8>, sections: &[&str]) -> Vec<u8> {
        for text in sections {
            append(&mut component, MANIFEST_SECTION, text);
        }
        component
    }

    fn sign(bytes: &[u8], signature: &str) -> Vec<u8> {
        sign_with::<PackageError>(bytes, |_| Ok(signature.to_owned())).unwrap()
    }

    #[test]
    fn the_manifest_comes_back() {
        let bytes = with_sections(component(), &[MANIFEST]);
        assert_eq!(Package::read(&bytes).unwrap().manifest.name, "a");
    }

    #[test]
    fn a_manifest_of_an_inner_module_does_not_count() {
        let inner = format!("(component (core module (@custom \"{MANIFEST_SECTION}\" \"x\")))");
        let component = wat::parse_str(&inner).unwrap();
        assert!(matches!(Package::read(&component), Err(PackageError::NoManifest)));
        assert_eq!(
            Package::read(&with_sections(component, &[MANIFEST]))
                .unwrap()
                .manifest
                .name,
            "a"
        );
    }

    #[test]
    fn what_is_not_a_plugin_is_named() {
        assert!(matches!(Package::read(b"#!/bin/sh"), Err(PackageError::Malformed(_))));
        assert!(matches!(
            Package::read(&wat::parse_str("(module)").unwrap()),
            Err(PackageError::CoreModule)
        ));
        assert!(matches!(Package::read(&component()), Err(PackageError::NoManifest)));
        assert!(matches!(
            Package::read(&with_sections(component(), &[MANIFEST, MANIFEST])),
            Err(PackageError::ManyManifests)
        ));
        assert!(matches!(
            Package::read(&with_sections(component(), &["plugin = 1"])),
            Err(PackageError::Manifest(_))
        ));
        assert!(matches!(encode(b"\0asm", MANIFEST), Err(PackageError::Module(_))));
    }

    #[test]
    fn every_byte_is_covered_by_hash_and_signature() {
        let packed = pack(component(), MANIFEST).unwrap();
        let signed = sign(&packed, "first");
        let again = sign(&signed, "second");
        let package = Package::read(&again).unwrap();
        assert_eq!(package.signature, Some("second"));
        assert_eq!(package.unsigned, packed);
        assert!(package.manifest_text.contains("[component]\nsha256 = "));
        assert!(Package::read(&packed).unwrap().signature.is_none());

        let other = wat::parse_str("(component (core module))").unwrap();
        let stolen = [other.as_slice(), &packed[component().len()..]].concat();
        assert!(matches!(Package::read(&stolen), Err(PackageError::Altered)));
        let mut longer = signed.clone();
        append(&mut longer, "more", "x");
        assert!(matches!(Package::read(&longer), Err(PackageError::Trailing)));
        for at in 0..signed.len() {
            let mut broken = signed.clone();
            broken[at] ^= 1;
            let same = Package::read(&broken)
                .is_ok_and(|read| read.manifest_text == package.manifest_text && read.signature == Some("first"));
            assert!(!same, "byte {at} may change unseen");
        }
    }

    #[test]
    fn a_component_of_another_language_gets_the_manifest_once() {
        let component = wat::parse_str(
            r#"(component (import "a:b/c@0.1.0" (instance)) (component (import "inner" (func)) (core module (import "x" "y" (func)))) (import "d" (func)))"#,
        )
        .unwrap();
        let packed = encode(&component, MANIFEST).unwrap();
        assert!(packed.starts_with(&component));
        let package = Package::read(&packed).unwrap();
        assert_eq!(
            (package.manifest.name.as_str(), package.imports),
            ("a", vec!["a:b/c@0.1.0".to_owned(), "d".to_owned()])
        );
        assert!(matches!(encode(&packed, MANIFEST), Err(PackageError::Packed)));
        let cut = &component[..component.len() - 1];
        assert!(matches!(encode(cut, MANIFEST), Err(PackageError::Malformed(_))));
    }

    #[test]
    fn a_manifest_cannot_bring_its_own_hash() {
        let own = format!("{MANIFEST}[component]\nsha256 = \"00\"\n");
        assert!(matches!(pack(component(), &own), Err(PackageError::Manifest(_))));
        let bytes = with_sections(component(), &[MANIFEST]);
        let refused = sign_with::<PackageError>(&bytes, |_| Ok(String::new()));
        assert!(matches!(refused, Err(PackageError::NoHash)));
    }
}
