//! The commands, one file each: what they take, and what they print. None of them decides anything.

use std::cell::OnceCell;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::{Parser, Subcommand};
use jiff::Timestamp;
use serde::Serialize;

use crate::clock::{Clock, SystemClock};
use crate::daemon::control::Client;
use crate::daemon::load::Catalog;
use crate::daemon::systemd;
use crate::daemon::watch;
use crate::ledger::{LedgerError, Reader};
use crate::plan::occurrence::Namespace;
use crate::render;
use crate::schedule::problem::{Problem, Severity};
use crate::schedule::resolve::resolve_quietly;
use crate::schedule::{Schedule, ScheduleId};
use crate::settings::{Flags, Settings};
use crate::telemetry::{self, LogFormat};
use crate::toml_file::{duration, list, nearest};

mod check;
mod completions;
mod demo;
mod doctor;
mod heat_map;
mod history;
mod init;
mod instructions;
mod load;
mod man;
mod next;
mod pause;
mod plan;
mod preview;
mod redeliver;
mod rehearse;
mod run;
mod sandbox;
mod schema;
mod status;
mod trigger;
mod why;

/// Wakes ChatGPT Workspace Agents on schedule
///
/// Drop a TOML file into a folder, and each occurrence of its cron expression reaches the agent
/// exactly once, with a log line that proves it. Accepted means queued, not done.
#[derive(Debug, Parser)]
#[command(name = "triggerd", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    global: Global,

    #[command(subcommand)]
    command: Command,
}

/// So that a command's own options come first in its help.
const EVERYWHERE: &str = "Options of every command";

#[derive(Debug, clap::Args)]
struct Global {
    /// The daemon's own file [default: ./triggerd.toml, then /etc/triggerd/triggerd.toml]
    #[arg(long, global = true, value_name = "FILE", help_heading = EVERYWHERE)]
    config: Option<PathBuf>,

    /// The folder of schedule files
    #[arg(long, global = true, value_name = "DIR", help_heading = EVERYWHERE)]
    schedules: Option<PathBuf>,

    /// The folder of the ledger
    #[arg(long, global = true, value_name = "DIR", help_heading = EVERYWHERE)]
    state: Option<PathBuf>,

    /// How log lines look, on standard error
    #[arg(long, global = true, value_enum, value_name = "FORMAT", help_heading = EVERYWHERE)]
    log_format: Option<LogFormat>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Args),
    Run(run::Args),
    Demo(demo::Args),
    Check(check::Args),
    Next(next::Args),
    Preview(preview::Args),
    Plan(plan::Args),
    Load(load::Args),
    Trigger(trigger::Args),
    Status(status::Args),
    Pause(pause::PauseArgs),
    Resume(pause::ResumeArgs),
    Redeliver(redeliver::Args),
    History(history::Args),
    Why(why::Args),
    Doctor(doctor::Args),
    Rehearse(rehearse::Args),
    Instructions(instructions::Args),
    Schema(schema::Args),
    Completions(completions::Args),
    Man(man::Args),
    Sandbox(sandbox::Args),
}

