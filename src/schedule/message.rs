//! The source event as plain text: what the agent gets to read (API.md, "The source event, as text").
//! It knows no TOML, and takes every instant from the occurrence, never from a clock.

use std::ops::Range;
use std::sync::{Arc, LazyLock};

use jiff::ZonedDateTime;
use jiff::fmt::temporal::Pieces;
use jiff::tz::TimeZone;
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind, UndefinedBehavior, context};

use crate::toml_file::{list, nearest};

/// What one schedule says to its agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub source_system: Arc<str>,
    /// A label for the agent; access comes from the agent's connected app.
    pub output_destination: Option<Arc<str>>,
    pub update_text: Option<Template>,
    /// The exact line by which a person or a program finds the result.
    pub marker: Template,
    /// The schedule's own text, instead of the mapping of the fields above.
    pub input: Option<Template>,
}

/// What a template may name. Every value is a function of the occurrence and the ledger.
#[derive(Clone, Debug)]
pub struct Variables {
    pub request_id: String,
    pub schedule: String,
    pub description: String,
    pub scheduled_at: ZonedDateTime,
    /// When it was due: its scheduled time and jitter.
    pub submitted_at: ZonedDateTime,
    pub timezone: String,
    pub window_start: ZonedDateTime,
    pub window_end: ZonedDateTime,
    /// How many occurrences without acceptance lie inside the window.
    pub missed_count: u64,
}

impl Message {
    /// What `input` may name besides [`Variables::NAMES`].
    pub const PARTS: [&'static str; 2] = ["update_text", "marker"];

    /// The text for one occurrence.
    ///
    /// # Errors
    /// If a template can't be rendered with these values.
    pub fn text(&self, variables: &Variables) -> Result<String, TemplateError> {
        let update_text = match &self.update_text {
            Some(template) => template.render_in(self.context(variables))?,
            None => String::new(),
        };
        let marker = self.marker(variables)?;
        match &self.input {
            Some(input) => input.render_in(context! {
                update_text, marker, ..self.context(variables)
            }),
            None => Ok(self.mapped(variables, &update_text, &marker)),
        }
    }

    /// # Errors
    /// If the marker's template can't be rendered with these values.
    pub fn marker(&self, variables: &Variables) -> Result<String, TemplateError> {
        self.marker.render_in(self.context(variables))
    }

    /// Any template of the schedule but its `input`, with the fields that each may name.
    ///
    /// # Errors
    /// If it can't be rendered with these values.
    pub fn render(
        &self,
        template: &Template,
        variables: &Variables,
    ) -> Result<String, TemplateError> {
        template.render_in(self.context(variables))
    }

    fn mapped(&self, variables: &Variables, update_text: &str, marker: &str) -> String {
        let destination = self.output_destination.as_deref();
        let mut text = format!(
            "Request ID: {}\nSource system: {}\nSubmitted at: {}\n",
            variables.request_id,
            self.source_system,
            rfc3339(&variables.submitted_at),
        );
        if let Some(destination) = destination {
            text += &format!("Output destination: {destination}\n");
        }
        text += &format!(
            "Update text: {update_text}\n\n\
             Write this update to {}, starting with this exact line:\n{marker}\n",
            match destination {
                Some(_) => "the output destination named above",
                None => "your configured output destination",
            },
        );
        text
    }

    fn context(&self, variables: &Variables) -> minijinja::Value {
        let destination = self.output_destination.as_deref().unwrap_or_default();
        context! {
            source_system => &*self.source_system,
            output_destination => destination,
            ..variables.context()
        }
    }
}

impl Variables {
    /// What every template may name.
    pub const NAMES: [&'static str; 11] = [
        "request_id",
        "schedule",
        "description",
        "scheduled_at",
        "submitted_at",
        "timezone",
        "window_start",
        "window_end",
        "missed_count",
        "source_system",
        "output_destination",
    ];

