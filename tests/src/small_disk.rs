//! A disk of a few megabytes that can really be full.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// A tmpfs of its own size, with a ballast file that takes the rest of the room.
#[derive(Debug)]
pub struct SmallDisk {
    dir: TempDir,
}

impl SmallDisk {
    /// Mounts one; `None` where this needs rights that the test does not have.
    ///
    /// # Panics
    /// With `CI=true`, where nothing may be skipped.
    #[must_use]
    pub fn mount(mebibytes: u32) -> Option<Self> {
        let dir = TempDir::new().expect("folder");
        let size = format!("size={mebibytes}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(dir.path())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self { dir });
        }
        assert!(
            std::env::var_os("CI").is_none(),
            "a tmpfs cannot be mounted here, so disks cannot be filled"
        );
        eprintln!("skipped: mounting a tmpfs needs root");
        None
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    fn ballast(&self) -> PathBuf {
        self.dir.path().join("ballast")
    }

    /// Takes all room that is left.
    ///
    /// # Panics
    /// When the ballast cannot be made.
    pub fn fill(&self) {
        let mut file = std::fs::File::create(self.ballast()).expect("ballast");
        let block = vec![1_u8; 4096];
        while std::io::Write::write_all(&mut file, &block).is_ok() {}
    }

    /// Gives the room back.
    ///
    /// # Panics
    /// When there is no ballast.
    pub fn free(&self) {
        std::fs::remove_file(self.ballast()).expect("ballast");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.dir.path()).status());
    }
}
