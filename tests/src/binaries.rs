//! Where the binaries under test are.

use std::path::PathBuf;

/// Root of the repository.
#[must_use]
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .expect("the repository's root")
}

/// A binary of the workspace, built in the same profile as this test.
///
/// # Panics
/// When it has not been built.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this test's own path");
    let folder = test.ancestors().find(|dir| dir.join(name).is_file());
    folder
        .map(|dir| dir.join(name))
        .unwrap_or_else(|| panic!("{name} is not built; run `cargo build --workspace --bins` first"))
}
