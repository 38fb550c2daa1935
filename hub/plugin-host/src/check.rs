//! Checks a plugin file as a hub would, without a hub.

use streamflow_component::{Manifest, Package};

use crate::{
    rule::Projection,
    sandbox::{Code, File, LoadError, Sandbox},
    schema::Schema,
};

/// What a file holds.
#[derive(Debug, Clone)]
pub struct Checked {
    /// Its manifest.
    pub manifest: Manifest,
    /// Size of the file.
    pub bytes: usize,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// It carries a signature; whose, and whether it holds, only a hub with trusted keys can say.
    pub signed: bool,
}

/// Checks size, manifest, hash, schema, imports and exports.
///
/// # Errors
/// The reason for which a hub would not run it.
pub fn check(bytes: Vec<u8>) -> Result<Checked, String> {
    let checked = || -> Result<Checked, LoadError> {
        let file = File::of(bytes)?;
        Schema::compile(&file.manifest.schema).map_err(LoadError::Schema)?;
        let projection = Projection::fixed(&file.manifest.input);
        projection.map_err(|(path, error)| LoadError::Field(path, error.to_string()))?;
        let sandbox = Sandbox::new().map_err(|error| LoadError::Compile(error.to_string()))?;
        Code::build(&sandbox, None, &file)?;
        Ok(Checked {
            bytes: file.bytes.len(),
            sha256: file.sha256(),
            signed: Package::read(&file.bytes)?.signature.is_some(),
            manifest: file.manifest,
        })
    };
    checked().map_err(|error| error.to_string())
}
