//! The daemon: the real binary in a process of its own, with its log in a file. It knows how to start and to end it,
//! and not what it should do.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const FAKETIME: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
];

/// A wait for something that has to come fails the row after it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Waits until this holds; `what` is told where it does not.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "in vain: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The clock that a world's processes read: the system's, or one that libfaketime moves by what a file says.
#[derive(Clone, Debug)]
pub(crate) enum Clock {
    System,
    Moved {
        library: &'static str,
        file: PathBuf,
    },
}

impl Clock {
    /// # Errors
    /// If libfaketime is not there.
    pub(crate) fn moved(folder: &Path, by: SignedDuration) -> Result<Self, String> {
        let library = FAKETIME.into_iter().find(|path| Path::new(path).exists());
        let library = library.ok_or("libfaketime is not installed: apt-get install faketime")?;
        let file = folder.join("clock");
        let clock = Self::Moved { library, file };
        clock.set(by);
        Ok(clock)
    }

    /// Sets it so far from the system's.
    pub(crate) fn set(&self, by: SignedDuration) {
        if let Self::Moved { file, .. } = self {
            let new = file.with_extension("new");
            let by = by.as_millis() as f64 / 1000.0;
            fs::write(&new, format!("{by:+.3}\n")).expect("a file");
            fs::rename(&new, file).expect("renamed");
        }
    }

    pub(crate) fn apply(&self, command: &mut Command) {
        if let Self::Moved { library, file } = self {
            command
                .env("LD_PRELOAD", library)
                .env("FAKETIME_TIMESTAMP_FILE", file)
                .env("FAKETIME_NO_CACHE", "1")
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
                .env("NO_FAKE_STAT", "1")
                .env("TRIGGERD_CLOCK", "portable");
        }
    }
}

/// The binary with nothing of the driver's environment, under the shell's `limit` if there is one. It dies with the
/// driver's thread, whatever becomes of that.
pub(crate) fn program(binary: &Path, limit: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]);
    if !limit.is_empty() {
        command.args(["bash", "-c", &format!("{limit} && exec \"$0\" \"$@\"")]);
    }
    command.arg(binary).env_clear().stdin(Stdio::null());
    command
}

pub(crate) struct Daemon {
    child: Child,
    pub(crate) log: PathBuf,
}

impl Daemon {
    pub(crate) fn start(mut command: Command, log: PathBuf) -> Self {
        let file = File::create(&log).expect("a log file");
        let child = command
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .expect("the daemon starts");
        Self { child, log }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn lines(&self) -> Vec<Value> {
        lines(&self.log)
    }

    pub(crate) fn has_said(&self, message: &str) -> bool {
        let begins = |line: &Value| {
            let said = line["message"].as_str();
            said.is_some_and(|said| said.starts_with(message))
        };
        self.lines().iter().any(begins)
    }

    /// Waits for a line whose message begins so.
    #[track_caller]
    pub(crate) fn says(&mut self, message: &str) {
        until(
            &format!("a line `{message}` in {}", self.log.display()),
            || {
                let said = self.has_said(message);
                assert!(said || self.is_running(), "it ended: {:?}", self.lines());
                said
            },
        );
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|ended| ended.is_none())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid().cast_signed()).expect("a process");
        kill_process(pid, signal).expect("it is our child");
    }

    /// Ends it by this signal, and waits until it is gone.
    #[track_caller]
    pub(crate) fn end(mut self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        self.ended()
    }

    /// Waits until it has ended by itself.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> ExitStatus {
        until("the daemon's end", || !self.is_running());
        self.child.wait().expect("it is our child")
    }

    #[track_caller]
    pub(crate) fn killed_itself(mut self) {
        let status = self.ended();
        assert_eq!(
            status.signal(),
            Some(Signal::KILL.as_raw()),
            "{:?}",
            self.lines()
        );
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of a log; what is no JSON is kept as text.
pub(crate) fn lines(log: &Path) -> Vec<Value> {
    let text = fs::read(log).unwrap_or_default();
    let whole = String::from_utf8_lossy(&text);
    let line = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| Value::from(line));
    whole.lines().map(line).collect()
}
