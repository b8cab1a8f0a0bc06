//! The ledger as one SQLite file. Below this folder is the only SQL and the only rusqlite.
//! It knows no thread and no queue: each call is one transaction.

use std::collections::HashSet;
use std::fs::{self, OpenOptions, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior, params};

use super::ask::Ask;
use super::store::{Pruned, Refusal, Stated, Store, Written};
use super::values::At;
use super::{LedgerError, remember};
use crate::plan::occurrence::IdempotencyKey;
use crate::plan::remembered::{Delivered, Remembered};
use record::{Marks, Recording};

mod ask;
mod prune;
mod record;
mod schema;

pub(super) use ask::File;
#[cfg(test)]
pub(super) use schema::KNOWN;

/// How long another program's lock is waited for.
const PATIENCE: Duration = Duration::from_millis(if cfg!(test) { 20 } else { 5000 });

pub(super) struct Sqlite {
    connection: Connection,
    /// `None` for one in memory.
    path: Option<PathBuf>,
    marks: Marks,
    /// What was written ahead of this instant is to be forgotten with the next thing that is written.
    forget_ahead_of: Option<Timestamp>,
    /// Why it could be opened for reading only, where that is so.
    read_only: Option<Refusal>,
}

impl Sqlite {
    pub(super) fn in_memory() -> Self {
        let mut connection = Connection::open_in_memory().expect("memory can be had");
        schema::migrate(&mut connection).expect("an empty database takes the schema");
        Self::new(connection, None).expect("the schema has one row of marks")
    }

    /// Opens the ledger in `folder`, which is locked by us, and makes it if there is none. One that
    /// can be read but not written opens as well, and what is written to it is refused for now.
    pub(super) fn open(folder: &Path) -> Result<Self, LedgerError> {
        let path = path_in(folder);
        make_for_owner_alone(folder, &path)?;
        match Self::open_to_write(&path) {
            Err(LedgerError::NotPrepared { cause, way_out, .. }) => {
                Self::open_to_read(&path, Refusal { cause, way_out })
            }
            opened => opened,
        }
    }

