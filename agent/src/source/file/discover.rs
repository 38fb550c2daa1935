//! Which files the patterns name now.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};

use super::identity;
use crate::spool::position::FileId;

/// Compiled `paths` and `exclude`.
#[derive(Clone, Debug)]
pub struct Patterns {
    paths: Vec<String>,
    exclude: Vec<Pattern>,
}

/// What the patterns name, and what of it cannot be looked at.
#[derive(Debug, Default)]
pub struct Discovered {
    /// Each file once, under one of its paths.
    pub files: BTreeMap<FileId, PathBuf>,
    /// Paths that match and cannot be looked at.
    pub failures: Vec<(PathBuf, io::Error)>,
    /// Paths named one by one that do not exist yet.
    pub missing: Vec<PathBuf>,
}

const MATCHING: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

impl Patterns {
    /// Compiles them.
    pub fn new(paths: &[String], exclude: &[String]) -> Result<Self, glob::PatternError> {
        for path in paths {
            Pattern::new(path)?;
        }
        Ok(Self {
            paths: paths.to_vec(),
            exclude: exclude
                .iter()
                .map(|text| Pattern::new(text))
                .collect::<Result<_, _>>()?,
        })
    }

    /// Folders in which new files would appear.
    pub fn folders(&self) -> impl Iterator<Item = PathBuf> + '_ {
        self.paths.iter().map(|path| {
            let fixed = path.find(['*', '?', '[']).map_or(path.as_str(), |at| &path[..at]);
            let folder = fixed.rfind('/').map_or("/", |at| &fixed[..at]);
            PathBuf::from(if folder.is_empty() { "/" } else { folder })
        })
    }

    /// Whether a path is one of those that are meant.
    pub fn names(&self, path: &Path) -> bool {
        let named =
            |pattern: &String| Pattern::new(pattern).is_ok_and(|pattern| pattern.matches_path_with(path, MATCHING));
        self.paths.iter().any(named) && !self.excludes(path)
    }

    fn excludes(&self, path: &Path) -> bool {
        let name = Path::new(path.file_name().unwrap_or_default());
        self.exclude
            .iter()
            .any(|pattern| pattern.matches_path(path) || pattern.matches_path(name))
    }

    /// Looks.
    pub fn discover(&self) -> Discovered {
        let mut found = Discovered::default();
        for pattern in &self.paths {
            if pattern.contains(['*', '?', '[']) {
                let Ok(entries) = glob::glob_with(pattern, MATCHING) else {
                    continue;
                };
                for entry in entries {
                    match entry {
                        Ok(path) => self.look(&path, &mut found),
                        Err(error) => found
                            .failures
                            .push((error.path().to_owned(), io::Error::from(error.error().kind()))),
                    }
                }
            } else {
                let path = Path::new(pattern);
                match fs::symlink_metadata(path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => found.missing.push(path.to_owned()),
                    // A link whose target is not there yet, and everything else that is there.
                    _ => self.look(path, &mut found),
                }
            }
        }
        found
    }

    fn look(&self, path: &Path, found: &mut Discovered) {
        if self.excludes(path) {
            return;
        }
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_file() => {
                found
                    .files
                    .entry(identity::id(&metadata))
                    .or_insert_with(|| path.to_owned());
            }
            Ok(_) => {}
            // Gone between being listed and being looked at, unless it is a link to nothing.
            Err(error) if error.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(path).is_err() => {}
            Err(error) => found.failures.push((path.to_owned(), error)),
        }
    }
}

/// Looks in the folder of `path` for the file that had this identity, as rotation renames files while nobody watches.
pub fn find_renamed(path: &Path, file: FileId) -> Option<(PathBuf, Metadata)> {
    let entries = fs::read_dir(path.parent()?).ok()?;
    entries.filter_map(Result::ok).find_map(|entry| {
        let metadata = entry
            .metadata()
            .ok()
            .filter(|metadata| identity::id(metadata) == file && metadata.is_file())?;
        Some((entry.path(), metadata))
    })
}
