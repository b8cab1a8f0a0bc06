//! What is to be looked at on this machine: files, folders, disk, zones, and whether a daemon runs.
//! It sends nothing.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Access, access, statvfs};

use super::Check;
use crate::clock::{Clock, SystemClock};
use crate::daemon::load::Catalog;
use crate::daemon::watch;
use crate::ledger::{LedgerError, Reader};
use crate::render::{self, counted};
use crate::schedule::Schedule;
use crate::schedule::problem::has_errors;
use crate::settings::Settings;

/// Gives the valid ones.
pub(super) fn schedules(settings: &Settings, checks: &mut Vec<Check>) -> Vec<Arc<Schedule>> {
    const NAME: &str = "schedules";
    let folder = &settings.schedules;
    let shown = folder.display();
    let mut catalog = Catalog::new(folder.clone(), settings.context.clone());
    catalog.look(&watch::Change::Everything, SystemClock::new().now());
    let schedules: Vec<_> = catalog.schedules().cloned().collect();
    let problems: Vec<_> = catalog.problems().cloned().collect();
    let valid = format!(
        "{} in `{shown}`",
        counted(schedules.len(), "valid schedule")
    );
    checks.push(if let Err(error) = fs::read_dir(folder) {
        let what = format!("the folder `{shown}` can't be read: {error}");
        Check::failed(
            NAME,
            what,
            "make it readable, or name another with `schedules`",
        )
    } else if has_errors(&problems) {
        let counts = render::counts(&problems).unwrap_or_default();
        Check::failed(
            NAME,
            format!("{valid}; {counts}"),
            "`triggerd check` shows them",
        )
    } else if schedules.is_empty() {
        Check::warning(
            NAME,
            valid,
            "put a file into it; `triggerd init` writes one",
        )
    } else if is_open_to_all(folder) {
        let what = format!("every user of this machine may write to `{shown}`");
        Check::warning(NAME, what, format!("close it with `chmod o-w {shown}`"))
    } else {
        Check::ok(NAME, valid)
    });
    schedules
}

pub(super) fn state(settings: &Settings, checks: &mut Vec<Check>) {
    let folder = &settings.state;
    let shown = folder.display();
    // The place itself, or the nearest folder in which it is to be made.
    let there = folder.ancestors().find(|it| it.exists());
    let there = match there {
        Some(there) if !there.as_os_str().is_empty() => there,
        _ => Path::new("."),
    };
    let is_writable = there.is_dir() && access(there, Access::WRITE_OK | Access::EXEC_OK).is_ok();
    checks.push(if !is_writable {
        let what = format!(
            "`{}` is no folder that this user may write to",
            there.display()
        );
        Check::failed(
            "state",
            what,
            "give it to the user that runs triggerd, or set another `state`",
        )
    } else if there == folder && is_open_to_all(folder) {
        let what = format!("every user of this machine may write to `{shown}`");
        Check::warning("state", what, format!("close it with `chmod o-w {shown}`"))
    } else if there == folder {
        Check::ok("state", format!("`{shown}` is writable"))
    } else {
        Check::ok("state", format!("`{shown}` is made at the first start"))
    });
    checks.push(match Reader::open(&settings.place()) {
        Err(LedgerError::Missing { .. }) => Check::ok("ledger", "it is made at the first start"),
        Err(error) => Check::error("ledger", &error.into()),
        Ok(reader) => match reader.in_force() {
            Ok(known) => {
                let known = counted(known.len(), "schedule");
                Check::ok("ledger", format!("readable, with {known} in force"))
            }
            Err(error) => Check::error("ledger", &error.into()),
        },
    });
    checks.push(match statvfs(there) {
        Ok(system) => disk(
            system.f_bavail * system.f_frsize,
            &there.display().to_string(),
        ),
        Err(error) => {
            let what = format!(
                "the free space of `{}` is not known: {error}",
                there.display()
            );
            Check::warning("disk", what, "look at its file system")
        }
    });
}

const MIB: u64 = 1024 * 1024;

fn disk(free: u64, place: &str) -> Check {
    const WAY_OUT: &str = "free some: without it, firing goes on from memory alone";
    let what = format!("{} MiB free at `{place}`", free / MIB);
    match free / MIB {
        0..20 => Check::failed("disk", what, WAY_OUT),
        20..200 => Check::warning("disk", what, WAY_OUT),
        _ => Check::ok("disk", what),
    }
}

/// The system's data is preferred to what is built in, which gets old.
pub(super) fn time_zones(env: &dyn Fn(&str) -> Option<String>) -> Check {
    const NAME: &str = "time zones";
    let folder = env("TZDIR").unwrap_or_else(|| "/usr/share/zoneinfo".into());
    let folder = Path::new(&folder);
    if !folder.join("UTC").exists() {
        let what = format!(
            "there are none in `{}`: those built in are used",
            folder.display()
        );
        return Check::warning(NAME, what, "install `tzdata`, and keep it up to date");
    }
    let version = fs::read_to_string(folder.join("tzdata.zi"));
    let version = version.ok().and_then(|text| {
        let version = text.lines().next()?.strip_prefix("# version ")?;
        Some(format!(", version {version}"))
    });
    let of = folder.display();
    Check::ok(
        NAME,
        format!("those of `{of}`{}", version.unwrap_or_default()),
    )
}

pub(super) fn daemon(socket: &Path) -> Check {
    let shown = socket.display();
    match UnixStream::connect(socket) {
        Ok(_) => Check::ok("daemon", format!("one listens at `{shown}`")),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Check::warning(
            "daemon",
            format!("this user may not ask at `{shown}`"),
            "ask as root, or as a member of the socket's group",
        ),
        Err(_) => Check::warning(
            "daemon",
            format!("none listens at `{shown}`"),
            "start it with `triggerd run`, or name its socket under `[control]`",
        ),
    }
}

fn is_open_to_all(folder: &Path) -> bool {
    // A sticky folder, such as /tmp, protects what is in it.
    fs::metadata(folder).is_ok_and(|it| it.mode() & 0o1002 == 0o002)
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    #[test]
    fn the_disk_warns_before_it_fails() {
        let status = |mib: u64| disk(mib * MIB, "state").status;
        assert_eq!(status(200), Status::Ok);
        assert_eq!(status(199), Status::Warning);
        assert_eq!(status(20), Status::Warning);
        assert_eq!(status(19), Status::Failed);
    }

    #[test]
    fn zones_are_the_systems_where_it_has_any() {
        let folder = tempfile::tempdir().expect("a folder");
        let shown = folder.path().display().to_string();
        let env = |name: &str| (name == "TZDIR").then(|| shown.clone());
        let check = time_zones(&env);
        assert_eq!(check.status, Status::Warning);
        fs::write(folder.path().join("UTC"), "").expect("a file");
        fs::write(folder.path().join("tzdata.zi"), "# version 2026a\n").expect("a file");
        let check = time_zones(&env);
        assert_eq!(
            (check.status, check.what),
            (Status::Ok, format!("those of `{shown}`, version 2026a"))
        );
    }
}