/// Does what the command line asks for.
///
/// # Errors
/// If it failed; the error says what was being done, what was wrong, and the way out.
pub fn run(cli: Cli, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let Cli { global, command } = cli;
    let flags = Flags {
        config: global.config,
        schedules: global.schedules,
        state: global.state,
        log_format: global.log_format,
    };
    let log_format = flags.log_format.unwrap_or_default();
    match command {
        Command::Check(args) => check::run(&args, &flags, out),
        Command::Next(args) => next::run(args, &Workplace::open(&flags)?, out),
        Command::Preview(args) => preview::run(args, &Workplace::open(&flags)?, out),
        Command::Instructions(args) => instructions::run(args, &Workplace::open(&flags)?, out),
        Command::History(args) => {
            let workplace = Workplace::open(&flags)?;
            in_runtime(async move { history::run(&args, &workplace, out).await })
        }
        Command::Init(args) => init::run(&args, out),
        Command::Schema(args) => schema::run(&args, out),
        Command::Rehearse(args) => {
            let workplace = Workplace::open(&flags)?;
            in_runtime(async move { rehearse::run(args, &workplace, out).await })
        }
        Command::Doctor(args) => in_runtime(doctor::run(args, flags, out)),
        Command::Completions(args) => completions::run(&args, out),
        Command::Man(args) => man::run(&args, out),
        Command::Plan(args) => {
            let workplace = Workplace::open(&flags)?;
            in_runtime(async move { plan::run(&args, &workplace, out).await })
        }
        Command::Load(args) => load::run(&args, &Workplace::open(&flags)?, out),
        Command::Why(args) => {
            let workplace = Workplace::open(&flags)?;
            in_runtime(async move { why::run(&args, &workplace, out).await })
        }
        Command::Run(args) => {
            let workplace = Workplace::open(&flags)?;
            telemetry::start(workplace.settings.log_format, telemetry::USUAL);
            telemetry::problems(&workplace.problems, |_| Some(workplace.text.clone()));
            in_runtime(run::run(args, flags, workplace.settings))
        }
        Command::Status(args) => {
            let workplace = Workplace::open(&flags)?;
            in_runtime(status::run(args, &workplace, out))
        }
        Command::Pause(args) => {
            let workplace = Workplace::open(&flags)?;
            in_runtime(pause::pause(args, &workplace, out))
        }
        Command::Resume(args) => {
            let workplace = Workplace::open(&flags)?;
            in_runtime(pause::resume(args, &workplace, out))
        }
        Command::Redeliver(args) => {
            let workplace = Workplace::open(&flags)?;
            in_runtime(redeliver::run(args, &workplace, out))
        }
        Command::Trigger(args) => {
            let workplace = Workplace::open(&flags)?;
            telemetry::start(workplace.settings.log_format, telemetry::USUAL);
            in_runtime(trigger::run(args, workplace, out))
        }
        Command::Demo(args) => {
            telemetry::start(log_format, demo::USUAL);
            in_runtime(demo::run(args, flags.schedules, out))
        }
        Command::Sandbox(args) => {
            telemetry::start(log_format, telemetry::USUAL);
            in_runtime(async move { sandbox::run(args, out, systemd::stop_signal()?).await })
        }
    }
}

/// Whether it failed only because nobody reads its output any more, as `head` does.
pub fn reader_has_gone(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let of_json = cause.downcast_ref::<serde_json::Error>();
        let kind = cause
            .downcast_ref::<io::Error>()
            .map(io::Error::kind)
            .or(of_json.and_then(serde_json::Error::io_error_kind));
        kind == Some(io::ErrorKind::BrokenPipe)
    })
}

/// The documented shape of an answer, for programs.
fn print_json(out: &mut dyn Write, answer: &impl Serialize) -> anyhow::Result<()> {
    serde_json::to_writer_pretty(&mut *out, answer)?;
    writeln!(out)?;
    Ok(())
}

fn in_runtime(command: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime can't be started")?
        .block_on(command)
}

/// What most commands look at: the settings, and what the folder says.
pub(crate) struct Workplace {
    settings: Settings,
    /// Of triggerd.toml: warnings and notes, or there would be no workplace.
    problems: Vec<Problem>,
    text: String,
    clock: SystemClock,
    catalog: OnceCell<Schedules>,
}

impl Workplace {
    fn open(flags: &Flags) -> anyhow::Result<Self> {
        let read = Settings::read(flags, &environment);
        match read.settings {
            Some(settings) => Ok(Self {
                settings,
                problems: read.problems,
                text: read.text,
                clock: SystemClock::new(),
                catalog: OnceCell::new(),
            }),
            None => bail!(
                "the settings can't be used\n{}",
                drawn(&read.problems, Some(&read.text))
            ),
        }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn namespace(&self) -> &Namespace {
        &self.settings.namespace
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now().wall
    }

    /// Every schedule of the folder that is valid.
    pub(crate) fn catalog(&self) -> anyhow::Result<&Schedules> {
        if let Some(schedules) = self.catalog.get() {
            return Ok(schedules);
        }
        let folder = &self.settings.schedules;
        if let Err(error) = std::fs::read_dir(folder) {
            bail!(
                "the schedules folder `{}` can't be read: {error}; name another with `--schedules`",
                folder.display()
            );
        }
        let mut catalog = Catalog::new(folder.clone(), self.settings.context.clone());
        catalog.look(&watch::Change::Everything, self.clock.now());
        Ok(self.catalog.get_or_init(|| Schedules { catalog }))
    }
}

/// More schedules than a message should name.
const MOST_NAMES: usize = 8;

/// The valid schedules of a folder.
pub(crate) struct Schedules {
    catalog: Catalog,
}

impl Schedules {
    pub(crate) fn schedules(&self) -> impl Iterator<Item = &Arc<Schedule>> {
        self.catalog.schedules()
    }

