//! `triggerd demo`: the sandbox API and the daemon in one process, so that the main job shows
//! without an account. It is made of what `run` and `sandbox` are made of.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::net::TcpListener;
use tokio::sync::broadcast::error::RecvError;

use crate::api::token::{TokenId, TokenSource, Tokens};
use crate::cli::length;
use crate::cli::run::serve;
use crate::daemon::systemd;
use crate::render::counted;
use crate::sandbox::{self, Sandbox};
use crate::settings::{Flags, Read, Settings};

/// Show the main job without an account: a local API and the daemon in one process
///
/// It runs on `./schedules` (or the examples that come with triggerd), and adds a schedule that
/// fires every five seconds. Nothing leaves this machine, and nothing is kept.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Example:\n  triggerd demo --for 20s")]
pub(super) struct Args {
    /// How long
    #[arg(long = "for", value_name = "LENGTH", default_value = "30s", value_parser = length)]
    length: Duration,
}

/// The daemon's lines; what the sandbox has to say is printed.
pub(super) const USUAL: &str = "warn,triggerd=info,triggerd::sandbox=warn";

/// The files of `schedules/`, for where there is no such folder.
const EXAMPLES: [(&str, &str); 5] = [
    (
        "demo-event.toml",
        include_str!("../../schedules/demo-event.toml"),
    ),
    (
        "inbox-poll.toml",
        include_str!("../../schedules/inbox-poll.toml"),
    ),
    (
        "month-end.toml",
        include_str!("../../schedules/month-end.toml"),
    ),
    (
        "morning-briefing.toml",
        include_str!("../../schedules/morning-briefing.toml"),
    ),
    (
        "weekly-report.toml",
        include_str!("../../schedules/weekly-report.toml"),
    ),
];

const EVERY_FIVE_SECONDS: &str = r#"cron = "*/5 * * * * *"

[event]
update_text = "This is the demo's own schedule; it covers {{ window_start }} to {{ window_end }}."
"#;

pub(super) async fn run(
    args: Args,
    schedules: Option<PathBuf>,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let folder = Scratch::new().context("a folder for the demo can't be made")?;
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .context("no port can be had on 127.0.0.1")?;
    let sandbox = Sandbox::start(listener, &sandbox::Settings::default())?;
    fill(&folder.0.join("schedules"), schedules)?;

    writeln!(
        out,
        "A sandbox of the Workspace Agents API is at {}.",
        sandbox.base_url()
    )?;
    writeln!(
        out,
        "The daemon runs for {} s on example schedules and one that fires every 5 s; its log follows.",
        args.length.as_secs()
    )?;
    let stop = systemd::stop_signal().context("signals can't be caught")?;
    let after_a_while = stop.clone();
    let length = args.length;
    tokio::spawn(async move {
        tokio::time::sleep(length).await;
        after_a_while.cancel();
    });

    let settings = settings(&folder.0, &sandbox)?;
    let tokens = Arc::new(Tokens::new(settings.tokens.clone(), Box::new(variable)));
    let unchanged = settings.clone();
    let reread = move || Read {
        settings: Some(unchanged.clone()),
        problems: Vec::new(),
        text: String::new(),
    };
    let daemon = tokio::spawn(async move { serve(settings, tokens, Box::new(reread), stop).await });
    let updates = print_updates(&sandbox, daemon, out).await?;
    let effects = sandbox.effects().len();
    writeln!(
        out,
        "\n{} accepted, {} written by the agent. Accepted means queued: the agent's part comes after it.",
        counted(effects, "trigger"),
        counted(updates, "update"),
    )?;
    sandbox.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

/// Prints what the agent writes until the daemon ends.
async fn print_updates(
    sandbox: &Sandbox,
    mut daemon: tokio::task::JoinHandle<anyhow::Result<()>>,
    out: &mut dyn Write,
) -> anyhow::Result<usize> {
    let mut written = sandbox.written();
    let mut updates = 0;
    loop {
        tokio::select! {
            update = written.recv() => match update {
                Ok(update) => {
                    updates += 1;
                    writeln!(out, "\nThe agent wrote to {}:", update.destination)?;
                    for line in update.text.lines() {
                        writeln!(out, "  {line}")?;
                    }
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Err(anyhow!("the sandbox ended")),
            },
            ended = &mut daemon => {
                ended.context("the daemon came to a sudden end")??;
                return Ok(updates);
            }
        }
    }
}

fn fill(folder: &Path, schedules: Option<PathBuf>) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    let own = schedules.unwrap_or_else(|| "schedules".into());
    if own.is_dir() {
        for entry in fs::read_dir(&own)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                fs::copy(entry.path(), folder.join(entry.file_name()))?;
            }
        }
    } else {
        for (name, text) in EXAMPLES {
            fs::write(folder.join(name), text)?;
        }
    }
    fs::write(folder.join("demo.toml"), EVERY_FIVE_SECONDS)?;
    Ok(())
}

/// Those of a daemon without a file, in the demo's folder and with the sandbox's agent.
fn settings(folder: &Path, sandbox: &Sandbox) -> anyhow::Result<Settings> {
    let flags = Flags {
        config: None,
        schedules: Some(folder.join("schedules")),
        state: Some(folder.join("state")),
        log_format: None,
    };
    let base_url = sandbox.base_url();
    let env = |name: &str| match name {
        "TRIGGERD_API_BASE_URL" => Some(base_url.clone()),
        _ => variable(name),
    };
    let mut settings = Settings::without_file(&flags, &env);
    settings.tokens = BTreeMap::from([(
        TokenId::Default,
        TokenSource::Env("WORKSPACE_AGENT_ACCESS_TOKEN".into()),
    )]);
    Ok(settings)
}

fn variable(name: &str) -> Option<String> {
    match name {
        "WORKSPACE_AGENT_ACCESS_TOKEN" => Some(sandbox::TOKEN.into()),
        "WORKSPACE_AGENT_TRIGGER_ID" => Some(sandbox::TRIGGER_ID.into()),
        "WORKSPACE_AGENT_OUTPUT_DESTINATION" => Some("#demo".into()),
        _ => None,
    }
}

/// A folder that is gone when the demo ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> std::io::Result<Self> {
        let folder = std::env::temp_dir().join(format!("triggerd-demo-{}", std::process::id()));
        fs::create_dir(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A temporary folder that stays is no reason to fail.
        let _ = fs::remove_dir_all(&self.0);
    }
}
