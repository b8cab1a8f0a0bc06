//! `triggerd check`: every problem of every file, drawn or as JSON. It puts nothing into force.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;

use crate::cli::environment;
use crate::clock::{Clock, Moment, SystemClock};
use crate::daemon::load::Catalog;
use crate::daemon::{read, watch};
use crate::render::{self, JsonProblem};
use crate::schedule::problem::{Problem, has_errors};
use crate::schedule::resolve::Context;
use crate::settings::{Flags, Settings};

/// Find every problem of every schedule file, and of triggerd.toml
///
/// Exits with 1 if there is an error; warnings and notes are no errors.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:\n  \
    triggerd check\n  \
    triggerd check schedules/weekly-report.toml --json")]
pub(super) struct Args {
    /// Folders or single files [default: the schedules folder]
    paths: Vec<PathBuf>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Checked {
    schedules: usize,
    problems: Vec<JsonProblem>,
}

pub(super) fn run(args: &Args, flags: &Flags, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let now = SystemClock::new().now();
    let settings = Settings::read(flags, &environment);
    let mut found = Found::default();
    for problem in settings.problems {
        found.add(problem, Some(&settings.text));
    }
    if let Some(settings) = settings.settings {
        let paths = match args.paths.is_empty() {
            true => std::slice::from_ref(&settings.schedules),
            false => &args.paths,
        };
        for path in paths {
            if Some(path) == settings.file.as_ref() {
                // It was looked at as what it is.
                continue;
            }
            found.look_at(path, &settings.context, now);
        }
    }
    found.print(args.json, out)?;
    Ok(match has_errors(&found.problems) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

#[derive(Default)]
struct Found {
    problems: Vec<Problem>,
    texts: BTreeMap<PathBuf, String>,
    schedules: usize,
}

impl Found {
    fn add(&mut self, problem: Problem, text: Option<&str>) {
        if let Some(text) = text {
            self.texts
                .entry(problem.path.clone())
                .or_insert_with(|| text.to_owned());
        }
        self.problems.push(problem);
    }

    fn look_at(&mut self, path: &Path, context: &Context, now: Moment) {
        let is_folder = path.is_dir();
        let folder = match (is_folder, path.parent()) {
            (true, _) => path,
            (false, Some(parent)) if parent != Path::new("") => parent,
            (false, _) => Path::new("."),
        };
        let file = folder.join(path.file_name().unwrap_or_default());
        let mut catalog = Catalog::new(folder.to_owned(), context.clone());
        let change = match is_folder {
            true => watch::Change::Everything,
            false => watch::Change::Paths([file.clone()].into()),
        };
        catalog.look(&change, now);
        if !is_folder && file.symlink_metadata().is_err() {
            let problem = Problem::error(path, "there is no such file or folder")
                .help("name another, or set `schedules` or `--schedules` to the folder");
            self.problems.push(problem);
        } else if !is_folder && read::named(&file) == read::Named::Ignored {
            let problem = Problem::error(path, "it is not a schedule file")
                .help("name a folder, or a file that ends in `.toml`");
            self.problems.push(problem);
        }
        if is_folder && catalog.schedules().next().is_none() && catalog.problems().next().is_none()
        {
            let problem = Problem::warning(path, "the folder has no schedules")
                .help("put a file such as `weekly-report.toml` into it, or name another folder");
            self.problems.push(problem);
        }
        self.schedules += catalog.schedules().count();
        for problem in catalog.problems() {
            self.add(problem.clone(), catalog.text_of(&problem.path));
        }
    }

    fn print(&self, json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
        let text_of = |problem: &Problem| self.texts.get(&problem.path).map(String::as_str);
        if json {
            let checked = Checked {
                schedules: self.schedules,
                problems: self
                    .problems
                    .iter()
                    .map(|problem| JsonProblem::new(problem, text_of(problem)))
                    .collect(),
            };
            serde_json::to_writer_pretty(&mut *out, &checked)?;
            writeln!(out)?;
            return Ok(());
        }
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        for problem in &self.problems {
            writeln!(
                out,
                "{}\n",
                render::problem(problem, text_of(problem), colour)
            )?;
        }
        let valid = render::counted(self.schedules, "valid schedule");
        match render::counts(&self.problems) {
            Some(counts) => writeln!(out, "{valid}; {counts}")?,
            None => writeln!(out, "{valid}; no problems")?,
        }
        Ok(())
    }
}
