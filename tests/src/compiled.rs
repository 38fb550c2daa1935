//! Compiled code of the shipped plugins, kept for all hubs under test: each of them has a fresh data folder and would compile for seconds before it is ready.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use crate::binaries::binary;

/// Where a hub has it, in its data folder.
const FOLDER: &str = "plugin-cache";

/// Beside the binaries, so that a clean build has none.
fn kept() -> PathBuf {
    binary("streamflow-hub").with_file_name("compiled-for-tests")
}

/// Puts into a new data folder what an earlier hub has compiled. A hub loads only what its key marks, so that goes along.
pub(crate) fn lend(data: &Path) {
    // None yet, or another test is just replacing it: then the hub compiles.
    if let Err(error) = copy(&kept(), &data.join(FOLDER)) {
        println!("no compiled plugins for {}: {error}", data.display());
    }
}

/// Keeps what a hub that is ready had to compile.
pub(crate) fn keep(data: &Path) {
    let (made, kept) = (data.join(FOLDER), kept());
    if names(&made) == names(&kept) {
        return;
    }
    let beside = |what: &str| kept.with_extension(format!("{what}-{}", std::process::id()));
    let (new, old) = (beside("new"), beside("old"));
    // In one step, for tests that read it meanwhile; of two that do this at once, either one is right.
    let replaced = copy(&made, &new).and_then(|()| {
        fs::rename(&kept, &old).ok();
        fs::rename(&new, &kept)
    });
    if let Err(error) = replaced {
        println!("compiled plugins are not kept: {error}");
    }
    for left in [new, old].iter().filter(|folder| folder.exists()) {
        if let Err(error) = fs::remove_dir_all(left) {
            println!("{}: {error}", left.display());
        }
    }
}

fn names(folder: &Path) -> BTreeSet<OsString> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name()).collect()
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let entries = fs::read_dir(from)?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(to)?;
    for entry in entries {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}
