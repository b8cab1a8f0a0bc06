//! One folder with its schedules, its API and its daemons, and the story of what is done to them. It judges nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rustix::process::Signal;
use serde_json::Value;

use crate::api::Api;
use crate::daemon::{Clock, Daemon, lines, program};
use crate::judge::{Evidence, Judgement, judge};
use crate::story::{Of, Plan, Story, Trouble, Version};

/// The token, told apart from every other byte sequence.
pub(crate) const CANARY: &str = "at-canary-3f9d2c71e6b84a05";

pub(crate) struct World {
    pub(crate) root: tempfile::TempDir,
    pub(crate) api: Api,
    pub(crate) story: Story,
    clock: Clock,
    /// How far the daemon's clock is from the system's.
    pub(crate) moved: SignedDuration,
    release: PathBuf,
    logs: Vec<PathBuf>,
    states: Vec<String>,
    command_lines: Vec<u8>,
}

impl World {
    pub(crate) fn new(release: &Path, grace: SignedDuration) -> Self {
        let root = tempfile::tempdir().expect("a temporary folder");
        Self::with(release, grace, root, Clock::System, SignedDuration::ZERO)
    }

    /// A world whose clock, the API's as well, is so far from the system's.
    pub(crate) fn moved(
        release: &Path,
        grace: SignedDuration,
        by: SignedDuration,
    ) -> Result<Self, String> {
        let root = tempfile::tempdir().expect("a temporary folder");
        let clock = Clock::moved(root.path(), by)?;
        Ok(Self::with(release, grace, root, clock, by))
    }

    /// A world whose daemon's clock goes before the API's, by what the judge is not told.
    pub(crate) fn ahead(
        release: &Path,
        grace: SignedDuration,
        by: SignedDuration,
    ) -> Result<Self, String> {
        let root = tempfile::tempdir().expect("a temporary folder");
        let clock = Clock::moved(root.path(), by)?;
        let mut world = Self::with(release, grace, root, Clock::System, SignedDuration::ZERO);
        world.clock = clock;
        Ok(world)
    }