    fn context(&self) -> minijinja::Value {
        context! {
            request_id => &*self.request_id,
            schedule => &*self.schedule,
            description => &*self.description,
            scheduled_at => rfc3339(&self.scheduled_at),
            submitted_at => rfc3339(&self.submitted_at),
            timezone => &*self.timezone,
            window_start => rfc3339(&self.window_start),
            window_end => rfc3339(&self.window_end),
            missed_count => self.missed_count,
        }
    }
}

/// A minijinja template that was compiled once to see that it can be. The source is what is kept:
/// a compiled form for each of a hundred thousand schedules would cost more than compiling at use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Arc<str>);

/// Why a template can't be compiled or rendered, and the way out.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    pub message: String,
    pub help: String,
    /// The bytes of the source that it is about, where known.
    pub range: Option<Range<usize>>,
}

impl Template {
    /// # Errors
    /// If the syntax is wrong. Names and values are seen only by rendering.
    pub fn parse(source: &str) -> Result<Self, TemplateError> {
        match ENVIRONMENT.template_from_str(source) {
            Ok(_) => Ok(Self(source.into())),
            Err(error) => Err(TemplateError::new(&error, source)),
        }
    }

    /// A template that is right in its syntax and names, in whatever branch, but [`Variables::NAMES`] and `also`:
    /// rendering sees those names alone that it comes through.
    ///
    /// # Errors
    /// All that is wrong, in its order.
    pub fn checked(source: &str, also: &[&str]) -> Result<Self, Vec<TemplateError>> {
        let template = ENVIRONMENT
            .template_from_str(source)
            .map_err(|error| vec![TemplateError::new(&error, source)])?;
        let is_known = |name: &str| {
            Variables::NAMES.contains(&name)
                || also.contains(&name)
                || ENVIRONMENT.globals().any(|(global, _)| global == name)
        };
        let mut errors: Vec<_> = template
            .undeclared_variables(false)
            .into_iter()
            .filter(|name| !is_known(name))
            .map(|name| TemplateError::unknown_variable(&name, place_of(&name, source), also))
            .collect();
        errors.sort_by_key(|error| error.range.as_ref().map(|range| range.start));
        match errors.is_empty() {
            true => Ok(Self(source.into())),
            false => Err(errors),
        }
    }

    pub fn source(&self) -> &str {
        &self.0
    }

    /// Whether `variable` stands anywhere in it.
    pub fn names(&self, variable: &str) -> bool {
        ENVIRONMENT
            .template_from_str(&self.0)
            .is_ok_and(|template| template.undeclared_variables(false).contains(variable))
    }

    /// # Errors
    /// If a variable is unknown, or a filter can't take its value.
    pub fn render(&self, variables: &Variables) -> Result<String, TemplateError> {
        self.render_in(variables.context())
    }

    fn render_in(&self, context: minijinja::Value) -> Result<String, TemplateError> {
        if !self.0.contains(['{', '}']) {
            return Ok(self.0.to_string());
        }
        ENVIRONMENT
            .template_from_str(&self.0)
            .and_then(|template| template.render(context))
            .map_err(|error| TemplateError::new(&error, &self.0))
    }
}

impl TemplateError {
    fn new(error: &minijinja::Error, source: &str) -> Self {
        let range = error.range().map(|range| of_characters(source, range));
        let detail = error
            .detail()
            .map_or_else(|| error.kind().to_string(), str::to_owned);
        let (message, help) = match error.kind() {
            ErrorKind::UndefinedError => {
                let name = range.clone().and_then(|range| source.get(range));
                return Self::unknown_variable(name.unwrap_or(source), range, &[]);
            }
            ErrorKind::OutOfFuel => (
                "the template takes too many steps".to_owned(),
                "leave its loops out, or make them shorter".to_owned(),
            ),
            ErrorKind::InvalidOperation => (
                detail,
                "an instant is written with `{{ window_start | date(\"%d %B %Y\") }}`, as strftime does"
                    .to_owned(),
            ),
            ErrorKind::UnknownFilter => {
                (detail, "there are minijinja's filters, and `date`: `{{ window_start | date(\"%d %B %Y\") }}`".to_owned())
            }
            _ => (
                detail,
                "write `{{ name }}`, `{% if … %}` or the like, as Jinja2 does".to_owned(),
            ),
        };
        Self {
            message,
            help,
            range,
        }
    }

