//! The folder of installed plugins: `NAME.wasm`, the version before it, one that waits for approval, one in the shadow, and the operator's decisions.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use crate::record::Record;

/// A folder of installed plugins. Every change leaves either the old state or the new one, whenever the power goes.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) const fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Where the version that runs is put.
    pub(crate) fn current(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.wasm"))
    }

    /// The version before it.
    pub(crate) fn previous(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.wasm.previous"))
    }

    /// A version that waits for approval.
    pub(crate) fn pending(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.wasm.pending"))
    }

    /// A version that runs in the shadow of the present one.
    pub(crate) fn shadow(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.wasm.shadow"))
    }

    fn record_path(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.json"))
    }

    /// Files that run, by name; a folder that is not there holds none.
    pub(crate) fn files(&self) -> io::Result<Vec<PathBuf>> {
        list(&self.0, "wasm")
    }

    /// Files that wait for approval.
    pub(crate) fn waiting(&self) -> io::Result<Vec<PathBuf>> {
        list(&self.0, "pending")
    }

    /// Files that run in a shadow.
    pub(crate) fn shadows(&self) -> io::Result<Vec<PathBuf>> {
        list(&self.0, "shadow")
    }

    /// What was decided; none when nothing ever was, or when it cannot be read.
    pub(crate) fn record(&self, name: &str) -> Option<Record> {
        let path = self.record_path(name);
        let text = fs::read(&path).ok()?;
        serde_json::from_slice(&text)
            .inspect_err(|error| tracing::error!(path = %path.display(), %error, "what was decided about a plugin cannot be read"))
            .ok()
    }

    pub(crate) fn put_record(&self, name: &str, record: &Record) -> io::Result<()> {
        self.write(&self.record_path(name), &serde_json::to_vec_pretty(record)?)
    }

    /// Keeps a version until somebody approves it.
    pub(crate) fn put_pending(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.write(&self.pending(name), bytes)
    }

    /// Keeps a version that runs in the shadow.
    pub(crate) fn put_shadow(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.write(&self.shadow(name), bytes)
    }

    pub(crate) fn remove_shadow(&self, name: &str) -> io::Result<()> {
        gone(fs::remove_file(self.shadow(name)))
    }

    /// Puts a version in place of the present one, which becomes the previous one. `from` is where the present one lies, whatever its name.
    pub(crate) fn put_current(&self, name: &str, bytes: &[u8], from: Option<&Path>) -> io::Result<()> {
        let current = self.current(name);
        if let Some(from) = from {
            let previous = self.previous(name);
            gone(fs::remove_file(&previous))?;
            fs::hard_link(from, &previous)?;
        }
        self.write(&current, bytes)?;
        if let Some(from) = from.filter(|from| *from != current) {
            gone(fs::remove_file(from))?;
        }
        self.sync()
    }

    /// The present version and the previous one change places.
    pub(crate) fn swap(&self, name: &str, current: &Path) -> io::Result<()> {
        let (previous, aside) = (self.previous(name), self.0.join(format!("{name}.wasm.swap")));
        gone(fs::remove_file(&aside))?;
        fs::hard_link(current, &aside)?;
        fs::rename(&previous, self.current(name))?;
        fs::rename(&aside, &previous)?;
        if current != self.current(name) {
            gone(fs::remove_file(current))?;
        }
        self.sync()
    }

    /// Removes a plugin with all its versions. `current` is where it lies, whatever its name.
    pub(crate) fn remove(&self, name: &str, current: Option<&Path>) -> io::Result<()> {
        if let Some(current) = current {
            gone(fs::remove_file(current))?;
        }
        for path in [
            self.current(name),
            self.previous(name),
            self.pending(name),
            self.shadow(name),
            self.record_path(name),
        ] {
            gone(fs::remove_file(path))?;
        }
        self.sync()
    }

    pub(crate) fn remove_pending(&self, name: &str) -> io::Result<()> {
        gone(fs::remove_file(self.pending(name)))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.0)?;
        let mut new = path.to_owned().into_os_string();
        new.push(".new");
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(new, path)?;
        self.sync()
    }

    fn sync(&self) -> io::Result<()> {
        fs::File::open(&self.0)?.sync_all()
    }
}

/// It does not matter that a file was not there.
pub(crate) fn gone(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The files of a folder with this extension, by name.
pub(crate) fn list(folder: &Path, extension: &str) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let paths: Vec<PathBuf> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<_>>()?;
    let mut files: Vec<PathBuf> = paths
        .into_iter()
        .filter(|path| path.extension().is_some_and(|own| own == extension))
        .collect();
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: PathBuf) -> Option<String> {
        fs::read_to_string(path).ok()
    }

    #[test]
    fn versions_change_places() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path().join("plugins"));
        assert!(folder.files().unwrap().is_empty());
        folder.put_current("a", b"1", None).unwrap();
        assert_eq!(read(folder.previous("a")), None);
        folder.put_current("a", b"2", Some(&folder.current("a"))).unwrap();
        assert_eq!(
            (read(folder.current("a")), read(folder.previous("a"))),
            (Some("2".into()), Some("1".into()))
        );
        folder.swap("a", &folder.current("a")).unwrap();
        assert_eq!(
            (read(folder.current("a")), read(folder.previous("a"))),
            (Some("1".into()), Some("2".into()))
        );
        assert_eq!(folder.files().unwrap(), [folder.current("a")]);
        folder.put_pending("a", b"3").unwrap();
        assert_eq!(folder.waiting().unwrap(), [folder.pending("a")]);
        folder.remove("a", None).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_of_another_name_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path().to_owned());
        let odd = dir.path().join("a-1.0.wasm");
        fs::write(&odd, "1").unwrap();
        folder.put_current("a", b"2", Some(&odd)).unwrap();
        assert_eq!(folder.files().unwrap(), [folder.current("a")]);
        assert_eq!(read(folder.previous("a")), Some("1".into()));
    }
}
