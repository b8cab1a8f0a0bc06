//! A daemon as its users run it: the real binary on real folders, against a sandbox in this process.
//! Every wait is for a condition; the deadline is there only so that a failure ends.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use triggerd::sandbox::{Conduct, Sandbox, Settings, TOKEN, TRIGGER_ID};

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
    lines: Mutex<Vec<Value>>,
    grown: Condvar,
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
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                reader.lines.lock().expect("no panic").push(line);
                reader.grown.notify_all();
            }
        });
        Self { child, log }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until a line of the log is like this, and gives it.
    #[track_caller]
    pub(crate) fn until(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        let mut lines = self.log.lines.lock().expect("no panic");
        loop {
            if let Some(line) = lines.iter().find(|line| wanted(line)) {
                return line.clone();
            }
            let left = DEADLINE.saturating_sub(started.elapsed());
            assert!(!left.is_zero(), "no such line in {lines:#?}");
            lines = self
                .log
                .grown
                .wait_timeout(lines, left)
                .expect("no panic")
                .0;
        }
    }

    /// Waits until there is a line with this message.
    #[track_caller]
    pub(crate) fn says(&self, message: &str) -> Value {
        self.until(|line| line["message"] == message)
    }

    pub(crate) fn log(&self) -> Vec<Value> {
        self.log.lines.lock().expect("no panic").clone()
    }

    /// Waits until it has ended by itself.
    #[track_caller]
    pub(crate) fn ended(mut self) -> (ExitStatus, Vec<Value>) {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return (status, self.log());
            }
            assert!(
                started.elapsed() < DEADLINE,
                "it goes on: {:#?}",
                self.log()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.pid().to_string()])
            .status()
            .expect("kill runs");
        assert!(status.success());
    }

    pub(crate) fn terminate(self) -> (ExitStatus, Vec<Value>) {
        self.signal("TERM");
        self.ended()
    }

    pub(crate) fn kill_9(self) -> Vec<Value> {
        self.signal("KILL");
        self.ended().1
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn accepted(log: &[Value]) -> Vec<&Value> {
    log.iter()
        .filter(|line| line["message"] == "trigger accepted")
        .collect()
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
