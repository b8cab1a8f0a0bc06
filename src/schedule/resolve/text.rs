//! What it says: `[event]`, `input`, `input_file` and `conversation`, each template rendered once.

use std::sync::{Arc, LazyLock};

use jiff::Timestamp;

use super::{Context, Place, Resolver, place};
use crate::plan::delivery::{self, Window};
use crate::plan::occurrence::{Namespace, Occurrence};
use crate::schedule::file::RawSchedule;
use crate::schedule::message::{Message, Template, TemplateError, Variables};
use crate::schedule::problem::Problem;
use crate::schedule::recurrence::{Naming, Slot};
use crate::schedule::{Conversation, Schedule, defaults};
use crate::toml_file::{Field, list};

/// One for all schedules that have no other.
static MARKER: LazyLock<Template> =
    LazyLock::new(|| Template::parse(defaults::MARKER).expect("it compiles"));
static SOURCE_SYSTEM: LazyLock<Arc<str>> = LazyLock::new(|| defaults::SOURCE_SYSTEM.into());

impl Resolver {
    pub(super) fn message(
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
            None => Some(MARKER.clone()),
        };
        let input = match (&raw.input, &raw.input_file, input_file) {
            (Some(field), ..) => Some(self.input_template(field)?),
            (None, Some(field), Some(Ok(text))) => {
                match Template::checked(&text, &Message::PARTS) {
                    Ok(template) => Some(template),
                    Err(errors) => {
                        for error in &errors {
                            self.input_file_problem(field, &text, error);
                        }
                        return None;
                    }
                }
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
                &["event.update_text", "input", "input_file"],
                "it does not say what to tell the agent",
                "add `[event]` with `update_text`, or `input`, or `input_file`",
            );
            return None;
        }
        for (key, field) in [
            ("event.source_system", &event.source_system),
            ("event.output_destination", &event.output_destination),
        ] {
            if let Some(field) = field.as_ref().filter(|field| has_line_break(&field.value)) {
                self.error(
                    field.span.clone(),
                    format!("`{key}` has a line break"),
                    ONE_LINE,
                );
            }
        }
        if let (Some(input), Some(place)) = (&input, place(&event.update_text))
            && !input.names("update_text")
        {
            let unused = "`event.update_text` is not used: `input` replaces the whole text";
            let problem = Problem::warning(&self.path, unused).at(place);
            self.problems
                .push(problem.help("name it there as `{{ update_text }}`, or leave it out"));
        }
        let destination = event.output_destination.as_ref().map(|field| &field.value);
        let message = Message {
            source_system: event.source_system.as_ref().map_or_else(
                || SOURCE_SYSTEM.clone(),
                |field| field.value.as_str().into(),
            ),
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

    pub(super) fn conversation(&mut self, raw: &RawSchedule) -> Option<Conversation> {
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

    pub(super) fn template(&mut self, field: Option<&Field<String>>) -> Option<Template> {
        let field = field?;
        self.parse_template(&field.value, &[], |range| field.part_or_all(range))
    }

    /// `input` may name the parts of the mapping that it replaces.
    pub(super) fn input_template(&mut self, field: &Field<String>) -> Option<Template> {
        self.parse_template(&field.value, &Message::PARTS, |range| {
            field.part_or_all(range)
        })
    }

    fn parse_template(
        &mut self,
        source: &str,
        also: &[&str],
        place: impl Fn(Place) -> Place,
    ) -> Option<Template> {
        match Template::checked(source, also) {
            Ok(template) => Some(template),
            Err(errors) => {
                for error in &errors {
                    self.template_problem(error, &place);
                }
                None
            }
        }
    }

    pub(super) fn template_problem(
        &mut self,
        error: &TemplateError,
        place: impl Fn(Place) -> Place,
    ) {
        let problem =
            Problem::error(&self.path, error.message.clone()).at(place(error.range.clone()));
        self.problems.push(problem.help(error.help.clone()));
    }

    /// It lies in another file than the one that the problem is drawn on.
    fn input_file_problem(&mut self, field: &Field<String>, text: &str, error: &TemplateError) {
        let line = error
            .range
            .as_ref()
            .and_then(|range| text.get(..range.start))
            .map_or(1, |before| before.matches('\n').count() + 1);
        let message = format!("line {line} of `{}`: {}", field.value, error.message);
        self.error(field.span.clone(), message, error.help.clone());
    }

    /// A template may have the right syntax and still ask a value for what it can't give: render each one for an
    /// occurrence with nothing missed, and where that makes a difference for one that covers others.
    pub(super) fn try_out(&mut self, schedule: &Schedule, raw: &RawSchedule, now: Timestamp) {
        let told = self.problems.len();
        let nothing_missed = sample(schedule, now);
        self.render(schedule, raw, &nothing_missed);
        // Where there are problems, the other one has the same, as a rule.
        if self.problems.len() == told && counts_missed(schedule) {
            let missed_count = 3;
            self.render(
                schedule,
                raw,
                &Variables {
                    missed_count,
                    ..nothing_missed
                },
            );
        }
    }

    fn render(&mut self, schedule: &Schedule, raw: &RawSchedule, variables: &Variables) {
        let message = &schedule.message;
        let text = message.text(variables);
        let of_the_text = [
            (message.update_text.as_ref(), &raw.event.update_text),
            (Some(&message.marker), &raw.event.marker),
        ];
        let conversation = (conversation_template(schedule), &raw.conversation);
        let suspects = of_the_text.into_iter().filter(|_| text.is_err());
        let mut is_told = false;
        for (template, field) in suspects.chain([conversation]) {
            if let Some(Err(error)) = template.map(|template| message.render(template, variables)) {
                is_told = true;
                self.template_problem(&error, |range| {
                    field.as_ref().and_then(|field| field.part_or_all(range))
                });
            }
        }
        if raw.event.marker.is_some()
            && let Ok(marker) = message.marker(variables)
            && has_line_break(&marker)
        {
            let message = "`event.marker` has a line break";
            self.error(place(&raw.event.marker), message, ONE_LINE);
        }
        if is_told {
            return;
        }
        match text {
            Err(error) => match (&raw.input, &raw.input_file) {
                (Some(field), _) => {
                    self.template_problem(&error, |range| field.part_or_all(range));
                }
                (None, Some(field)) => {
                    let text = message.input.as_ref().map_or("", Template::source);
                    self.input_file_problem(field, text, &error);
                }
                (None, None) => self.template_problem(&error, |_| None),
            },
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
}

/// The agent gets these as lines of one text, and one that breaks would read as two.
const ONE_LINE: &str = "write it on one line";

fn has_line_break(text: &str) -> bool {
    text.contains(['\n', '\r'])
}

fn conversation_template(schedule: &Schedule) -> Option<&Template> {
    match &schedule.conversation {
        Conversation::Template(template) => Some(template),
        _ => None,
    }
}

/// Whether any template asks how many were missed.
fn counts_missed(schedule: &Schedule) -> bool {
    let message = &schedule.message;
    let own = [&message.update_text, &message.input].into_iter().flatten();
    own.chain([&message.marker])
        .chain(conversation_template(schedule))
        .any(|template| template.source().contains("missed_count"))
}

/// The values of the next occurrence, or of one right now.
fn sample(schedule: &Schedule, now: Timestamp) -> Variables {
    let at = schedule
        .recurrence
        .next_after(now)
        .map_or(now, |slot| slot.at);
    let slot = Slot {
        at,
        naming: Naming::Utc,
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
