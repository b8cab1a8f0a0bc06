//! From what a file says to a [`Schedule`]: every rule and every default, applied once, here.
//! It knows no folder and reads no file: the content of `input_file` is handed in.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::schedule::file::RawSchedule;
use crate::schedule::problem::{Problem, has_errors};
use crate::schedule::{Schedule, ScheduleId, TriggerId, defaults};
use crate::toml_file::{Document, Field, Unread};

mod policies;
mod target;
mod text;
mod timing;

/// What a schedule file can refer to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Context {
    /// `[defaults]`.
    pub defaults: RawSchedule,
    /// `[agents.*]`.
    pub agents: BTreeMap<String, Agent>,
    /// `WORKSPACE_AGENT_TRIGGER_ID`.
    pub trigger_id: Option<String>,
    /// `WORKSPACE_AGENT_OUTPUT_DESTINATION`.
    pub output_destination: Option<String>,
}

/// An agent by its name in triggerd.toml.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    pub trigger_id: TriggerId,
    /// Whether it has a token of its own.
    pub own_token: bool,
}

/// A file that was read but not yet resolved.
#[derive(Clone, Debug)]
pub struct Parsed {
    path: PathBuf,
    raw: RawSchedule,
    unread: Unread,
    problems: Vec<Problem>,
}

impl Parsed {
    /// Reads the keys of a file, and fills what it does not say from `[defaults]`.
    pub fn new(path: &Path, text: &str, context: &Context) -> Self {
        let mut document = Document::new(path, text);
        let raw = document.read(RawSchedule::read);
        Self {
            path: document.path,
            raw: raw.over(&context.defaults),
            unread: document.unread,
            problems: document.problems,
        }
    }

    /// The file that its text comes from, relative to the schedules folder.
    pub fn input_file(&self) -> Option<&str> {
        self.raw
            .input_file
            .as_ref()
            .map(|field| field.value.as_str())
    }

    /// Applies every rule. `input` is the content of [`Parsed::input_file`], or why it can't be had.
    /// `now` serves notes alone.
    pub fn resolve(
        self,
        id: &ScheduleId,
        input: Option<Result<String, String>>,
        context: &Context,
        now: Timestamp,
    ) -> (Option<Schedule>, Vec<Problem>) {
        let mut resolver = Resolver {
            path: self.path,
            unread: self.unread,
            problems: self.problems,
        };
        let schedule = resolver.schedule(id, self.raw, input, context, now);
        let schedule = schedule.filter(|_| !has_errors(&resolver.problems));
        // In reading order, what concerns the file as a whole first.
        resolver
            .problems
            .sort_by_key(|problem| problem.span.as_ref().map(|span| span.start));
        (schedule, resolver.problems)
    }
}

/// The problems of `[defaults]`, told once, where they stand, and not for every file.
pub fn problems_of_defaults(path: &Path, raw: &RawSchedule) -> Vec<Problem> {
    let mut resolver = Resolver {
        path: path.to_owned(),
        unread: Unread::default(),
        problems: Vec::new(),
    };
    resolver.policies(raw);
    resolver.conversation(raw);
    resolver.zone(&raw.timezone);
    // Told, and there is nothing more to do about it here.
    let _ = resolver.bounds_in_order(raw);
    if let Some(cron) = &raw.cron {
        resolver.cron("", cron);
    }
    resolver.template(raw.event.update_text.as_ref());
    resolver.template(raw.event.marker.as_ref());
    if let Some(input) = &raw.input {
        resolver.input_template(input);
    }
    resolver.problems
}

pub(crate) fn is_http(address: &str) -> bool {
    address.starts_with("https://") || address.starts_with("http://")
}

struct Resolver {
    path: PathBuf,
    unread: Unread,
    problems: Vec<Problem>,
}

type Place = Option<Range<usize>>;

impl Resolver {
    fn schedule(
        &mut self,
        id: &ScheduleId,
        raw: RawSchedule,
        input: Option<Result<String, String>>,
        context: &Context,
        now: Timestamp,
    ) -> Option<Schedule> {
        let policies = self.policies(&raw);
        let target = self.target(&raw, context);
        let message = self.message(&raw, input, context);
        let conversation = self.conversation(&raw);
        let recurrence = self.recurrence(id, &raw, now);
        let enabled = raw.enabled.as_ref().is_none_or(|field| field.value);
        if let Some(field) = raw.enabled.as_ref().filter(|field| !field.value) {
            self.note(
                field.span.clone(),
                "it is disabled: it does not fire".into(),
            );
        }
        let jitter = value(&raw.jitter).unwrap_or(defaults::JITTER);
        let schedule = Schedule {
            id: id.clone(),
            description: raw
                .description
                .as_ref()
                .map_or_else(Arc::default, |field| field.value.as_str().into()),
            enabled,
            recurrence: recurrence?,
            jitter,
            target: target?,
            message: message?,
            conversation: conversation?,
            keep_input: value(&raw.keep_input).unwrap_or_default(),
            policies: policies?,
        };
        self.try_out(&schedule, &raw, now);
        Some(schedule)
    }

    fn positive(&mut self, key: &str, field: &Option<Field<Duration>>) {
        if let Some(field) = field.as_ref().filter(|field| field.value.is_zero()) {
            self.error(
                field.span.clone(),
                format!("`{key}` is zero"),
                "write a length of time such as \"10s\"",
            );
        }
    }

    /// None of `keys` is there, unless it is and could not be read.
    fn missing(&mut self, keys: &[&str], message: &str, help: &str) {
        if !keys.iter().any(|key| self.unread.may_hold(key)) {
            self.error(None, message, help);
        }
    }

    fn error(&mut self, place: Place, message: impl Into<String>, help: impl Into<String>) {
        let problem = Problem::error(&self.path, message).at(place).help(help);
        self.problems.push(problem);
    }

    fn note(&mut self, place: Place, message: String) {
        self.problems
            .push(Problem::note(&self.path, message).at(place));
    }
}

fn value<T: Clone>(field: &Option<Field<T>>) -> Option<T> {
    field.as_ref().map(|field| field.value.clone())
}

fn with_help(problem: Problem, help: Option<String>) -> Problem {
    Problem { help, ..problem }
}

/// Where a key stands, if it does.
fn place<T>(field: &Option<Field<T>>) -> Place {
    field.as_ref().and_then(|field| field.span.clone())
}

/// The last good version of a file is resolved like any other, but says nothing.
pub fn resolve_quietly(
    path: &Path,
    id: &ScheduleId,
    text: &str,
    input: Option<String>,
    context: &Context,
    now: Timestamp,
) -> Option<Arc<Schedule>> {
    let parsed = Parsed::new(path, text, context);
    let (schedule, _) = parsed.resolve(id, input.map(Ok), context, now);
    schedule.map(Arc::new)
}
