//! A PostgreSQL server of the test's own, reached by a socket in a folder of its own, and ways to it
//! that can be cut. It knows nothing of what is kept there.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::daemon::until;
use crate::tmpfs::Tmpfs;

pub(crate) struct Server {
    /// What it keeps is on a file system of its own.
    disk: Option<Tmpfs>,
    folder: tempfile::TempDir,
    programs: PathBuf,
    /// Settings beyond those of every server here.
    settings: String,
}

impl Server {
    /// # Errors
    /// If no server is installed.
    pub(crate) fn start() -> Result<Self, String> {
        Self::on(|_| None)
    }

    /// On a disk of so many mebibytes. It needs root.
    ///
    /// # Errors
    /// If no server is installed.
    pub(crate) fn on_a_small_disk(mebibytes: u32) -> Result<Self, String> {
        Self::on(|folder| {
            let disk = Tmpfs::mount(folder.join("disk"), mebibytes);
            run(Command::new("chown").arg("nobody").arg(&disk.0));
            Some(disk)
        })
    }

    fn on(disk: impl FnOnce(&Path) -> Option<Tmpfs>) -> Result<Self, String> {
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
        let programs = versions.flatten().map(|version| version.path().join("bin"));
        let programs = programs.filter(|bin| bin.join("initdb").exists()).max();
        let programs = programs
            .ok_or("no PostgreSQL server is installed: `apt-get install postgresql` brings one")?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let server = Self {
            disk: disk(folder.path()),
            folder,
            programs,
            settings: String::new(),
        };
        if is_root() {
            run(Command::new("chown").arg("nobody").arg(server.folder()));
        }
        run(server
            .command("initdb")
            .args(["--username", "triggerd", "--auth", "trust", "--no-sync"])
            .arg("--encoding=UTF8")
            .args(server.disk.is_some().then_some("--wal-segsize=1"))
            .arg("--pgdata")
            .arg(server.data()));
        server.begin();
        run(server
            .command("createdb")
            .arg("--host")
            .arg(server.folder())
            .args(["--username", "triggerd", "triggerd"]));
        Ok(server)
    }

    /// The folder of its socket.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn data(&self) -> PathBuf {
        let disk = self.disk.as_ref().map(|disk| disk.0.as_path());
        disk.unwrap_or(self.folder()).join("data")
    }

    /// The file that takes all the room on its disk.
    pub(crate) fn filler(&self) -> PathBuf {
        self.data().with_file_name("filler")
    }

    /// Another file beside what it keeps, which it alone may read.
    pub(crate) fn put(&self, name: &str, text: &str) {
        let path = self.data().join(name);
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("it is ours");
        if is_root() {
            run(Command::new("chown").arg("nobody").arg(path));
        }
    }

    /// Begins anew with these settings as well.
    pub(crate) fn set(&mut self, settings: &str) {
        self.end();
        self.settings = settings.to_owned();
        self.begin();
    }

    pub(crate) fn is_there(&self) -> bool {
        self.control("status")
            .status()
            .is_ok_and(|status| status.success())
    }

    pub(crate) fn begin(&self) {
        let options = format!(
            "-c listen_addresses= -c unix_socket_directories={} -c max_connections=300 {}",
            self.folder().display(),
            self.settings
        );
        run(self.control("start").args(["--options", &options]));
    }

    /// At once, as by a power cut.
    pub(crate) fn end(&self) {
        run(self.control("stop").args(["--mode", "immediate"]));
    }

    pub(crate) fn query(&self, sql: &str) -> String {
        let output = self
            .command("psql")
            .arg("--host")
            .arg(self.folder())
            .args(["--username", "triggerd", "--no-psqlrc", "--tuples-only"])
            .args(["--no-align", "--command", sql, "triggerd"])
            .stdout(Stdio::piped())
            .output()
            .expect("psql runs");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn control(&self, what: &str) -> Command {
        let mut command = self.command("pg_ctl");
        command.args([what, "--silent", "--pgdata"]);
        command.arg(self.data());
        if what != "status" {
            command.arg("--wait");
        }
        command.arg("--log").arg(self.folder().join("log"));
        command
    }

    /// As a user that is not root: the server refuses to be.
    fn command(&self, program: &str) -> Command {
        let program = self.programs.join(program);
        let mut command = match is_root() {
            true => {
                let mut command = Command::new("setpriv");
                let user = ["--reuid", "nobody", "--regid", "nogroup", "--clear-groups"];
                command.args(user).arg(program);
                command
            }
            false => Command::new(program),
        };
        command
            .current_dir(self.folder())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.control("stop").args(["--mode", "immediate"]).status();
    }
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[track_caller]
fn run(command: &mut Command) {
    let status = command.status().expect("it runs");
    assert!(status.success(), "{command:?}: {status}");
}

/// A node's way to the server: a socket of its own, whose far end can be cut off.
pub(crate) struct Route {
    folder: tempfile::TempDir,
    is_cut: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<UnixStream>>>,
    trips: Arc<AtomicU64>,
}

const SOCKET: &str = ".s.PGSQL.5432";

impl Route {
    pub(crate) fn new(server: &Server) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let listener = UnixListener::bind(folder.path().join(SOCKET)).expect("a socket");
        let route = Self {
            folder,
            is_cut: Arc::default(),
            open: Arc::default(),
            trips: Arc::default(),
        };
        let far = server.folder().join(SOCKET);
        let (is_cut, open) = (route.is_cut.clone(), route.open.clone());
        let trips = route.trips.clone();
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let Ok(far) = UnixStream::connect(&far) else {
                    continue;
                };
                let answered = Arc::new(AtomicBool::new(true));
                for (from, to, there) in [(&near, &far, true), (&far, &near, false)] {
                    let from = from.try_clone().expect("a copy");
                    let to = to.try_clone().expect("a copy");
                    let (is_cut, answered, trips) =
                        (is_cut.clone(), answered.clone(), trips.clone());
                    let passes = move || {
                        // A question after an answer begins another round trip.
                        if answered.swap(!there, Ordering::SeqCst) && there {
                            trips.fetch_add(1, Ordering::SeqCst);
                        }
                    };
                    thread::spawn(move || carry(from, to, &is_cut, passes));
                }
                open.lock().expect("no panic").extend([near, far]);
            }
        });
        route
    }

    /// What `[ledger] url` says.
    pub(crate) fn url(&self) -> String {
        format!(
            "postgres:///triggerd?host={}&user=triggerd",
            self.folder.path().display()
        )
    }

    /// How often something was asked and answered.
    pub(crate) fn trips(&self) -> u64 {
        self.trips.load(Ordering::SeqCst)
    }

    /// Nothing comes through any more, in either direction; nobody is told so.
    pub(crate) fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
    }

    /// New connections come through; those that were cut never do.
    pub(crate) fn mend(&self) {
        for stream in self.open.lock().expect("no panic").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.is_cut.store(false, Ordering::SeqCst);
    }
}

fn carry(mut from: UnixStream, mut to: UnixStream, is_cut: &AtomicBool, passes: impl Fn()) {
    let mut bytes = [0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        while is_cut.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(10));
        }
        passes();
        if to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

/// Waits until the database says so.
#[track_caller]
pub(crate) fn until_says(server: &Server, sql: &str, expected: &str) {
    until(&format!("`{expected}` from `{sql}`"), || {
        server.query(sql) == expected
    });
}
