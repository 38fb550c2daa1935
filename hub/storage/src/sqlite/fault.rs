//! What a failed statement means for the store.

use sqlx::error::DatabaseError;

/// How the store goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No room: refuse, and try again when asked.
    Full,
    /// Another process wrote for too long: refuse this time.
    Busy,
    /// A sync or a read failed. What is on the disk is not known any more, so nothing may be acknowledged and nothing tried again.
    Fatal,
}

impl Fault {
    /// Sorts an error of a write.
    pub fn of(error: &sqlx::Error) -> Self {
        let code = error
            .as_database_error()
            .and_then(DatabaseError::code)
            .and_then(|code| code.parse::<u32>().ok());
        match code {
            // 4874 is SQLITE_IOERR_SHMSIZE: the index of the write-ahead log could not grow.
            Some(4874) => Self::Full,
            Some(code) => match code & 0xff {
                13 => Self::Full,
                5 | 6 => Self::Busy,
                _ => Self::Fatal,
            },
            None => Self::Fatal,
        }
    }
}