    fn with(
        release: &Path,
        grace: SignedDuration,
        root: tempfile::TempDir,
        clock: Clock,
        moved: SignedDuration,
    ) -> Self {
        fs::create_dir(root.path().join("schedules")).expect("a folder");
        let api = Api::start(release, root.path(), &clock);
        api.token(CANARY, false);
        fs::write(root.path().join("token"), CANARY).expect("a file");
        let settings = format!(
            "[api]\nbase_url = \"{}\"\ntimeout = \"2s\"\n[token]\nfile = \"token\"\n",
            api.base_url()
        );
        fs::write(root.path().join("triggerd.toml"), settings).expect("a file");
        Self {
            root,
            api,
            story: Story {
                begun: Timestamp::now() + moved,
                grace,
                ..Story::default()
            },
            clock,
            moved,
            release: release.to_owned(),
            logs: Vec::new(),
            states: Vec::new(),
            command_lines: Vec::new(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path(&format!("schedules/{name}.toml"))
    }

    /// By the daemon's clock.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::now() + self.moved
    }

    /// Sets the clock.
    pub(crate) fn step(&mut self, by: SignedDuration) {
        let left = self.now();
        self.moved += by;
        self.clock.set(self.moved);
        let landed = self.now();
        self.story.leaps.push((left, landed));
        // What is in force stays so, and its place returns to now (SEMANTICS.md 18).
        for version in &mut self.story.versions {
            version.from = version.from.min(landed - SignedDuration::from_secs(5));
        }
    }

    /// Writes a file, and notes that it is in force from now on.
    pub(crate) fn schedule(&mut self, plan: &Plan) {
        fs::write(self.file(&plan.name), plan.toml()).expect("a file");
        self.note(plan.clone());
    }

    /// Notes that this is what its file says from now on.
    pub(crate) fn note(&mut self, plan: Plan) {
        let from = self.now();
        self.note_gone(&plan.name);
        self.story.versions.push(Version {
            plan,
            from,
            until: None,
        });
    }

    pub(crate) fn note_gone(&mut self, name: &str) {
        let now = self.now();
        let mut versions = self.story.versions.iter_mut();
        if let Some(version) = versions.find(|it| it.plan.name == name && it.until.is_none()) {
            version.until = Some(now);
        }
    }

    pub(crate) fn command(&self, binary: &Path, limit: &str, state: &str) -> Command {
        let mut command = program(binary, limit);
        command
            .args(["run", "--log-format", "json", "--state", state])
            .current_dir(self.root.path());
        self.clock.apply(&mut command);
        command
    }

    pub(crate) fn daemon(&mut self) -> Daemon {
        let release = self.release.clone();
        let command = self.command(&release, "", "state");
        self.start(command, "state")
    }

    /// Starts a daemon whose ledger is in `state`, and keeps sight of its log and its command line.
    pub(crate) fn start(&mut self, command: Command, state: &str) -> Daemon {
        let log = self.path(&format!("log-{}.jsonl", self.logs.len()));
        self.logs.push(log.clone());
        if !self.states.iter().any(|it| it == state) {
            self.states.push(state.to_owned());
        }
        Daemon::start(command, log)
    }

    /// The first start: what the files say is in force from where the daemon says that it is.
    pub(crate) fn first(&mut self) -> Daemon {
        let mut daemon = self.daemon();
        self.ready(&mut daemon);
        daemon
    }

    pub(crate) fn ready(&mut self, daemon: &mut Daemon) {
        daemon.says("triggerd started");
        let now = self.now();
        for version in &mut self.story.versions {
            version.from = now;
        }
    }

    pub(crate) fn trouble(&mut self, from: Timestamp, wait: SignedDuration, of: Of) {
        let until = self.now();
        self.story.troubles.push(Trouble {
            from,
            until,
            wait,
            of,
        });
    }

    /// Lets so much time pass: a part of the script, nothing is waited for.
    pub(crate) fn pass(&self, time: Duration) {
        thread::sleep(time);
    }

    /// The fault for so long.
    pub(crate) fn api_fault(
        &mut self,
        fault: &Value,
        time: Duration,
        wait: SignedDuration,
        of: Of,
    ) {
        let from = self.now();
        self.api.fault(fault);
        self.pass(time);
        self.api.clear_faults();
        self.trouble(from, wait, of);
    }

    fn history(&self, state: &str) -> Vec<Value> {
        let output = program(&self.release, "")
            .args(["history", "--json", "--count", "10000000", "--state", state])
            .current_dir(self.root.path())
            .output()
            .expect("it runs");
        assert!(
            output.status.success(),
            "the ledger always opens: {output:?}"
        );
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        text.lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    }

    /// Rows of the ledger.
    pub(crate) fn rows(&self, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut rows = self.history("state");
        rows.retain(wanted);
        rows
    }

    /// What falls due from now on is not judged; waits until all before it has its verdict, or for so long at most.
    pub(crate) fn settle(&mut self, longest: Duration) {
        self.story.end = self.now();
        let started = std::time::Instant::now();
        while self.open() && started.elapsed() < longest {
            self.pass(Duration::from_millis(300));
        }
    }

    /// Whether something that was due is open yet, in any ledger.
    fn open(&self) -> bool {
        let grace = SignedDuration::from_secs(1);
        let is_open = |row: &Value| {
            let at = row["scheduled_at"]
                .as_str()
                .and_then(|at| at.parse::<Timestamp>().ok());
            row["verdict"] == "open" && at.is_some_and(|at| at <= self.story.end)
        };
        self.now() < self.story.end + grace
            || self
                .states
                .iter()
                .any(|state| self.history(state).iter().any(is_open))
    }

    /// Stops the daemons and judges all that was.
    pub(crate) fn judge(mut self, daemons: Vec<Daemon>) -> Judgement {
        for daemon in daemons {
            let path = format!("/proc/{}/cmdline", daemon.pid());
            self.command_lines
                .extend(fs::read(path).unwrap_or_default());
            let log = daemon.log.clone();
            let status = daemon.end(Signal::TERM);
            assert!(
                status.success(),
                "a stop in order: {status} {}",
                log.display()
            );
        }
        self.story.stopped = self.now() + SignedDuration::from_secs(5);
        self.story.troubles.sort_by_key(|trouble| trouble.from);
        let (calls, effects) = self.api.record();
        let evidence = Evidence {
            calls,
            effects,
            ledgers: self
                .states
                .iter()
                .map(|state| self.history(state))
                .collect(),
            logs: self.logs.iter().map(|log| lines(log)).collect(),
            leaks: self.leaks(),
        };
        let judgement = judge(&self.story, &evidence);
        if !judgement.findings.is_empty() && std::env::var_os("TRIGGERD_CHAOS_KEEP").is_some() {
            println!("kept: {}", self.root.keep().display());
        }
        judgement
    }

    fn leaks(&self) -> Vec<String> {
        let mut leaks = Vec::new();
        let shows = |bytes: &[u8]| {
            let canary = CANARY.as_bytes();
            bytes.windows(canary.len()).any(|window| window == canary)
        };
        let mut folders: Vec<PathBuf> = self.states.iter().map(|it| self.path(it)).collect();
        let mut files = self.logs.clone();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                    Ok(kind) if kind.is_file() => files.push(entry.path()),
                    _ => {}
                }
            }
        }
        for file in files {
            if shows(&fs::read(&file).unwrap_or_default()) {
                leaks.push(file.display().to_string());
            }
        }
        if shows(&self.command_lines) {
            leaks.push("the command line".to_owned());
        }
        leaks
    }
}