    fn open_to_write(path: &Path) -> Result<Self, LedgerError> {
        let failed = |error| not_prepared(path, &error);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
        connection.busy_timeout(PATIENCE).map_err(failed)?;
        let version = schema::version(&connection, path, failed)?;
        // SQLite opens a file that it may not write for reading, without a word.
        if connection.is_readonly("main").map_err(failed)? {
            return Err(LedgerError::NotPrepared {
                path: path.to_owned(),
                cause: "it is read-only".to_owned(),
                way_out: way_out(Some(ErrorCode::ReadOnly), path),
            });
        }
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL;
                 PRAGMA synchronous = FULL;
                 PRAGMA foreign_keys = ON;
                 PRAGMA secure_delete = FAST; -- inputs are zeroed when they are dropped
                 PRAGMA temp_store = MEMORY;
                 PRAGMA cache_size = -8000;
                 PRAGMA journal_size_limit = 67108864;",
            )
            .map_err(failed)?;
        if version < schema::KNOWN {
            schema::migrate(&mut connection).map_err(failed)?;
        }
        Self::new(connection, Some(path.to_owned())).map_err(failed)
    }

    fn open_to_read(path: &Path, why_not_to_write: Refusal) -> Result<Self, LedgerError> {
        let failed = |error| unreadable(path, &error);
        let connection = connect_to_read(path).map_err(failed)?;
        if schema::version(&connection, path, failed)? < schema::KNOWN {
            return Err(LedgerError::NotPrepared {
                path: path.to_owned(),
                cause: why_not_to_write.cause,
                way_out: why_not_to_write.way_out,
            });
        }
        let store = Self::new(connection, Some(path.to_owned())).map_err(failed)?;
        Ok(Self {
            read_only: Some(why_not_to_write),
            ..store
        })
    }

    fn new(connection: Connection, path: Option<PathBuf>) -> rusqlite::Result<Self> {
        connection.set_prepared_statement_cache_capacity(64);
        Ok(Self {
            marks: Marks::read(&connection)?,
            connection,
            path,
            forget_ahead_of: None,
            read_only: None,
        })
    }

    /// One transaction: what `work` records is durable when this returns, or nothing of it is.
    fn write<T>(
        &mut self,
        work: impl FnOnce(&mut Recording<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, NotWritten> {
        if let Some(refusal) = &self.read_only {
            return Err(NotWritten::Refused(refusal.clone()));
        }
        self.try_write(work).map_err(|error| {
            if is_for_content(&error) {
                NotWritten::ForContent(self.refusal(&error))
            } else {
                NotWritten::Refused(self.refusal(&error))
            }
        })
    }

    fn try_write<T>(
        &mut self,
        work: impl FnOnce(&mut Recording<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        if let Some(now) = self.forget_ahead_of {
            forget_ahead_of(&transaction, now)?;
        }
        let mut recording = Recording::new(&transaction, self.marks);
        let done = work(&mut recording)?;
        let marks = recording.marks();
        if marks != self.marks {
            marks.write(&transaction)?;
        }
        transaction.commit()?;
        self.marks = marks;
        self.forget_ahead_of = None;
        Ok(done)
    }

    fn asking(&self) -> ask::Asking<'_> {
        ask::Asking {
            connection: &self.connection,
            path: self.path.as_deref().unwrap_or("memory".as_ref()),
        }
    }

    fn refusal(&self, error: &rusqlite::Error) -> Refusal {
        let path = self.path.as_deref().unwrap_or("memory".as_ref());
        Refusal {
            cause: error.to_string(),
            way_out: way_out(error.sqlite_error_code(), path),
        }
    }
}

impl Store for Sqlite {
    fn remember(&mut self, now: Timestamp) -> Result<Remembered, LedgerError> {
        // Where the clock stands before what was seen, whatever is ahead of it may have been sent.
        let is_behind = self.marks.newest.is_some_and(|newest| newest > now);
        let forget_ahead_of = if is_behind { Timestamp::MAX } else { now };
        self.forget_ahead_of = Some(forget_ahead_of);
        let until = remember::Until {
            settled: self.marks.settled_until,
            newest: self.marks.newest,
        };
        let store = self.asking();
        remember::all(&store, until, now, forget_ahead_of).map_err(|error| store.unreadable(&error))
    }

    fn record(&mut self, facts: &[Stated<'_>]) -> Result<Vec<Written>, Refusal> {
        match self.write(|ledger| record::all(ledger, facts, Recording::record)) {
            Err(NotWritten::ForContent(_)) => self
                .write(|ledger| record::all(ledger, facts, Recording::record_apart))
                .map_err(NotWritten::refusal),
            written => written.map_err(NotWritten::refusal),
        }
    }

    fn prune(&mut self, before: Timestamp, pruned: Pruned) -> Result<Option<Pruned>, Refusal> {
        self.write(|ledger| ledger.prune(before, pruned))
            .map_err(NotWritten::refusal)
    }

    /// A ledger that was opened for reading only is opened again.
    fn reopen_to_write(&mut self) -> Result<(), Refusal> {
        let (Some(path), Some(_)) = (self.path.clone(), &self.read_only) else {
            return Ok(());
        };
        // The old connection ends first: one that takes its file for unchanging is never to stand
        // beside one that changes it.
        self.connection = Connection::open_in_memory().expect("memory can be had");
        match Self::open_to_write(&path) {
            Ok(again) => {
                self.connection = again.connection;
                self.marks = again.marks;
                self.read_only = None;
                Ok(())
            }
            Err(error) => {
                if let Ok(again) = connect_to_read(&path) {
                    self.connection = again;
                }
                let refusal = match error {
                    LedgerError::NotPrepared { cause, way_out, .. } => Refusal { cause, way_out },
                    error => Refusal {
                        cause: error.to_string(),
                        way_out: way_out(None, &path),
                    },
                };
                self.read_only = Some(refusal.clone());
                Err(refusal)
            }
        }
    }

    fn knows(&mut self, key: &IdempotencyKey, withdrawn: &HashSet<IdempotencyKey>) -> bool {
        let forgotten_after = if withdrawn.contains(key) {
            Timestamp::MIN
        } else {
            self.forget_ahead_of.unwrap_or(Timestamp::MAX)
        };
        let known = self
            .connection
            .prepare_cached(
                "SELECT 1 FROM deliveries WHERE idempotency_key = ?1
                 AND NOT (verdict IS NULL AND scheduled_at > ?2 AND attempts = 0 AND outcome_unknown = 0)",
            )
            .and_then(|mut known| known.exists(params![key.as_str(), At(forgotten_after)]));
        known.unwrap_or(false)
    }

    fn delivered_after(&mut self, at: Timestamp) -> Vec<Delivered> {
        remember::delivered_after(&self.asking(), at, None).unwrap_or_default()
    }

    /// Moves what the write-ahead log holds into the file.
    fn close(&mut self) {
        // If it fails, the log is read at the next start.
        let _ = self
            .connection
            .pragma_query(None, "wal_checkpoint", |_| Ok(()));
    }

    #[cfg(test)]
    fn refuse_growth(&mut self, refuse: bool) {
        let pages: i64 = if refuse { 1 } else { 1 << 30 };
        let set = |page| self.connection.pragma_update(None, "max_page_count", page);
        set(pages).expect("a pragma can be set");
    }
}

/// Why a transaction came to nothing.
enum NotWritten {
    /// Nothing can be written just now.
    Refused(Refusal),
    /// One of the facts is refused for what it says, and will be for ever.
    ForContent(Refusal),
}

impl NotWritten {
    fn refusal(self) -> Refusal {
        match self {
            Self::Refused(refusal) | Self::ForContent(refusal) => refusal,
        }
    }
}

/// What was written ahead and never tried is, before its time comes, written ahead again.
fn forget_ahead_of(connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    connection.execute(
        "DELETE FROM deliveries
         WHERE verdict IS NULL AND scheduled_at > ?1 AND attempts = 0 AND outcome_unknown = 0",
        [At(now)],
    )?;
    Ok(())
}

fn is_for_content(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code().is_none_or(|code| {
        matches!(
            code,
            ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig
        )
    })
}

fn way_out(code: Option<ErrorCode>, path: &Path) -> String {
    let named = path.display();
    match code {
        Some(ErrorCode::DiskFull) => free_space(path),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            format!("end the program that holds it (`fuser -v {named}` names it)")
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            format!("`{named}` is damaged: stop triggerd and restore it from a backup")
        }
        // SQLite names only a few of a full disk's failures as such.
        _ if is_full(path) => free_space(path),
        _ => {
            format!("make `{named}` and its folder writable, and look for disk errors with `dmesg`")
        }
    }
}

fn free_space(path: &Path) -> String {
    format!("free space on the file system of `{}`", path.display())
}

/// Whether the file system has less room than opening a ledger takes.
fn is_full(path: &Path) -> bool {
    const NEEDED: u64 = 64 * 1024;
    let folder = path.parent().unwrap_or(path);
    rustix::fs::statvfs(folder).is_ok_and(|it| it.f_bavail.saturating_mul(it.f_frsize) < NEEDED)
}

fn path_in(folder: &Path) -> PathBuf {
    folder.join("ledger.db")
}

/// SQLite gives `-wal` and `-shm` the mode of the file itself, so that one has to be right before
/// SQLite sees it. An existing file is never opened here: closing it would drop SQLite's locks.
fn make_for_owner_alone(folder: &Path, path: &Path) -> Result<(), LedgerError> {
    let owner_alone = |path| fs::set_permissions(path, Permissions::from_mode(0o600));
    let length = match fs::metadata(path) {
        Ok(found) => found.len(),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let made = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)
                .and_then(|_| fs::File::open(folder)?.sync_all());
            made.map_err(|error| LedgerError::NotPrepared {
                path: path.to_owned(),
                cause: error.to_string(),
                way_out: match error.kind() {
                    ErrorKind::StorageFull => free_space(path),
                    _ => way_out(None, path),
                },
            })?;
            0
        }
        Err(error) => {
            return Err(LedgerError::Unreadable {
                path: path.to_owned(),
                cause: error.to_string(),
                way_out: GIVE_IT.to_owned(),
            });
        }
    };
    let log = log_of(path);
    if length == 0 && !is_empty(&log) {
        let cause = format!("it is empty, but `{}` is not", log.display());
        return Err(LedgerError::damaged(path, cause));
    }
    // A backup may have come back readable by others. Where it isn't ours to change, it stays.
    let _ = owner_alone(path);
    Ok(())
}

