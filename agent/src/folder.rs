//! Makes a folder that is still there after the power fails.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Makes `dir` with all that is missing above it, and syncs every folder that got a new entry; a synced file in a folder whose own entry is not
/// synced can be lost with it.
pub fn make(dir: &Path) -> io::Result<()> {
    make_and(dir, |parent| File::open(parent)?.sync_all())
}

fn make_and(dir: &Path, mut sync: impl FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    let absolute = std::path::absolute(dir)?;
    let missing: Vec<PathBuf> = absolute
        .ancestors()
        .take_while(|folder| !folder.is_dir())
        .map(Path::to_owned)
        .collect();
    fs::create_dir_all(&absolute)?;
    missing
        .iter()
        .filter_map(|folder| folder.parent())
        .try_for_each(&mut sync)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_folder_that_got_an_entry_is_synced() {
        let top = tempfile::tempdir().unwrap();
        let dir = top.path().join("a/b/c");
        let mut synced = Vec::new();
        make_and(&dir, |folder| {
            synced.push(folder.to_owned());
            Ok(())
        })
        .unwrap();
        assert!(dir.is_dir());
        assert_eq!(
            synced,
            [top.path().join("a/b"), top.path().join("a"), top.path().to_owned()]
        );
        make_and(&dir, |folder| panic!("nothing is new in {folder:?}")).unwrap();
        make(&dir.join("d")).unwrap();
        let file = top.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(make(&file.join("x")).is_err());
    }
}
