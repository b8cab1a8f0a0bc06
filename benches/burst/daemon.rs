//! triggerd as it is installed: the release binary on a folder of files, with its ledger in a state
//! folder and its log in a file. When it is ready is heard as systemd hears it.

use std::fs::{self, File};
use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::pages;

pub(crate) struct Folder {
    root: tempfile::TempDir,
    /// Where the status page is.
    pub(crate) pages: SocketAddr,
}

pub(crate) struct Daemon {
    pub(crate) child: Child,
    /// From the start of the process to READY=1.
    pub(crate) ready_after: Duration,
    log: PathBuf,
}

impl Folder {
    /// N schedules on one expression, with chores off: those are the operator's choice.
    pub(crate) fn new(
        n: usize,
        cron: &str,
        url: &str,
        authority: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        fs::create_dir(root.path().join("schedules"))?;
        fs::create_dir(root.path().join("log"))?;
        let authority = authority
            .map(|path| format!("ca_file = {path:?}\n"))
            .unwrap_or_default();
        let pages = pages::free_address()?;
        let settings = format!(
            "[http]\nlisten = \"{pages}\"\n[api]\nbase_url = \"{url}\"\n{authority}\
             [token]\nenv = \"TRIGGERD_BENCH_TOKEN\"\n\
             [chores]\nprune = \"\"\nrescan = \"\"\nsummary = \"\"\nexpiry = \"\"\n\
             [defaults]\ntrigger_id = \"agtch_0123456789abcdef0123456789abcdef\"\n"
        );
        fs::write(root.path().join("triggerd.toml"), settings)?;
        let folder = Self { root, pages };
        for n in 0..n {
            folder.put(n, cron)?;
        }
        Ok(folder)
    }

    pub(crate) fn put(&self, n: usize, cron: &str) -> anyhow::Result<()> {
        let text = format!(
            "cron = \"{cron}\"\n\n[event]\noutput_destination = \"#reports\"\n\
             update_text = \"Summarise the tickets opened since {{{{ window_start }}}}.\"\n"
        );
        fs::write(
            self.root.path().join(format!("schedules/burst-{n}.toml")),
            text,
        )?;
        Ok(())
    }

    pub(crate) fn start(&self) -> anyhow::Result<Daemon> {
        let path = |name| self.root.path().join(name);
        let _ = fs::remove_file(path("notify"));
        let notify = UnixDatagram::bind(path("notify"))?;
        notify.set_read_timeout(Some(Duration::from_secs(300)))?;
        // Not beside triggerd.toml, whose folder is watched.
        let log = path("log/stderr");
        let begun = Instant::now();
        let child = Command::new(env!("CARGO_BIN_EXE_triggerd"))
            .arg("run")
            .arg("--config")
            .arg(path("triggerd.toml"))
            .env("NOTIFY_SOCKET", path("notify"))
            .env("TRIGGERD_BENCH_TOKEN", "at-bench")
            .env_remove("RUST_LOG")
            .stderr(File::create(&log)?)
            .spawn()?;
        let mut message = [0; 4096];
        loop {
            let length = notify
                .recv(&mut message)
                .context("triggerd does not get ready")?;
            if message[..length].windows(7).any(|it| it == b"READY=1") {
                break;
            }
        }
        Ok(Daemon {
            child,
            ready_after: begun.elapsed(),
            log,
        })
    }
}

impl Daemon {
    /// How many of its lines hold these words.
    pub(crate) fn said(&self, words: &str) -> anyhow::Result<usize> {
        let mut text = String::new();
        File::open(&self.log)?.read_to_string(&mut text)?;
        Ok(text.matches(words).count())
    }

    /// Waits until it has said so; how long that took.
    pub(crate) fn says(
        &self,
        words: &str,
        times: usize,
        within: Duration,
    ) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        while self.said(words)? < times {
            ensure!(
                begun.elapsed() < within,
                "triggerd does not say `{words}` {times} times"
            );
            std::thread::sleep(Duration::from_millis(if times > 1 { 20 } else { 1 }));
        }
        Ok(begun.elapsed())
    }

    /// As systemd stops it.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "triggerd ended with {status}");
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
