//! Reading what people drop into the folder, where anything may lie: fifos, links to nowhere, huge
//! and binary files. It opens files, and knows nothing of what is in them.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::schedule::ScheduleId;
use crate::schedule::problem::Problem;

/// No schedule and no input is longer.
const LONGEST: u64 = 1024 * 1024;

/// What a name in the folder stands for.
#[derive(Debug, PartialEq, Eq)]
pub enum Named {
    Schedule(ScheduleId),
    /// An editor's backup, a hidden file, or anything that does not end in `.toml`.
    Ignored,
    Invalid(Problem),
}

/// Tells schedules from other files by their names (DESIGN.md 4).
pub fn named(path: &Path) -> Named {
    let Some(name) = path.file_name() else {
        return Named::Ignored;
    };
    let Some(name) = name.to_str() else {
        return match name.as_encoded_bytes().ends_with(b".toml") {
            true => Named::Invalid(
                Problem::error(path, "the file's name is not UTF-8").help("rename the file"),
            ),
            false => Named::Ignored,
        };
    };
    if name.starts_with(['.', '#']) {
        return Named::Ignored;
    }
    let Some(stem) = name.strip_suffix(".toml") else {
        return Named::Ignored;
    };
    match ScheduleId::parse(stem) {
        Ok(id) => Named::Schedule(id),
        Err(error) => {
            Named::Invalid(Problem::error(path, error.to_string()).help("rename the file"))
        }
    }
}

/// What tells one content of a file from the next without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Fingerprint {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// `None` if there is nothing to be read behind the path.
    pub fn at(path: &Path) -> Option<Self> {
        path.metadata().ok().map(|metadata| Self::of(&metadata))
    }
}

/// A text file's content.
///
/// # Errors
/// Why it can't be had, as a clause: "it is a fifo, not a file".
pub fn text(path: &Path) -> Result<(String, Fingerprint), String> {
    let metadata = path.metadata().map_err(|error| unreadable(path, &error))?;
    if !metadata.is_file() {
        return Err(format!("it is {}, not a file", kind(&metadata)));
    }
    // Without blocking: between the look and the opening it may have become a fifo.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(path)
        .map_err(|error| unreadable(path, &error))?;
    let metadata = file.metadata().map_err(|error| unreadable(path, &error))?;
    if metadata.len() > LONGEST {
        return Err(too_long(metadata.len()));
    }
    let bytes = read_up_to(&file, LONGEST + 1).map_err(|error| unreadable(path, &error))?;
    if bytes.len() as u64 > LONGEST {
        return Err(too_long(bytes.len() as u64));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok((text, Fingerprint::of(&metadata))),
        Err(error) => Err(format!(
            "byte {} is not UTF-8",
            error.utf8_error().valid_up_to()
        )),
    }
}

/// Where a schedule's `input_file` lies: inside `folder`, with all links resolved.
///
/// # Errors
/// Why it can't be had, as a clause.
pub fn input_path(folder: &Path, name: &str) -> Result<PathBuf, String> {
    let path = folder.join(name);
    let resolved = path
        .canonicalize()
        .map_err(|error| format!("`{name}` can't be read: {}", reason(&error)))?;
    let folder = folder
        .canonicalize()
        .map_err(|error| format!("the schedules folder can't be read: {}", reason(&error)))?;
    if resolved.starts_with(&folder) {
        Ok(path)
    } else {
        Err(format!("`{name}` lies outside the schedules folder"))
    }
}

fn read_up_to(file: &File, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    match (error.kind(), path.read_link()) {
        (io::ErrorKind::NotFound, Ok(target)) => {
            format!("it is a link to `{}`, which is not there", target.display())
        }
        _ => format!("it can't be read: {}", reason(error)),
    }
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "it is not there".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        _ => error.to_string(),
    }
}

fn too_long(length: u64) -> String {
    format!("it has {length} bytes; at most {LONGEST} are read")
}

fn kind(metadata: &Metadata) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    let kind = metadata.file_type();
    if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a fifo"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn names() {
        #[track_caller]
        fn check(name: &str, expected: &str) {
            let found = match named(&Path::new("/schedules").join(name)) {
                Named::Schedule(id) => format!("schedule {id}"),
                Named::Ignored => "ignored".into(),
                Named::Invalid(problem) => problem.message,
            };
            assert_eq!(found, expected, "{name}");
        }
        check("weekly.toml", "schedule weekly");
        check("revenue.weekly.toml", "schedule revenue.weekly");
        check(".hidden.toml", "ignored");
        check("weekly.toml~", "ignored");
        check(".weekly.toml.swp", "ignored");
        check("#weekly.toml#", "ignored");
        check("weekly.txt", "ignored");
        check("..data", "ignored");
        check(
            "Weekly Report.toml",
            "`Weekly Report` is no schedule name: 1 to 64 of `a-z`, `0-9`, `.`, `_` and `-`, beginning with a letter or digit",
        );
    }

    #[test]
    fn what_is_no_text_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let check = |name: &str, expected: &str| {
            let error = text(&folder.path().join(name)).unwrap_err();
            assert_eq!(error, expected, "{name}");
        };
        fs::create_dir(folder.path().join("folder")).unwrap();
        check("folder", "it is a folder, not a file");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            folder.path().join("fifo"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        check("fifo", "it is a fifo, not a file");
        symlink("nowhere.toml", folder.path().join("link")).unwrap();
        check("link", "it is a link to `nowhere.toml`, which is not there");
        check("missing", "it can't be read: it is not there");
        fs::write(folder.path().join("binary"), b"cron = \"\xff\"").unwrap();
        check("binary", "byte 8 is not UTF-8");
        fs::write(folder.path().join("huge"), vec![b'#'; 5 << 20]).unwrap();
        check("huge", "it has 5242880 bytes; at most 1048576 are read");
    }

    #[test]
    fn an_input_file_stays_inside_the_folder() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("schedules");
        fs::create_dir(&folder).unwrap();
        fs::write(root.path().join("secret"), "x").unwrap();
        fs::write(folder.join("inside.md"), "x").unwrap();
        symlink("../secret", folder.join("link")).unwrap();
        assert_eq!(
            input_path(&folder, "inside.md"),
            Ok(folder.join("inside.md"))
        );
        for outside in ["../secret", "link"] {
            let error = input_path(&folder, outside).unwrap_err();
            assert_eq!(
                error,
                format!("`{outside}` lies outside the schedules folder")
            );
        }
    }
}