    fn unknown_variable(name: &str, range: Option<Range<usize>>, also: &[&str]) -> Self {
        let known = [&Variables::NAMES, also].concat();
        Self {
            message: format!("unknown variable `{name}`"),
            help: match nearest(name, &known) {
                Some(near) => format!("did you mean `{near}`"),
                None => format!("a template may name {}", list(&known)),
            },
            range,
        }
    }
}

/// The characters that have some of these bytes: the engine takes a wrong one for a byte, and some
/// places of its own end before they begin.
fn of_characters(source: &str, range: Range<usize>) -> Range<usize> {
    let (first, last) = (range.start.min(range.end), range.start.max(range.end));
    let is_boundary = |at: &usize| source.is_char_boundary(*at);
    let start = (0..=first).rev().find(is_boundary);
    let end = (last..source.len()).find(is_boundary);
    start.unwrap_or(0)..end.unwrap_or(source.len())
}

/// Where a template first says `name` as a whole word inside `{{ … }}` or `{% … %}`.
fn place_of(name: &str, source: &str) -> Option<Range<usize>> {
    let is_part_of_a_word = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    source.match_indices(name).find_map(|(start, _)| {
        let (before, after) = (&source[..start], &source[start + name.len()..]);
        let opened = before.rfind("{{").max(before.rfind("{%"));
        let closed = before.rfind("}}").max(before.rfind("%}"));
        let is_word = !before.ends_with(is_part_of_a_word)
            && !after.starts_with(|c: char| is_part_of_a_word(c) && c != '.');
        (opened > closed && is_word).then(|| start..start + name.len())
    })
}

/// The most steps a template may take: a loop over everything a schedule can name needs a few hundred.
const MAX_STEPS: u64 = 100_000;

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(MAX_STEPS));
    environment.set_debug(true);
    environment.set_syntax(
        SyntaxConfig::builder()
            .keep_trailing_newline(true)
            .build()
            .expect("the default delimiters are valid"),
    );
    environment.add_filter("date", date);
    environment
});

/// `{{ window_start | date("%d %B %Y") }}`: an instant as strftime would write it, in its own offset.
fn date(instant: &str, format: &str) -> Result<String, minijinja::Error> {
    let refuse = |text: String| {
        minijinja::Error::new(ErrorKind::InvalidOperation, format!("`date`: {text}"))
    };
    let pieces = Pieces::parse(instant).map_err(|error| refuse(error.to_string()))?;
    let (Some(time), Some(offset)) = (pieces.time(), pieces.to_numeric_offset()) else {
        return Err(refuse(format!("`{instant}` is not an instant")));
    };
    let zoned = TimeZone::fixed(offset)
        .to_zoned_datetime(pieces.date().to_datetime(time))
        .map_err(|error| refuse(error.to_string()))?;
    jiff::fmt::strtime::format(format, &zoned).map_err(|error| refuse(error.to_string()))
}

