//! The lock that keeps a second daemon from one state folder.
//! It knows nothing of what is kept there.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::LedgerError;

/// A state folder, ours for as long as this lives. The kernel lets go of it with the process,
/// however that ends.
#[derive(Debug)]
pub struct StateLock {
    _locked: File,
}

impl StateLock {
    /// Makes the folder if there is none, readable by its owner only.
    ///
    /// # Errors
    /// If another process has it, or it can't be made or locked.
    pub fn acquire(folder: &Path) -> Result<Self, LedgerError> {
        make(folder).map_err(|error| LedgerError::NoFolder {
            folder: folder.to_owned(),
            cause: error.to_string(),
        })?;
        let path = folder.join("lock");
        let no_lock = |error: io::Error| LedgerError::NoLock {
            path: path.clone(),
            cause: error.to_string(),
        };
        let mut file = open(folder, &path).map_err(no_lock)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LedgerError::InUse {
                    folder: folder.to_owned(),
                    pid: holder(&path),
                });
            }
            Err(TryLockError::Error(error)) => return Err(no_lock(error)),
        }
        // For the message above alone: on a full disk the lock holds without it.
        let _ = file
            .set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self { _locked: file })
    }
}

fn make(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    fs::set_permissions(folder, Permissions::from_mode(0o700))
}

/// Where no file can be made, the folder itself is locked.
fn open(folder: &Path, path: &Path) -> io::Result<File> {
    let opened = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path);
    match opened {
        Err(error) if error.kind() == ErrorKind::ReadOnlyFilesystem => {
            File::open(path).or_else(|_| File::open(folder))
        }
        Err(error) if error.kind() == ErrorKind::StorageFull => File::open(folder),
        opened => opened,
    }
}

fn holder(path: &Path) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_daemon_is_refused_until_the_first_one_ends() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("new/state");
        let first = StateLock::acquire(&folder).unwrap();
        let error = StateLock::acquire(&folder).unwrap_err().to_string();
        let error = error
            .replace(&folder.display().to_string(), "state")
            .replace(&std::process::id().to_string(), "PID");
        insta::assert_snapshot!(error, @"the state folder `state` is in use by another triggerd (pid PID); stop that one, or set another `state` for this one");
        drop(first);
        StateLock::acquire(&folder).unwrap();
    }

    #[test]
    fn what_it_makes_is_for_its_owner_alone() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("state");
        let _lock = StateLock::acquire(&folder).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        assert_eq!(mode(&folder.join("lock")), 0o600);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("file"), "").unwrap();
        let folder = root.path().join("file/state");
        let error = StateLock::acquire(&folder).unwrap_err().to_string();
        let error = error.replace(&root.path().display().to_string(), "");
        insta::assert_snapshot!(error, @"the state folder `/file/state` can't be made: Not a directory (os error 20); make it, and give it to the user that runs triggerd");
    }
}
