//! From what a file says to a [`Schedule`]: every rule and every default, applied once, here.
//! It knows no folder and reads no file: the content of `input_file` is handed in.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::api::token::TokenId;
use crate::plan::delivery::{self, Window};
use crate::plan::occurrence::{Namespace, Occurrence};
use crate::schedule::cron::CronExpr;
use crate::schedule::file::RawSchedule;
use crate::schedule::message::{Message, Template, TemplateError, Variables};
use crate::schedule::problem::{Problem, has_errors};
use crate::schedule::recurrence::{Bound, Recurrence, Slot, Timing, Zone};
use crate::schedule::{
    CatchUp, Conversation, Expect, Limits, Missed, Overlap, OverlapPolicy, Policies, Retry,
    Schedule, ScheduleId, Target, TriggerId, Verify, defaults,
};
use crate::toml_file::{Document, Field, LocalInstant, list, nearest, written};

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
    problems: Vec<Problem>,
}

impl Parsed {
    /// Reads the keys of a file, and fills what it does not say from `[defaults]`.
    pub fn new(path: &Path, text: &str, context: &Context) -> Self {
        let mut document = Document::new(path, text);
        let mut table = document.top();
        let raw = RawSchedule::read(&mut table);
        table.finish();
        Self {
            path: document.path,
            raw: raw.over(&context.defaults),
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
            half_read: has_errors(&self.problems),
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

struct Resolver {
    path: PathBuf,
    /// Some keys could not be read: that one seems to be missing says nothing then.
    half_read: bool,
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
        self.not_in_force_yet(&raw);
        let policies = self.policies(&raw);
        let target = self.target(&raw, context);
        let message = self.message(&raw, input, context);
        let conversation = self.conversation(&raw);
        let recurrence = self.recurrence(id, &raw, now);
        let enabled = raw.enabled.as_ref().is_none_or(|field| field.value);
        if let Some(field) = raw.enabled.filter(|field| !field.value) {
            self.note(field.span, "disabled: it does not fire".into());
        }
        let jitter = raw.jitter.map_or(defaults::JITTER, |field| field.value);
        let schedule = Schedule {
            id: id.clone(),
            description: raw
                .description
                .map_or("".into(), |field| field.value.into()),
            enabled,
            recurrence: recurrence?,
            jitter,
            target: target?,
            message: message?,
            conversation: conversation?,
            keep_input: raw.keep_input.is_some_and(|field| field.value),
            policies: policies?,
        };
        self.render_once(&schedule, &raw.event, &raw.input, &raw.conversation, now);
        Some(schedule)
    }

    fn recurrence(
        &mut self,
        id: &ScheduleId,
        raw: &RawSchedule,
        now: Timestamp,
    ) -> Option<Recurrence> {
        let zone = self.zone(&raw.timezone);
        let start = raw.start.as_ref().map(|field| bound(field.value));
        let end = raw.end.as_ref().map(|field| bound(field.value));
        let timing = match (&raw.cron, &raw.at) {
            (Some(cron), None) => self.cron(id, cron),
            (None, Some(at)) => Some(Timing::At(at.value)),
            (Some(_), Some(at)) => {
                self.error(
                    at.span.clone(),
                    "`cron` and `at` exclude each other",
                    "keep one of them",
                );
                None
            }
            (None, None) => {
                self.missing(
                    "it does not say when",
                    "add `cron = \"0 9 * * MON-FRI\"`, or `at = 2026-12-24T18:00:00` for once",
                );
                None
            }
        };
        let mut except: Vec<_> = raw
            .except
            .iter()
            .flat_map(|field| &field.value)
            .map(|field| field.value)
            .collect();
        except.sort_unstable();
        except.dedup();
        let recurrence = Recurrence {
            timing: timing?,
            zone: zone?,
            start,
            end,
            except,
        };
        if let (Some(start), Some(end)) = (&raw.start, &raw.end)
            && first_second(start.value) > last_second(end.value)
        {
            self.error(
                end.span.clone(),
                "`end` is before `start`",
                "exchange them, or leave one out",
            );
            return None;
        }
        if recurrence.next_after(now).is_none() {
            let place = raw
                .at
                .as_ref()
                .map(|field| &field.span)
                .or(raw.end.as_ref().map(|field| &field.span));
            self.note(
                place.cloned().flatten(),
                "lies in the past: it does not fire any more".into(),
            );
        }
        Some(recurrence)
    }

    fn zone(&mut self, timezone: &Option<Field<String>>) -> Option<Zone> {
        let name = timezone
            .as_ref()
            .map_or(defaults::TIMEZONE, |field| &field.value);
        match Zone::parse(name) {
            Ok(zone) => Some(zone),
            Err(error) => {
                let place = timezone
                    .as_ref()
                    .and_then(|field| field.part(0..name.len()));
                let problem = Problem::error(&self.path, error.message).at(place);
                self.problems.push(with_help(problem, error.help));
                None
            }
        }
    }

    fn cron(&mut self, id: &ScheduleId, lines: &Field<Vec<Field<String>>>) -> Option<Timing> {
        if lines.value.is_empty() {
            self.error(
                lines.span.clone(),
                "`cron` is empty",
                "write an expression such as \"0 9 * * MON-FRI\"",
            );
            return None;
        }
        let mut expressions = Vec::new();
        for line in &lines.value {
            match CronExpr::parse(&line.value, id.as_str()) {
                Ok(expression) => {
                    for note in expression.notes() {
                        self.note(line.part(0..line.value.len()), note);
                    }
                    expressions.push(expression);
                }
                Err(error) => {
                    let problem =
                        Problem::error(&self.path, error.message).at(line.part(error.span));
                    self.problems.push(with_help(problem, error.help));
                }
            }
        }
        (expressions.len() == lines.value.len()).then_some(Timing::Cron(expressions))
    }

    fn target(&mut self, raw: &RawSchedule, context: &Context) -> Option<Target> {
        if let (Some(agent), Some(_)) = (&raw.agent, &raw.trigger_id) {
            self.error(
                agent.span.clone(),
                "`agent` and `trigger_id` exclude each other",
                "keep one of them",
            );
            return None;
        }
        if let Some(name) = &raw.agent {
            let Some(agent) = context.agents.get(&name.value) else {
                let names: Vec<&str> = context.agents.keys().map(String::as_str).collect();
                let help = match nearest(&name.value, &names) {
                    Some(near) => format!("did you mean `{near}`"),
                    None if names.is_empty() => format!(
                        "add `[agents.{}]` with its `trigger_id` to triggerd.toml",
                        name.value
                    ),
                    None => format!("triggerd.toml has {}", list(&names)),
                };
                self.error(
                    name.span.clone(),
                    format!("there is no agent `{}` in triggerd.toml", name.value),
                    help,
                );
                return None;
            };
            return Some(Target {
                trigger_id: agent.trigger_id.clone(),
                token: match agent.own_token {
                    true => TokenId::Agent(name.value.clone()),
                    false => TokenId::Default,
                },
            });
        }
        let (text, place) = match (&raw.trigger_id, &context.trigger_id) {
            (Some(field), _) => (field.value.as_str(), field.span.clone()),
            (None, Some(text)) => (text.as_str(), None),
            (None, None) => {
                self.missing("it does not say which agent to wake", "add `trigger_id = \"agtch_…\"` or `agent = \"…\"`, or set WORKSPACE_AGENT_TRIGGER_ID");
                return None;
            }
        };
        let from_environment = raw.trigger_id.is_none();
        match TriggerId::parse(text) {
            Ok(trigger_id) => {
                if let Some(warning) = trigger_id.form_warning() {
                    let of = if from_environment {
                        "WORKSPACE_AGENT_TRIGGER_ID"
                    } else {
                        "`trigger_id`"
                    };
                    let problem = Problem::warning(
                        &self.path,
                        format!("{of} `{trigger_id}` has an unusual form"),
                    );
                    self.problems.push(problem.at(place).help(warning));
                }
                Some(Target {
                    trigger_id,
                    token: TokenId::Default,
                })
            }
            Err(error) => {
                let help = if from_environment {
                    "correct WORKSPACE_AGENT_TRIGGER_ID"
                } else {
                    "copy the id from the agent's API channel; it starts with `agtch_`"
                };
                self.error(place, error.to_string(), help);
                None
            }
        }
    }

    fn message(
        &mut self,
        raw: &RawSchedule,
        input_file: Option<Result<String, String>>,
        context: &Context,
    ) -> Option<Message> {
        let event = &raw.event;
        if let (Some(input), Some(_)) = (&raw.input, &raw.input_file) {
            self.error(
                input.span.clone(),
                "`input` and `input_file` exclude each other",
                "keep one of them",
            );
            return None;
        }
        let update_text = self.template(event.update_text.as_ref());
        let marker = match &event.marker {
            Some(field) => self.template(Some(field)),
            None => self.parse_template(defaults::MARKER, |_| None),
        };
        let input = match (&raw.input, &raw.input_file, input_file) {
            (Some(field), ..) => Some(self.template(Some(field))?),
            (None, Some(field), Some(Ok(text))) => {
                let place = field.span.clone();
                Some(self.parse_template(&text, |_| place.clone())?)
            }
            (None, Some(field), Some(Err(reason))) => {
                self.error(
                    field.span.clone(),
                    reason,
                    "name a readable file inside the schedules folder",
                );
                return None;
            }
            (None, ..) => None,
        };
        if event.update_text.is_none() && raw.input.is_none() && raw.input_file.is_none() {
            self.missing(
                "it does not say what to tell the agent",
                "add `[event]` with `update_text`, or `input`, or `input_file`",
            );
            return None;
        }
        let destination = event.output_destination.as_ref().map(|field| &field.value);
        let message = Message {
            source_system: event
                .source_system
                .as_ref()
                .map_or(defaults::SOURCE_SYSTEM, |field| &field.value)
                .into(),
            output_destination: destination
                .or(context.output_destination.as_ref())
                .map(|text| text.as_str().into()),
            update_text,
            marker: marker?,
            input,
        };
        let incomplete = event.update_text.is_some() && message.update_text.is_none();
        (!incomplete).then_some(message)
    }

    fn template(&mut self, field: Option<&Field<String>>) -> Option<Template> {
        let field = field?;
        self.parse_template(&field.value, |range| match range {
            Some(range) => field.part(range),
            None => field.span.clone(),
        })
    }

    fn parse_template(&mut self, source: &str, place: impl Fn(Place) -> Place) -> Option<Template> {
        match Template::parse(source) {
            Ok(template) => Some(template),
            Err(error) => {
                self.template_problem(&error, &place);
                None
            }
        }
    }

    fn template_problem(&mut self, error: &TemplateError, place: impl Fn(Place) -> Place) {
        let problem =
            Problem::error(&self.path, error.message.clone()).at(place(error.range.clone()));
        self.problems.push(problem.help(error.help.clone()));
    }

    /// A template may have the right syntax and still name what is not there: render each one once.
    fn render_once(
        &mut self,
        schedule: &Schedule,
        event: &crate::schedule::file::RawEvent,
        input: &Option<Field<String>>,
        conversation: &Option<Field<String>>,
        now: Timestamp,
    ) {
        let variables = sample(schedule, now);
        let message = &schedule.message;
        let conversation_template = match &schedule.conversation {
            Conversation::Template(template) => Some(template),
            _ => None,
        };
        let templates = [
            (message.update_text.as_ref(), event.update_text.as_ref()),
            (Some(&message.marker), event.marker.as_ref()),
            (conversation_template, conversation.as_ref()),
        ];
        let mut all_render = true;
        for (template, field) in templates {
            if let Some(Err(error)) = template.map(|template| message.render(template, &variables))
            {
                all_render = false;
                self.template_problem(&error, |range| {
                    field.and_then(|field| match range {
                        Some(range) => field.part(range),
                        None => field.span.clone(),
                    })
                });
            }
        }
        if !all_render {
            return;
        }
        match message.text(&variables) {
            Err(error) => self.template_problem(&error, |range| {
                input.as_ref().and_then(|field| match range {
                    Some(range) => field.part(range),
                    None => field.span.clone(),
                })
            }),
            Ok(text) if text.chars().count() > defaults::LONGEST_USUAL_INPUT => {
                let problem = Problem::warning(
                    &self.path,
                    format!(
                        "its text has {} characters; the API's limit is not documented, and other clients stop at {}",
                        text.chars().count(),
                        defaults::LONGEST_USUAL_INPUT
                    ),
                );
                self.problems
                    .push(problem.help("shorten it, or see that the agent gets all of it"));
            }
            Ok(_) => {}
        }
    }

    fn conversation(&mut self, raw: &RawSchedule) -> Option<Conversation> {
        let Some(field) = &raw.conversation else {
            return Some(Conversation::Occurrence);
        };
        const WORDS: [&str; 6] = ["occurrence", "schedule", "day", "week", "month", "none"];
        Some(match field.value.as_str() {
            "occurrence" => Conversation::Occurrence,
            "schedule" => Conversation::Schedule,
            "day" => Conversation::Day,
            "week" => Conversation::Week,
            "month" => Conversation::Month,
            "none" => Conversation::None,
            text if text.contains("{{") => Conversation::Template(self.template(Some(field))?),
            word => {
                let help = format!("it is one of {}, or a template", list(&WORDS));
                self.error(
                    field.span.clone(),
                    format!("unknown conversation `{word}`"),
                    help,
                );
                return None;
            }
        })
    }

    fn policies(&mut self, raw: &RawSchedule) -> Option<Policies> {
        let retry = self.retry(raw);
        let missed = self.missed(raw, retry.as_ref());
        let overlap = self.overlap(raw);
        let verify = self.verify(raw);
        Some(Policies {
            missed: missed?,
            overlap: overlap?,
            retry: retry?,
            expect: Expect {
                accepted_within: value(&raw.expect.accepted_within),
                finished_within: value(&raw.expect.finished_within),
                approved_within: value(&raw.expect.approved_within)
                    .unwrap_or(defaults::APPROVED_WITHIN),
            },
            limits: Limits {
                per_day: value(&raw.limits.per_day),
                per_hour: value(&raw.limits.per_hour),
            },
            verify: verify?,
        })
    }

    fn missed(&mut self, raw: &RawSchedule, retry: Option<&Retry>) -> Option<Missed> {
        let missed = &raw.missed;
        let within = value(&missed.within).unwrap_or(defaults::MISSED.within);
        self.positive("missed.within", &missed.within);
        let catch_up = match missed.catch_up.as_ref().map(|field| field.value.as_str()) {
            None => defaults::MISSED.catch_up,
            Some("latest") => CatchUp::Latest,
            Some("none") => CatchUp::None,
            Some("all") => CatchUp::All {
                at_most: value(&missed.at_most).unwrap_or(defaults::AT_MOST),
                spacing: value(&missed.spacing).unwrap_or(defaults::SPACING),
            },
            Some(word) => {
                let place = missed
                    .catch_up
                    .as_ref()
                    .and_then(|field| field.span.clone());
                self.error(
                    place,
                    format!("unknown catch-up `{word}`"),
                    "it is one of `none`, `latest`, `all`",
                );
                return None;
            }
        };
        if !matches!(catch_up, CatchUp::All { .. }) {
            for (key, place) in [
                (
                    "at_most",
                    missed.at_most.as_ref().and_then(|field| field.span.clone()),
                ),
                (
                    "spacing",
                    missed.spacing.as_ref().and_then(|field| field.span.clone()),
                ),
            ] {
                if place.is_some() {
                    self.note(
                        place,
                        format!("`missed.{key}` has no effect without `catch_up = \"all\"`"),
                    );
                }
            }
        }
        if let Some(retry) = retry
            && catch_up != CatchUp::None
            && within < retry.give_up_after
            && !within.is_zero()
        {
            let place = missed
                .within
                .as_ref()
                .or(raw.retry.give_up_after.as_ref())
                .and_then(|field| field.span.clone());
            self.note(place, format!(
                "`missed.within` of {} cuts `retry.give_up_after` of {}: a delivery expires {} after its scheduled time",
                written(within), written(retry.give_up_after), written(within)
            ));
        }
        Some(Missed { catch_up, within })
    }

    fn overlap(&mut self, raw: &RawSchedule) -> Option<Overlap> {
        self.positive("overlap.stuck_after", &raw.overlap.stuck_after);
        let policy = match raw
            .overlap
            .policy
            .as_ref()
            .map(|field| field.value.as_str())
        {
            None => defaults::OVERLAP.policy,
            Some("allow") => OverlapPolicy::Allow,
            Some("skip") => OverlapPolicy::Skip,
            Some("queue") => OverlapPolicy::Queue,
            Some(word) => {
                let place = raw
                    .overlap
                    .policy
                    .as_ref()
                    .and_then(|field| field.span.clone());
                self.error(
                    place,
                    format!("unknown overlap policy `{word}`"),
                    "it is one of `allow`, `skip`, `queue`",
                );
                return None;
            }
        };
        Some(Overlap {
            policy,
            stuck_after: value(&raw.overlap.stuck_after).unwrap_or(defaults::OVERLAP.stuck_after),
        })
    }

    fn retry(&mut self, raw: &RawSchedule) -> Option<Retry> {
        let retry = &raw.retry;
        for (key, field) in [
            ("retry.give_up_after", &retry.give_up_after),
            ("retry.first_delay", &retry.first_delay),
            ("retry.max_delay", &retry.max_delay),
        ] {
            self.positive(key, field);
        }
        let policy = Retry {
            give_up_after: value(&retry.give_up_after).unwrap_or(defaults::RETRY.give_up_after),
            first_delay: value(&retry.first_delay).unwrap_or(defaults::RETRY.first_delay),
            max_delay: value(&retry.max_delay).unwrap_or(defaults::RETRY.max_delay),
        };
        if policy.give_up_after > defaults::LONGEST_GIVE_UP_AFTER {
            let place = retry
                .give_up_after
                .as_ref()
                .and_then(|field| field.span.clone());
            self.error(
                place,
                format!("`retry.give_up_after` of {} is over 24h", written(policy.give_up_after)),
                "write at most \"24h\": how long the API remembers a key is not documented, and a later retry might fire twice",
            );
            return None;
        }
        if policy.first_delay > policy.max_delay {
            let place = retry
                .first_delay
                .as_ref()
                .or(retry.max_delay.as_ref())
                .and_then(|field| field.span.clone());
            self.error(
                place,
                format!(
                    "`retry.first_delay` of {} is over `retry.max_delay` of {}",
                    written(policy.first_delay),
                    written(policy.max_delay)
                ),
                "make `max_delay` the longer one",
            );
            return None;
        }
        Some(policy)
    }

    fn verify(&mut self, raw: &RawSchedule) -> Option<Option<Verify>> {
        let verify = &raw.verify;
        self.positive("verify.within", &verify.within);
        let Some(url) = &verify.url else {
            if verify.table.is_some() {
                self.error(
                    verify.table.clone(),
                    "`[verify]` has no `url`",
                    "add the `url` at which the result can be read",
                );
                return None;
            }
            return Some(None);
        };
        if !url.value.starts_with("https://") && !url.value.starts_with("http://") {
            self.error(
                url.span.clone(),
                format!("`verify.url` `{}` is no http address", url.value),
                "write an address that starts with https://",
            );
            return None;
        }
        let contains = match &verify.contains {
            Some(field) => Some(self.template(Some(field))?),
            None => None,
        };
        Some(Some(Verify {
            url: self.template(Some(url))?,
            contains,
            within: value(&verify.within).unwrap_or(defaults::VERIFY_WITHIN),
            headers_from: verify
                .headers_from
                .as_ref()
                .map(|field| field.value.clone().into()),
        }))
    }

    /// Policies that are understood but whose machinery is still to come are never silently ignored.
    fn not_in_force_yet(&mut self, raw: &RawSchedule) {
        if let Some(field) = raw
            .overlap
            .policy
            .as_ref()
            .filter(|field| matches!(field.value.as_str(), "skip" | "queue"))
        {
            self.note(
                field.span.clone(),
                format!(
                    "`[overlap] policy = \"{}\"` is not in force yet: occurrences overlap",
                    field.value
                ),
            );
        }
        for (key, place, meanwhile) in [
            ("expect", &raw.expect.table, "no deadline alerts"),
            ("limits", &raw.limits.table, "nothing is limited"),
            ("verify", &raw.verify.table, "no result is looked up"),
        ] {
            if place.is_some() {
                self.note(
                    place.clone(),
                    format!("`[{key}]` is not in force yet: {meanwhile}"),
                );
            }
        }
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

    fn missing(&mut self, message: &str, help: &str) {
        if !self.half_read {
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

/// The values of the next occurrence, or of one right now.
fn sample(schedule: &Schedule, now: Timestamp) -> Variables {
    let at = schedule
        .recurrence
        .next_after(now)
        .map_or(now, |slot| slot.at);
    let slot = Slot {
        at,
        naming: crate::schedule::recurrence::Naming::Utc,
        excluded: false,
    };
    let occurrence = Occurrence::scheduled(&schedule.id, &schedule.recurrence, &slot);
    let request_id = occurrence.request_id(&Namespace::default());
    let window = Window {
        start: at,
        end: at,
        missed_count: 0,
    };
    delivery::variables(schedule, &occurrence, &request_id, at, window)
}

fn value<T: Clone>(field: &Option<Field<T>>) -> Option<T> {
    field.as_ref().map(|field| field.value.clone())
}

fn bound(instant: LocalInstant) -> Bound {
    match instant {
        LocalInstant::Date(date) => Bound::Date(date),
        LocalInstant::DateTime(at) => Bound::DateTime(at),
    }
}

fn first_second(instant: LocalInstant) -> jiff::civil::DateTime {
    match instant {
        LocalInstant::Date(date) => date.at(0, 0, 0, 0),
        LocalInstant::DateTime(at) => at,
    }
}

fn last_second(instant: LocalInstant) -> jiff::civil::DateTime {
    match instant {
        LocalInstant::Date(date) => date.at(23, 59, 59, 0),
        LocalInstant::DateTime(at) => at,
    }
}

fn with_help(problem: Problem, help: Option<String>) -> Problem {
    Problem { help, ..problem }
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