/// RFC 3339 with the offset in force, `Z` for UTC.
pub fn rfc3339(instant: &ZonedDateTime) -> String {
    if instant.time_zone() == &TimeZone::UTC {
        instant.timestamp().to_string()
    } else {
        instant
            .timestamp()
            .display_with_offset(instant.offset())
            .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> Variables {
        let at = |text: &str| text.parse::<ZonedDateTime>().unwrap();
        Variables {
            request_id: "weekly-report-20261123T0900".into(),
            schedule: "weekly-report".into(),
            description: "Tickets".into(),
            scheduled_at: at("2026-11-23T09:00:00[Europe/Berlin]"),
            submitted_at: at("2026-11-23T09:00:07[Europe/Berlin]"),
            timezone: "Europe/Berlin".into(),
            window_start: at("2026-11-16T09:00:00[Europe/Berlin]"),
            window_end: at("2026-11-23T09:00:00[Europe/Berlin]"),
            missed_count: 0,
        }
    }

    fn message() -> Message {
        Message {
            source_system: "triggerd".into(),
            output_destination: Some("#team-updates".into()),
            update_text: Some(Template::parse("Since {{ window_start }}.").unwrap()),
            marker: Template::parse("Workspace Agent API demo received: {{ request_id }}").unwrap(),
            input: None,
        }
    }

    #[track_caller]
    fn check(source: &str, expected: &str) {
        let rendered = Template::parse(source).and_then(|it| it.render(&variables()));
        let shown = rendered.unwrap_or_else(|error| format!("error: {error}"));
        assert_eq!(shown, expected);
    }

    #[test]
    fn templates() {
        check("plain text", "plain text");
        check("{{ scheduled_at }}", "2026-11-23T09:00:00+01:00");
        check("{{ window_start | date('%d %B %Y') }}", "16 November 2026");
        check("{{ scheduled_at | date('%H:%M %:z') }}", "09:00 +01:00");
        check(
            "{{ missed_count }} of {{ schedule }}\n",
            "0 of weekly-report\n",
        );
        check("{{ windw_start }}", "error: unknown variable `windw_start`");
        check(
            "{{ schedule | date('%Y') }}",
            "error: `date`: failed to parse four digit integer as year: invalid digit, expected 0-9 but got w",
        );
        check(
            "{% for i in range(99999) %}{{ i }}{% endfor %}",
            "error: the template takes too many steps",
        );
        check(
            "{{ schedule",
            "error: unexpected end of input, expected end of variable block",
        );
    }

    #[test]
    fn an_unknown_variable_is_underlined() {
        let error = Template::parse("Hi {{ nobody }}")
            .and_then(|it| it.render(&variables()))
            .unwrap_err();
        assert_eq!(error.range, Some(6..12));
    }

    #[test]
    fn a_wrong_character_is_underlined_whole() {
        let error = Template::parse("é{{ reqé }}").unwrap_err();
        assert_eq!(error.range, Some(8..10));
    }

    #[test]
    fn variables_are_known_in_every_branch() {
        #[track_caller]
        fn check(source: &str, expected: &[&str]) {
            let errors = Template::checked(source, &[]).err().unwrap_or_default();
            let found: Vec<_> = errors
                .into_iter()
                .map(|error| &source[error.range.expect("it stands in the source")])
                .collect();
            assert_eq!(found, expected, "{source}");
        }
        check("no {{ window_start }}", &[]);
        check("{% if missed_count > 0 %}{{ misd }}{% endif %}", &["misd"]);
        check(
            "{% if missed_count %}{{ b }}{% else %}{{ a }}{% endif %}",
            &["b", "a"],
        );
        check("{% set x = schedule %}{{ x }}", &[]);
        check(
            "{% for i in range(3) %}{{ i }}{{ loop.index }}{% endfor %}",
            &[],
        );
        check("{{ update_text }}", &["update_text"]);
    }

    #[test]
    fn an_unknown_variable_is_found_where_it_is_one() {
        assert_eq!(
            place_of("typo", "typo {{ typos }} {{ x.typo }} {{ typo }}"),
            Some(33..37)
        );
        assert_eq!(place_of("typo", "typo"), None);
    }

    #[test]
    fn the_fields_become_a_line_each_and_a_wish_with_the_marker() {
        insta::assert_snapshot!(message().text(&variables()).unwrap(), @r"
        Request ID: weekly-report-20261123T0900
        Source system: triggerd
        Submitted at: 2026-11-23T09:00:07+01:00
        Output destination: #team-updates
        Update text: Since 2026-11-16T09:00:00+01:00.

        Write this update to the output destination named above, starting with this exact line:
        Workspace Agent API demo received: weekly-report-20261123T0900
        ");
    }

    #[test]
    fn an_input_of_its_own_replaces_the_mapping_and_may_name_its_parts() {
        let message = Message {
            input: Some(
                Template::parse("{{ update_text }} To {{ output_destination }}. {{ marker }}")
                    .unwrap(),
            ),
            ..message()
        };
        assert_eq!(
            message.text(&variables()).unwrap(),
            "Since 2026-11-16T09:00:00+01:00. To #team-updates. \
             Workspace Agent API demo received: weekly-report-20261123T0900"
        );
    }

    #[test]
    fn no_place_of_an_error_ends_before_it_begins() {
        // Found by fuzzing.
        let source = "{% for a in range(9999) %}{% for  in range(9999) %}x{% endfor %}{% endfor %}";
        let error =
            Template::parse(source).and_then(|template| template.render(&variables()).map(drop));
        let range = error.unwrap_err().range.unwrap();
        assert!(
            range.start <= range.end && range.end <= source.len(),
            "{range:?}"
        );
    }
}