fn log_of(path: &Path) -> PathBuf {
    path.with_extension("db-wal")
}

/// Or not there at all.
fn is_empty(log: &Path) -> bool {
    fs::metadata(log).map_or(true, |log| log.len() == 0)
}

fn connect_to_read(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connect = |path: &Path, flags| {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(PATIENCE)?;
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(connection)
    };
    connect(path, flags).or_else(|error: rusqlite::Error| {
        // SQLite wants a `-shm` beside a file with a write-ahead log, even to read it. Where none can
        // be made, the file alone says it all as long as the log is empty.
        if !(cannot_be_written(&error) && is_empty(&log_of(path))) {
            return Err(error);
        }
        let unchanging = format!("file:{}?immutable=1", escaped(path));
        connect(Path::new(&unchanging), flags | OpenFlags::SQLITE_OPEN_URI)
    })
}

fn escaped(path: &Path) -> String {
    let path = path.to_string_lossy();
    path.replace('%', "%25")
        .replace('?', "%3f")
        .replace('#', "%23")
}

fn cannot_be_written(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::ReadOnly
                | ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::PermissionDenied
        )
    )
}

fn not_prepared(path: &Path, error: &rusqlite::Error) -> LedgerError {
    if cannot_be_written(error) {
        LedgerError::NotPrepared {
            path: path.to_owned(),
            cause: error.to_string(),
            way_out: way_out(error.sqlite_error_code(), path),
        }
    } else {
        unreadable(path, error)
    }
}

const GIVE_IT: &str =
    "give it and its folder to the user that runs triggerd, and look for disk errors with `dmesg`";

fn way_out_to_read(path: &Path) -> String {
    let log = log_of(path);
    if is_empty(&log) {
        return GIVE_IT.to_owned();
    }
    format!(
        "a part of it is in `{}`, which can be read only where a `-shm` can be made beside it: \
         make its folder writable, or set `state` to a copy of the folder that is",
        log.display()
    )
}

fn unreadable(path: &Path, error: &rusqlite::Error) -> LedgerError {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => LedgerError::NotALedger {
            path: path.to_owned(),
        },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => LedgerError::Locked {
            path: path.to_owned(),
        },
        _ if cannot_be_written(error) => LedgerError::Unreadable {
            path: path.to_owned(),
            cause: error.to_string(),
            way_out: way_out_to_read(path),
        },
        _ => LedgerError::damaged(path, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nothing_is_free_the_way_out_is_space_whatever_sqlite_says() {
        // `/proc` has no room for anything.
        let path = Path::new("/proc/ledger.db");
        assert_eq!(
            way_out(Some(ErrorCode::SystemIoFailure), path),
            "free space on the file system of `/proc/ledger.db`"
        );
    }
}
