//! A daemon as its users run it: the real binary on real folders, against a sandbox in this process.
//! Every wait is for a condition; the deadline is there only so that a failure ends.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use triggerd::ledger::{Ledger, LedgerError, Place, Receipts};
use triggerd::plan::remembered::Remembered;
use triggerd::sandbox::{Conduct, Effect, Sandbox, Settings, TOKEN, TRIGGER_ID};

const DEADLINE: Duration = Duration::from_secs(30);

/// Folders and an API for daemons to live in.
pub(crate) struct World {
    pub(crate) root: TempDir,
    pub(crate) sandbox: Sandbox,
}

impl World {
    pub(crate) async fn new() -> Self {
        let root = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(root.path().join("schedules")).expect("a folder");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let settings = Settings {
            conduct: Conduct {
                queue_ms: 0,
                run_ms: 0,
                ..Conduct::default()
            },
            ..Settings::default()
        };
        Self {
            root,
            sandbox: Sandbox::start(listener, &settings).expect("the sandbox starts"),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn schedule(&self, name: &str, text: &str) {
        fs::write(self.path(&format!("schedules/{name}.toml")), text).expect("a file");
    }

    /// Writes triggerd.toml.
    pub(crate) fn settings(&self, text: &str) {
        fs::write(self.path("triggerd.toml"), text).expect("a file");
    }

    /// Waits until an event like this was queued, and gives it.
    pub(crate) async fn until_effect(&self, wanted: impl Fn(&Effect) -> bool) -> Effect {
        let found = || self.sandbox.effects().into_iter().find(|it| wanted(it));
        let until = self.sandbox.until(|_| found().is_some());
        let waited = tokio::time::timeout(DEADLINE, until).await;
        waited.expect("such an event is queued before the deadline");
        found().expect("effects are never forgotten")
    }

    /// Waits until so many more events were queued than are now.
    pub(crate) async fn until_more_effects(&self, more: usize) {
        let so_far = self.sandbox.effects().len();
        let until = self.sandbox.until_effects(so_far + more);
        let waited = tokio::time::timeout(DEADLINE, until).await;
        waited.expect("more events are queued before the deadline");
    }

    /// A command in this world, with nothing of the test's own environment.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_triggerd"));
        command
            .args(args)
            .current_dir(self.root.path())
            .env_clear()
            .env("WORKSPACE_AGENT_TRIGGER_ID", TRIGGER_ID)
            .env("WORKSPACE_AGENT_ACCESS_TOKEN", TOKEN)
            .env("TRIGGERD_API_BASE_URL", self.sandbox.base_url())
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the binary runs")
    }

    pub(crate) fn daemon(&self) -> Daemon {
        Daemon::start(self.command(&["run", "--log-format", "json"]))
    }

    /// `history --json`, an object an entry.
    pub(crate) fn history(&self) -> Vec<Value> {
        let output = self.run(&["history", "--json", "--count", "1000"]);
        assert!(output.status.success(), "{output:?}");
        let lines = String::from_utf8(output.stdout).expect("UTF-8");
        lines
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    }
}

/// A schedule that is due once, a little later: at a whole second that is at least `from_now` away.
pub(crate) fn once(from_now: Duration) -> String {
    let at = Timestamp::now() + SignedDuration::try_from(from_now).expect("a length");
    let at = Timestamp::from_second(at.as_second() + 1).expect("an instant");
    format!(
        "at = {}\n\n[event]\nupdate_text = \"hello\"\n",
        at.strftime("%Y-%m-%dT%H:%M:%S")
    )
}

pub(crate) const EVERY_SECOND: &str =
    "cron = \"* * * * * *\"\n\n[event]\nupdate_text = \"hello\"\n";

/// A running `triggerd run`. Killed when it is dropped.
pub(crate) struct Daemon {
    child: Child,
    log: Arc<Log>,
}

#[derive(Default)]
struct Log {
    lines: Mutex<Lines>,
    grown: Condvar,
}

#[derive(Default)]
struct Lines {
    all: Vec<Value>,
    /// There will be no more.
    ended: bool,
}

impl Log {
    fn read(&self, stderr: impl Read) {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
            self.change(|lines| lines.all.push(line));
        }
        self.change(|lines| lines.ended = true);
    }