    pub(crate) fn get(&self, id: &ScheduleId) -> Option<&Arc<Schedule>> {
        self.catalog.get(id.as_str())
    }

    /// The names of files that can't be used.
    pub(crate) fn broken(&self) -> impl Iterator<Item = ScheduleId> {
        self.catalog
            .problems()
            .filter(|problem| problem.severity == Severity::Error)
            .filter_map(|problem| ScheduleId::parse(problem.path.file_stem()?.to_str()?).ok())
            .filter(|id| self.get(id).is_none())
    }

    pub(crate) fn schedule(&self, name: &str) -> anyhow::Result<Arc<Schedule>> {
        if let Some(schedule) = self.catalog.get(name) {
            return Ok(schedule.clone());
        }
        let file = format!("{name}.toml");
        let problems: Vec<Problem> = self
            .catalog
            .problems()
            .filter(|problem| problem.path.file_name().is_some_and(|name| *name == *file))
            .filter(|problem| problem.severity == Severity::Error)
            .cloned()
            .collect();
        if let Some(first) = problems.first() {
            let text = self.catalog.text_of(&first.path);
            bail!("`{name}` can't be used\n{}", drawn(&problems, text));
        }
        let names: Vec<&str> = self.schedules().map(|it| it.id.as_str()).collect();
        let way_out = match nearest(name, &names) {
            Some(near) => format!("did you mean `{near}`"),
            None if names.is_empty() => "the folder has no valid one".to_owned(),
            None if names.len() <= MOST_NAMES => format!("the folder has {}", list(&names)),
            None => "`triggerd next --count 1` names what there is".to_owned(),
        };
        Err(anyhow!("there is no schedule `{name}`; {way_out}"))
    }
}

/// Who tells of the past.
pub(crate) enum Past {
    Ledger(Reader),
    /// It reads its ledger for those who can't.
    Daemon(Client),
}

impl Past {
    /// # Errors
    /// Why the ledger can't be read, where no daemon answers either.
    pub(crate) async fn open(workplace: &Workplace) -> Result<Self, LedgerError> {
        let settings = workplace.settings();
        let error = match Reader::open(&settings.place()) {
            Ok(reader) => return Ok(Self::Ledger(reader)),
            Err(error) => error,
        };
        let client = Client::new(&settings.control_socket).ok();
        match client {
            Some(client) if client.is_answered() => Ok(Self::Daemon(client)),
            _ => Err(error),
        }
    }
}

/// The last good version of a schedule's file, as the ledger keeps it.
pub(crate) fn recalled(
    id: &ScheduleId,
    workplace: &Workplace,
    ledger: &Reader,
) -> anyhow::Result<Option<Arc<Schedule>>> {
    let settings = workplace.settings();
    let path = settings.schedules.join(format!("{id}.toml"));
    Ok(ledger.source(id)?.and_then(|source| {
        let input = source.input.as_deref().map(str::to_owned);
        let context = &settings.context;
        resolve_quietly(&path, id, &source.toml, input, context, workplace.now())
    }))
}

fn drawn(problems: &[Problem], text: Option<&str>) -> String {
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let drawn: Vec<String> = problems
        .iter()
        .filter(|problem| problem.severity == Severity::Error)
        .map(|problem| render::problem(problem, text, colour))
        .collect();
    drawn.join("\n\n")
}

/// A length of time as an option's value.
fn length(text: &str) -> Result<Duration, String> {
    duration(text).ok_or_else(|| "write a length of time such as `20s` or `5m`".into())
}

/// The process's environment.
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
