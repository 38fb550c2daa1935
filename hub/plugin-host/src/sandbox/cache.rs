//! Compiled plugins kept between starts. Loading compiled code is running it, so only entries that this hub wrote itself,
//! and that nobody has touched since, are loaded.

use std::{
    collections::HashSet,
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Mutex,
};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use wasmtime::{Engine, component::Component};

const TAG: usize = 32;

/// A folder of compiled code under a key of its own.
pub(crate) struct Cache {
    dir: PathBuf,
    mark: Hmac<Sha256>,
    used: Mutex<HashSet<PathBuf>>,
}

/// Why there is no cache.
#[derive(Debug, thiserror::Error)]
#[error("plugin cache {}: {source}", path.display())]
pub struct CacheError {
    path: PathBuf,
    source: io::Error,
}

impl Cache {
    /// Opens the cache, or makes it with a fresh key.
    pub(crate) fn open(dir: PathBuf) -> Result<Self, CacheError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            |source| CacheError { path, source }
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .map_err(at(&dir))?;
        let path = dir.join("key");
        let key = match fs::read(&path) {
            Ok(key) if key.len() == TAG => key,
            Ok(_) => fresh_key(&path).map_err(at(&path))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => fresh_key(&path).map_err(at(&path))?,
            Err(error) => return Err(at(&path)(error)),
        };
        // HMAC takes keys of any length, so this does not fail.
        let mark = Hmac::new_from_slice(&key).map_err(|error| at(&path)(io::Error::other(error)))?;
        Ok(Self {
            dir,
            mark,
            used: Mutex::default(),
        })
    }

    /// Compiled code of these bytes for this engine, from the cache or else compiled now.
    pub(crate) fn compile(&self, engine: &Engine, wasm: &[u8], sha256: &str) -> wasmtime::Result<Component> {
        let name = format!("{sha256}-{:016x}.cwasm", compatibility(engine));
        let path = self.dir.join(&name);
        self.used
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .insert(path.clone());
        if let Some(component) = self.load(engine, &path, &name) {
            return Ok(component);
        }
        let component = Component::new(engine, wasm)?;
        let code = component.serialize()?;
        // A cache that cannot be written costs the next start its compile time, and nothing else.
        if let Err(error) = write(&path, &[self.tag(&name, &code).as_slice(), &code].concat()) {
            tracing::warn!(path = %path.display(), %error, "compiled plugin not kept");
        }
        Ok(component)
    }

    fn load(&self, engine: &Engine, path: &Path, name: &str) -> Option<Component> {
        let bytes = fs::read(path).ok()?;
        let (tag, code) = bytes.split_at_checked(TAG)?;
        if self.mac(name, code).verify_slice(tag).is_err() {
            tracing::warn!(path = %path.display(), "compiled plugin does not carry this hub's mark; compiling it again");
            return None;
        }
        #[expect(
            unsafe_code,
            reason = "the code was compiled by this hub for this engine: its mark has just been verified"
        )]
        // SAFETY: the mark proves that these bytes came from `Component::serialize` in this installation, under this engine's name.
        let loaded = unsafe { Component::deserialize(engine, code) };
        loaded.inspect_err(|error| tracing::warn!(path = %path.display(), %error, "compiled plugin not loaded; compiling it again")).ok()
    }

    /// The name is under the mark too: an entry renamed to stand for another plugin or engine does not verify.
    fn mac(&self, name: &str, code: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.mark.clone();
        mac.update(name.as_bytes());
        mac.update(&[0]);
        mac.update(code);
        mac
    }

    fn tag(&self, name: &str, code: &[u8]) -> Vec<u8> {
        self.mac(name, code).finalize().into_bytes().to_vec()
    }

    /// Removes entries that nothing has asked for since the cache was opened: other versions, other engines.
    pub(crate) fn sweep(&self) {
        let used = self.used.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            let compiled = path
                .extension()
                .is_some_and(|extension| extension == "cwasm" || extension == "new");
            if compiled
                && !used.contains(&path)
                && let Err(error) = fs::remove_file(&path)
            {
                tracing::debug!(path = %path.display(), %error, "old compiled plugin not removed");
            }
        }
    }
}

fn compatibility(engine: &Engine) -> u64 {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish()
}

fn fresh_key(path: &Path) -> io::Result<Vec<u8>> {
    let key: [u8; TAG] = rand::random();
    write(path, &key)?;
    Ok(key.to_vec())
}

/// Readable by the hub alone, and never seen half written.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use io::Write;
    let new = path.with_extension("new");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(bytes)?;
    fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAT: &[u8] = b"(component (core module (func (export \"f\"))))";

    fn files(dir: &Path) -> Vec<PathBuf> {
        let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        paths
            .filter(|path| path.extension().is_some_and(|extension| extension == "cwasm"))
            .collect()
    }

    #[test]
    fn entries_are_loaded_only_with_their_mark() {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::default();
        let wasm = wat::parse_bytes(WAT).unwrap();
        let cache = Cache::open(dir.path().to_owned()).unwrap();
        cache.compile(&engine, &wasm, "aa").unwrap();
        let [entry] = files(dir.path()).try_into().unwrap();
        let name = entry.file_name().unwrap().to_str().unwrap().to_owned();
        let reopened = Cache::open(dir.path().to_owned()).unwrap();
        assert!(reopened.load(&engine, &entry, &name).is_some());
        assert!(reopened.load(&engine, &entry, "bb").is_none());

        let mut bytes = fs::read(&entry).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&entry, &bytes).unwrap();
        assert!(reopened.load(&engine, &entry, &name).is_none());
        fs::write(&entry, b"short").unwrap();
        assert!(reopened.load(&engine, &entry, &name).is_none());
        reopened.compile(&engine, &wasm, "aa").unwrap();
        assert!(reopened.load(&engine, &entry, &name).is_some());

        fs::write(dir.path().join("key"), [7; TAG]).unwrap();
        let other = Cache::open(dir.path().to_owned()).unwrap();
        assert!(other.load(&engine, &entry, &name).is_none());
        other.sweep();
        assert_eq!(files(dir.path()), Vec::<PathBuf>::new());
    }

    #[test]
    fn the_key_is_for_this_user_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        Cache::open(dir.path().join("cache")).unwrap();
        let mode = |path: &str| fs::metadata(dir.path().join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("cache"), mode("cache/key")), (0o700, 0o600));
    }
}
