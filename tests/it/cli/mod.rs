//! The commands as a shell meets them: the real binary in a folder of its own, with a clean environment.

mod check;
mod completions;
mod control;
mod demo;
mod doctor;
mod help;
mod history;
mod init;
mod instructions;
mod load;
mod man;
mod next;
mod past;
mod plan;
mod preview;
mod rehearse;
mod run;
mod schema;
mod trigger;
mod why;

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;
use tokio::net::TcpListener;
use triggerd::sandbox::{Conduct, Sandbox, Settings, TOKEN, TRIGGER_ID};

/// A folder to call the program in.
pub(crate) struct Folder(TempDir);

/// One call of the program.
#[must_use]
pub(crate) struct Triggerd(Command);

/// What it printed, and its exit code.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) code: i32,
}

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = Self(tempfile::tempdir().expect("a temporary folder"));
        fs::create_dir(folder.path("schedules")).expect("it can be made");
        folder
    }

    /// With a schedule that is due on Mondays at nine in Berlin.
    pub(crate) fn with_weekly() -> Self {
        Self::new().schedule(
            "weekly-report",
            "cron = \"0 9 * * MON\"\n\
             timezone = \"Europe/Berlin\"\n\
             \n\
             [event]\n\
             output_destination = \"#revenue\"\n\
             update_text = \"Summarise since {{ window_start }}.\"\n",
        )
    }

    pub(crate) fn schedule(self, name: &str, text: &str) -> Self {
        self.file(&format!("schedules/{name}.toml"), text)
    }

    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        fs::write(self.path(name), text).expect("it can be written");
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn daemon(&self, sandbox: &Sandbox) -> Command {
        let run = self.triggerd("run --log-format json").against(sandbox);
        run.into_command()
    }

    /// A call with the arguments of this line, parted by spaces.
    pub(crate) fn triggerd(&self, line: &str) -> Triggerd {
        Triggerd::in_folder(self.0.path()).args(line.split_whitespace())
    }
}

impl Triggerd {
    pub(crate) fn in_folder(folder: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_triggerd"));
        command
            .current_dir(folder)
            .env_clear()
            .env("WORKSPACE_AGENT_TRIGGER_ID", TRIGGER_ID)
            .env("WORKSPACE_AGENT_ACCESS_TOKEN", TOKEN)
            .stdin(Stdio::null());
        Self(command)
    }

    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.0.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.0.env(name, value);
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.0.env_remove(name);
        self
    }

    pub(crate) fn against(self, sandbox: &Sandbox) -> Self {
        self.env("TRIGGERD_API_BASE_URL", &sandbox.base_url())
    }

    pub(crate) fn run(mut self) -> Done {
        Done::new(self.0.output().expect("the binary is there"))
    }

    /// The same without blocking the sandbox that it talks to.
    pub(crate) async fn run_beside(self) -> Done {
        let done = tokio::task::spawn_blocking(move || self.run());
        done.await.expect("the call did not panic")
    }

    pub(crate) fn into_command(self) -> Command {
        self.0
    }
}

impl Done {
    fn new(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("it prints text");
        Self {
            out: text(output.stdout),
            err: text(output.stderr),
            code: output.status.code().expect("it was not killed"),
        }
    }
}

/// Standard output, then standard error with a bar before each line, then the exit code.
impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.out)?;
        for line in self.err.lines() {
            writeln!(f, "| {line}")?;
        }
        write!(f, "[{}]", self.code)
    }
}

/// Asks it to stop, as systemd would.
pub(crate) fn terminate(child: &Child) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
}

/// Runs that take no time, so that tests wait for nothing.
pub(crate) async fn sandbox() -> Sandbox {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let settings = Settings {
        conduct: Conduct {
            queue_ms: 0,
            run_ms: 0,
            ..Conduct::default()
        },
        ..Settings::default()
    };
    Sandbox::start(listener, &settings).expect("the sandbox starts")
}

/// What differs from one run to the next, in words.
pub(crate) fn steady() -> impl Drop {
    let mut settings = insta::Settings::clone_current();
    for (pattern, word) in [
        (r"conversation_url=\S+", "conversation_url=[URL]"),
        (
            r"https://chatgpt.com/c/[0-9a-f-]{36}",
            "https://chatgpt.com/c/[UUID]",
        ),
        (r"req_[0-9a-f]+", "req_[ID]"),
        (r"apirun_[0-9a-f]+", "apirun_[ID]"),
        (r"http://127\.0\.0\.1:\d+", "http://127.0.0.1:[PORT]"),
        (
            r"manual-\d{8}T\d{6}\.\d{3}Z(-[0-9a-f]{16})?",
            "manual-[TIME]",
        ),
        (r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "[TIME]"),
        (r"pid \d+", "pid [PID]"),
        (r"(latency_ms|lateness_ms)([=:\x22 ]+)\d+", "$1$2[MS]"),
    ] {
        settings.add_filter(pattern, word);
    }
    settings.bind_to_scope()
}
