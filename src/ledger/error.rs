//! Why a ledger can't be used, said to the operator with the way out.
//! It knows no SQL error: `sqlite` has translated them.

use std::fmt;
use std::path::{Path, PathBuf};

/// The cause stands inside the text rather than behind it, so that each message ends in its way out.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error(
        "the state folder `{}` can't be made: {cause}; make it, and give it to the user that runs triggerd", folder.display()
    )]
    NoFolder { folder: PathBuf, cause: String },
    #[error(
        "the state folder `{}` is in use by {}; stop that one, or set another `state` for this one", folder.display(), Holder(*pid)
    )]
    InUse { folder: PathBuf, pid: Option<u32> },
    #[error(
        "the lock `{}` can't be taken: {cause}; give the state folder and its files to the user that runs triggerd", path.display()
    )]
    NoLock { path: PathBuf, cause: String },
    #[error("there is no ledger in `{}`; `triggerd run` makes one; where it lies elsewhere, say so with `--state`", folder.display())]
    Missing { folder: PathBuf },
    #[error("a dry run keeps no ledger; look at one of a daemon that sends")]
    NoneKept,
    #[error(
        "the ledger `{}` can't be made or brought up to date: {cause}; {way_out}", path.display()
    )]
    NotPrepared {
        path: PathBuf,
        cause: String,
        way_out: String,
    },
    #[error(
        "the ledger `{}` can't be read: {cause}; {way_out}", path.display()
    )]
    Unreadable {
        path: PathBuf,
        cause: String,
        way_out: String,
    },
    #[error(
        "`{}` is no ledger of triggerd; move it away, or set another `state`", path.display()
    )]
    NotALedger { path: PathBuf },
    #[error(
        "the ledger `{}` is damaged: {cause}; restore it from a backup, or move it away with its `-wal` and `-shm` to start without what it remembers", path.display()
    )]
    Damaged { path: PathBuf, cause: String },
    #[error(
        "the ledger `{}` has schema {found}, written by {written_by}, and this triggerd {} knows up to {known}; run the newer triggerd, or restore the ledger from before the update", path.display(), env!("CARGO_PKG_VERSION")
    )]
    Newer {
        path: PathBuf,
        found: u32,
        known: u32,
        written_by: String,
    },
    #[error(
        "the ledger `{}` is locked by another program; end it (`fuser -v {}` names it)", path.display(), path.display()
    )]
    Locked { path: PathBuf },
}

impl LedgerError {
    pub(super) fn damaged(path: &Path, cause: impl ToString) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            cause: cause.to_string(),
        }
    }
}

struct Holder(Option<u32>);

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(pid) => write!(f, "another triggerd (pid {pid})"),
            None => f.write_str("another triggerd"),
        }
    }
}

/// Facts that never reached the disk.
#[derive(Debug, thiserror::Error)]
pub enum CloseError {
    #[error(
        "{facts} facts are not in the ledger: {cause}; {way_out}; after the next start their deliveries may be sent again, with the same keys"
    )]
    Unsaved {
        facts: usize,
        cause: String,
        way_out: String,
    },
    #[error("the ledger's writer came to a sudden end; its panic is in the log")]
    Panicked,
}
