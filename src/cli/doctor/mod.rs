//! `triggerd doctor`: what an operator would look at one by one, a line each, with the way out. It
//! changes nothing, starts nothing and never shows a token.

mod here;
mod there;

use std::fmt;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use serde::Serialize;

use crate::cli::environment;
use crate::render;
use crate::schedule::problem::Severity;
use crate::settings::{Flags, Read, Settings};

/// Check the settings, the token, the API and this machine
///
/// The token is tried with the GET of a run that does not exist: nothing is started. Exits with 1
/// if a check failed; warnings are no failures.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Example:\n  triggerd doctor --config /etc/triggerd/triggerd.toml")]
pub(super) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    Warning,
    Failed,
}

/// One thing that was looked at.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Check {
    check: String,
    status: Status,
    what: String,
    way_out: Option<String>,
}

/// As `--json` prints it.
#[derive(Debug, Serialize)]
struct Checked {
    checks: Vec<Check>,
}

impl Check {
    fn ok(check: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            check: check.into(),
            status: Status::Ok,
            what: what.into(),
            way_out: None,
        }
    }

    fn warning(check: &str, what: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self {
            status: Status::Warning,
            way_out: Some(way_out.into()),
            ..Self::ok(check, what)
        }
    }

    fn failed(check: &str, what: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self {
            status: Status::Failed,
            ..Self::warning(check, what, way_out)
        }
    }

    /// Of an error whose text ends in its way out.
    fn error(check: &str, error: &anyhow::Error) -> Self {
        Self {
            status: Status::Failed,
            ..Self::ok(check, format!("{error:#}"))
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Status::Ok => "ok",
            Status::Warning => "warning",
            Status::Failed => "failed",
        })
    }
}

pub(super) async fn run(args: Args, flags: Flags, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let read = Settings::read(&flags, &environment);
    let mut checks = vec![settings(&read)];
    if let Some(settings) = &read.settings {
        let schedules = here::schedules(settings, &mut checks);
        here::state(settings, &mut checks);
        checks.push(here::time_zones(&environment));
        checks.push(here::daemon(&settings.control_socket));
        there::look(settings, &schedules, &mut checks).await;
    }
    let code = match checks.iter().any(|check| check.status == Status::Failed) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    };
    if args.json {
        super::print_json(out, &Checked { checks })?;
    } else {
        print(&checks, out)?;
    }
    Ok(code)
}

fn settings(read: &Read) -> Check {
    const NAME: &str = "settings";
    let is_told = |it: &&crate::schedule::problem::Problem| it.severity != Severity::Note;
    let problems: Vec<_> = read.problems.iter().filter(is_told).cloned().collect();
    let counts = render::counts(&problems).unwrap_or_default();
    let way_out = "`triggerd check` shows what";
    match &read.settings {
        None => Check::failed(NAME, format!("they can't be used: {counts}"), way_out),
        Some(_) if !problems.is_empty() => Check::warning(NAME, counts, way_out),
        Some(settings) => match &settings.file {
            Some(file) => Check::ok(NAME, format!("`{}`", file.display())),
            None => Check::ok(NAME, "there is no triggerd.toml: every key has its default"),
        },
    }
}

fn print(checks: &[Check], out: &mut dyn Write) -> std::io::Result<()> {
    let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let width = checks.iter().map(|it| it.check.len()).max().unwrap_or(0);
    for check in checks {
        let (status, name) = (check.status, &check.check);
        match colour {
            true => {
                let colour = match status {
                    Status::Ok => 32,
                    Status::Warning => 33,
                    Status::Failed => 31,
                };
                write!(out, "\u{1b}[{colour}m{status:7}\u{1b}[0m")?;
            }
            false => write!(out, "{status:7}")?,
        }
        write!(out, "  {name:width$}  {}", check.what)?;
        if let Some(way_out) = &check.way_out {
            write!(out, "; {way_out}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}
