//! `triggerd check`: every problem of every file, drawn or as JSON. It puts nothing into force.

use std::collections::{BTreeMap, BTreeSet};
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
        found.schedules = Some(0);
        // The settings were looked at as what they are.
        for path in distinct(paths, settings.file.as_deref()) {
            found.look_at(path, &settings.context, now);
        }
    }
    found.print(args.json, out)?;
    Ok(match has_errors(&found.problems) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

/// Each file and folder once, however often and however it is named, and without `but`.
fn distinct<'a>(paths: &'a [PathBuf], but: Option<&Path>) -> Vec<&'a Path> {
    let mut taken: BTreeSet<PathBuf> = but.map(place).into_iter().collect();
    let (folders, files): (Vec<&Path>, Vec<&Path>) = paths
        .iter()
        .map(PathBuf::as_path)
        .partition(|path| path.is_dir());
    let mut distinct = folders;
    distinct.retain(|folder| taken.insert(place(folder)));
    for file in files {
        let place = place(file);
        let lies_in_a_folder = place.parent().is_some_and(|folder| taken.contains(folder));
        if !lies_in_a_folder && taken.insert(place) {
            distinct.push(file);
        }
    }
    distinct
}

/// A file's own name in its folder's real place: two names of one file are two schedules.
fn place(path: &Path) -> PathBuf {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    match path.file_name() {
        Some(name) if !path.is_dir() => real(folder_of(path)).join(name),
        _ => real(path),
    }
}

fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

#[derive(Default)]
struct Found {
    problems: Vec<Problem>,
    texts: BTreeMap<PathBuf, String>,
    /// How many are valid; `None` while they can't be looked at, for errors in the settings.
    schedules: Option<usize>,
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
        let folder = match is_folder {
            true => path,
            false => folder_of(path),
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
        *self.schedules.get_or_insert_default() += catalog.schedules().count();
        for problem in catalog.problems() {
            self.add(problem.clone(), catalog.text_of(&problem.path));
        }
    }

    fn print(&self, json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
        let text_of = |problem: &Problem| self.texts.get(&problem.path).map(String::as_str);
        if json {
            let checked = Checked {
                schedules: self.schedules.unwrap_or_default(),
                problems: self
                    .problems
                    .iter()
                    .map(|problem| JsonProblem::new(problem, text_of(problem)))
                    .collect(),
            };
            super::print_json(out, &checked)?;
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
        let valid = match self.schedules {
            Some(count) => render::counted(count, "valid schedule"),
            None => "no schedule looked at, for errors in the settings".to_owned(),
        };
        match render::counts(&self.problems) {
            Some(counts) => writeln!(out, "{valid}; {counts}")?,
            None => writeln!(out, "{valid}; no problems")?,
        }
        Ok(())
    }
}