    fn change(&self, change: impl FnOnce(&mut Lines)) {
        change(&mut self.lines.lock().expect("no panic"));
        self.grown.notify_all();
    }

    /// Waits until the lines hold it.
    #[track_caller]
    fn until<T>(&self, found: impl Fn(&Lines) -> Option<T>) -> T {
        let started = Instant::now();
        let mut lines = self.lines.lock().expect("no panic");
        loop {
            if let Some(found) = found(&lines) {
                return found;
            }
            let left = DEADLINE.saturating_sub(started.elapsed());
            let may_come = !lines.ended && !left.is_zero();
            if !may_come {
                let said = lines.all.clone();
                drop(lines);
                panic!("it does not come in {said:#?}");
            }
            lines = self.grown.wait_timeout(lines, left).expect("no panic").0;
        }
    }
}

impl Daemon {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let stderr = child.stderr.take().expect("it is piped");
        let log = Arc::new(Log::default());
        let reader = log.clone();
        thread::spawn(move || reader.read(stderr));
        Self { child, log }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until a line of the log is like this, and gives it.
    #[track_caller]
    pub(crate) fn until(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        self.log
            .until(|lines| lines.all.iter().find(|line| wanted(line)).cloned())
    }

    /// Waits until there is a line with this message.
    #[track_caller]
    pub(crate) fn says(&self, message: &str) -> Value {
        self.until(|line| line["message"] == message)
    }

    pub(crate) fn log(&self) -> Vec<Value> {
        self.log.lines.lock().expect("no panic").all.clone()
    }

    /// Waits until it has ended by itself.
    #[track_caller]
    pub(crate) fn ended(mut self) -> (ExitStatus, Vec<Value>) {
        let log = self
            .log
            .until(|lines| lines.ended.then(|| lines.all.clone()));
        // Its standard error is closed: what is left of it is its exit status.
        let status = self.child.wait().expect("it is our child");
        (status, log)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid().cast_signed()).expect("a process");
        kill_process(pid, signal).expect("it is our child");
    }

    pub(crate) fn terminate(self) -> (ExitStatus, Vec<Value>) {
        self.signal(Signal::TERM);
        self.ended()
    }

    pub(crate) fn kill_9(self) -> Vec<Value> {
        self.signal(Signal::KILL);
        self.ended().1
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Due at every second, and each of those seconds is owed whatever keeps the API.
pub(crate) fn owed_every_second(input: &str) -> String {
    format!(
        "cron = \"* * * * * *\"\ninput = \"{input}\"\n\n\
         [missed]\ncatch_up = \"all\"\nat_most = 100\nspacing = \"0s\"\n\n\
         [retry]\nfirst_delay = \"100ms\"\n"
    )
}

pub(crate) fn accepted(log: &[Value]) -> Vec<&Value> {
    log.iter()
        .filter(|line| line["message"] == "trigger accepted")
        .collect()
}

/// The ledger of a state folder. A process that another test is starting holds a copy of the lock until its exec.
pub(crate) fn open_ledger(place: &Place, now: Timestamp) -> (Ledger, Remembered, Receipts) {
    loop {
        match Ledger::open(place, now) {
            Err(LedgerError::InUse { .. }) => std::thread::yield_now(),
            opened => return opened.expect("the ledger opens"),
        }
    }
}

/// Every byte of every file below a folder.
pub(crate) fn bytes_below(folder: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            bytes.extend(bytes_below(&path));
        } else if path.is_file() {
            bytes.extend(fs::read(&path).expect("a file"));
        }
    }
    bytes
}
