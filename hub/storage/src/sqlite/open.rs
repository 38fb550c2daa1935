//! Opening the database: settings, version, migrations, and the lock that keeps a second server out.

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use sqlx::{
    ConnectOptions, SqliteConnection, SqlitePool,
    migrate::MigrateError,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::{StoreError, options::Options};

/// Earlier releases could lose a committed transaction when two connections restarted the write-ahead log at once.
const OLDEST_SQLITE: [u32; 3] = [3, 51, 3];
const PAGE_BYTES: u64 = 8192;
/// Connections that read; long scans are kept below this number, so that a document can always be read.
const READERS: u32 = 6;
/// Another process (the command line) holds the write lock for one short transaction at most.
const BUSY: Duration = Duration::from_secs(10);

/// Where the database lies.
///
/// # Errors
/// When the address is not one of SQLite.
pub fn database_path(options: &Options, data_dir: &Path) -> Result<PathBuf, StoreError> {
    match options.url.strip_prefix("sqlite:") {
        Some("") => Ok(data_dir.join("streamflow.db")),
        Some(path) => Ok(data_dir.join(path.strip_prefix("//").unwrap_or(path))),
        None => Err(StoreError::Unsupported(format!(
            "storage.url `{}` is not supported; use `sqlite:`",
            options.url
        ))),
    }
}

/// Takes the locks of the data folder and of the database, which may lie elsewhere; they are free again when the files are closed, however the process ends.
///
/// # Errors
/// [`StoreError::Locked`] when another hub serves this folder or this database.
pub fn lock(options: &Options, data_dir: &Path) -> Result<[File; 2], StoreError> {
    let mut beside = database_path(options, data_dir)?.into_os_string();
    beside.push(".lock");
    Ok([locked(&data_dir.join("hub.lock"))?, locked(Path::new(&beside))?])
}

fn locked(path: &Path) -> Result<File, StoreError> {
    let io = |source: std::io::Error| StoreError::Io {
        path: path.display().to_string(),
        source: Arc::new(source),
    };
    if let Some(folder) = path.parent() {
        crate::folder::make(folder).map_err(io)?;
    }
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked {
            path: path.display().to_string(),
        }),
        Err(TryLockError::Error(error)) => Err(io(error)),
    }
}

/// The one connection that writes, with the schema brought up to date.
///
/// # Errors
/// When the file cannot be opened, belongs to a newer release, or the library is too old.
pub async fn writer(path: &Path, options: &Options) -> Result<SqliteConnection, StoreError> {
    if let Some(parent) = path.parent() {
        crate::folder::make(parent).map_err(|source| StoreError::Io {
            path: parent.display().to_string(),
            source: Arc::new(source),
        })?;
    }
    let mut settings = base(path)
        .create_if_missing(true)
        .page_size(PAGE_BYTES as u32)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("wal_autocheckpoint", "4000")
        // Gives the disk back what a burst or a long read made of the write-ahead log.
        .pragma("journal_size_limit", "67108864")
        // Holds the pages of one large transaction, which would else be written twice.
        .pragma("cache_size", "-24576");
    if options.max_mib > 0 {
        settings = settings.pragma("max_page_count", (options.max_mib * (1 << 20) / PAGE_BYTES).to_string());
    }
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .connect_with(settings)
        .await?;
    require_version(&pool).await?;
    sqlx::migrate!("./migrations")
        .run(&pool)
        .await
        .map_err(|error| match error {
            MigrateError::Execute(error) => error.into(),
            MigrateError::VersionMissing(version) => StoreError::Unsupported(format!(
                "{} was written by a newer release (schema {version}); run that release",
                path.display()
            )),
            other => StoreError::Unsupported(format!("{}: {other}", path.display())),
        })?;
    Ok(pool.acquire().await?.detach())
}

/// A connection that moves the write-ahead log into the database.
///
/// # Errors
/// When the file cannot be opened.
pub async fn checkpointer(path: &Path) -> Result<SqliteConnection, StoreError> {
    let settings = base(path)
        .synchronous(SqliteSynchronous::Full)
        .pragma("wal_autocheckpoint", "0")
        .pragma("cache_size", "-256");
    Ok(settings.connect().await?)
}

/// Connections that read.
pub fn readers(path: &Path) -> SqlitePool {
    let settings = base(path).read_only(true).pragma("cache_size", "-4096");
    SqlitePoolOptions::new()
        .max_connections(READERS)
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_lazy_with(settings)
}

fn base(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY)
        .pragma("temp_store", "memory")
        // Commits of different sizes are statements of their own, some 140 of them.
        .statement_cache_capacity(256)
        .thread_name(|id| format!("sqlite-{id}"))
        .disable_statement_logging()
}

async fn require_version(pool: &SqlitePool) -> Result<(), StoreError> {
    let (found,): (String,) = sqlx::query_as("SELECT sqlite_version()").fetch_one(pool).await?;
    if is_new_enough(&found) {
        return Ok(());
    }
    let [major, minor, patch] = OLDEST_SQLITE;
    Err(StoreError::Unsupported(format!(
        "SQLite {found} can lose committed data; this program needs {major}.{minor}.{patch} or newer, build it with the bundled one"
    )))
}

fn is_new_enough(version: &str) -> bool {
    let parts: Vec<u32> = version.split('.').map_while(|part| part.parse().ok()).collect();
    parts.as_slice() >= OLDEST_SQLITE.as_slice()
}

/// Bytes of the database and its write-ahead log.
pub fn bytes_on_disk(path: &Path) -> u64 {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    [path, Path::new(&log)]
        .into_iter()
        .filter_map(|path| std::fs::metadata(path).ok())
        .map(|file| file.len())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_old_libraries() {
        for (version, fits) in [
            ("3.51.3", true),
            ("3.52.0", true),
            ("4.0.0", true),
            ("3.51.2", false),
            ("3.46", false),
            ("", false),
        ] {
            assert_eq!(is_new_enough(version), fits, "{version}");
        }
    }
}
