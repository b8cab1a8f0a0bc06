//! A delivery: the durable effort to have one occurrence accepted, and everything that is frozen
//! when it is written ahead. It knows neither how it is stored nor how it is sent.

use std::sync::Arc;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::api::wire::TriggerBody;
use crate::plan::jitter;
use crate::plan::occurrence::{IdempotencyKey, Namespace, Occurrence};
use crate::schedule::message::{TemplateError, Variables};
use crate::schedule::{Conversation, Schedule, Target};

/// What stays the same over every attempt, restart and crash.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    pub occurrence: Occurrence,
    pub request_id: Arc<str>,
    pub idempotency_key: IdempotencyKey,
    pub conversation_key: Option<Arc<str>>,
    pub target: Target,
    /// The scheduled time and its jitter: never sent before.
    pub due_at: Timestamp,
    pub window: Window,
    /// The exact bytes of every attempt's body.
    pub body: Body,
    /// Whether the body stays in the ledger after its acceptance.
    pub keep_body: bool,
    /// When it became a delivery: at `due_at`, or later when a catch-up took it up.
    pub opened_at: Timestamp,
    /// Past it, the delivery ends as `expired`.
    pub deadline_at: Timestamp,
}

/// What an occurrence covers: from the end of what is covered already to its scheduled time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub start: Timestamp,
    pub end: Timestamp,
    /// Occurrences without acceptance inside.
    pub missed_count: u64,
}

/// A frozen request body. Its bytes are dropped once they are accepted; length and digest stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    pub json: Arc<str>,
    pub sha256: [u8; 32],
}

impl Body {
    pub fn new(json: String) -> Self {
        Self {
            sha256: Sha256::digest(&json).into(),
            json: json.into(),
        }
    }
}

impl Delivery {
    /// Freezes what is said for `occurrence`, which is opened at `opened`.
    ///
    /// Also gives the error of a template that can't be rendered for this occurrence; its body is
    /// empty then, and must not be sent. Each template was rendered once when its file was loaded, so
    /// this is left to those that fail for some instants only.
    pub fn freeze(
        schedule: &Schedule,
        namespace: &Namespace,
        occurrence: Occurrence,
        window: Window,
        opened: Opened,
    ) -> (Self, Option<TemplateError>) {
        let request_id = occurrence.request_id(namespace);
        let idempotency_key = occurrence.idempotency_key(namespace, &schedule.target.trigger_id);
        let due_at = jitter::occurrence_due_at(schedule, &occurrence, &idempotency_key);
        let opened_at = match opened {
            Opened::WhenDue => due_at,
            Opened::At(at) => at,
        };
        let variables = variables(schedule, &occurrence, &request_id, due_at, window);
        let (body, error) = match trigger_body(schedule, namespace, &variables) {
            Ok(body) => (body, None),
            Err(error) => (TriggerBody::default(), Some(error)),
        };
        let delivery = Self {
            due_at,
            window,
            opened_at,
            deadline_at: deadline_at(schedule, occurrence.scheduled_at, opened_at),
            occurrence,
            request_id: request_id.into(),
            idempotency_key,
            target: schedule.target.clone(),
            keep_body: schedule.keep_input,
            body: Body::new(body.to_json()),
            conversation_key: body.conversation_key.map(Into::into),
        };
        (delivery, error)
    }

    /// The same, opened at another instant.
    pub fn opened_again(&self, schedule: &Schedule, at: Timestamp) -> Self {
        Self {
            opened_at: at,
            deadline_at: deadline_at(schedule, self.occurrence.scheduled_at, at),
            ..self.clone()
        }
    }
}

fn trigger_body(
    schedule: &Schedule,
    namespace: &Namespace,
    variables: &Variables,
) -> Result<TriggerBody, TemplateError> {
    Ok(TriggerBody {
        conversation_key: conversation_key(schedule, namespace, variables)?,
        input: schedule.message.text(variables)?,
    })
}

/// When a delivery opens (SEMANTICS.md 10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    WhenDue,
    /// A catch-up took the occurrence up, or a person asked for it.
    At(Timestamp),
}

/// The values that `schedule`'s templates see for one occurrence.
pub fn variables(
    schedule: &Schedule,
    occurrence: &Occurrence,
    request_id: &str,
    due_at: Timestamp,
    window: Window,
) -> Variables {
    let zone = &schedule.recurrence.zone.tz;
    let local = |at: Timestamp| at.to_zoned_datetime(zone.clone());
    Variables {
        request_id: request_id.to_owned(),
        schedule: schedule.id.to_string(),
        description: schedule.description.to_string(),
        scheduled_at: local(occurrence.scheduled_at),
        submitted_at: local(due_at),
        timezone: schedule.recurrence.zone.name().to_owned(),
        window_start: local(window.start),
        window_end: local(window.end),
        missed_count: window.missed_count,
    }
}

/// SEMANTICS.md 15, by the occurrence's local date.
fn conversation_key(
    schedule: &Schedule,
    namespace: &Namespace,
    variables: &Variables,
) -> Result<Option<String>, TemplateError> {
    let stem = namespace.prefixed(&schedule.id);
    let date = variables.scheduled_at.date();
    Ok(Some(match &schedule.conversation {
        Conversation::Occurrence => variables.request_id.clone(),
        Conversation::Schedule => stem,
        Conversation::Day => format!("{stem}-{}", date.strftime("%Y%m%d")),
        Conversation::Week => format!("{stem}-{}", date.strftime("%GW%V")),
        Conversation::Month => format!("{stem}-{}", date.strftime("%Y%m")),
        Conversation::Template(template) => template.render(variables)?,
        Conversation::None => return Ok(None),
    }))
}

/// SEMANTICS.md 10: the earlier of `opened + give_up_after` and `scheduled + within`. Where nothing
/// that was missed is caught up, the first alone.
fn deadline_at(schedule: &Schedule, scheduled_at: Timestamp, opened_at: Timestamp) -> Timestamp {
    use crate::schedule::CatchUp;
    let policies = &schedule.policies;
    let given_up = later(opened_at, policies.retry.give_up_after);
    match policies.missed.catch_up {
        CatchUp::None => given_up,
        CatchUp::Latest | CatchUp::All { .. } => {
            given_up.min(later(scheduled_at, policies.missed.within))
        }
    }
}

/// `at + delay`, at most the last instant there is.
pub fn later(at: Timestamp, delay: std::time::Duration) -> Timestamp {
    at.checked_add(delay).unwrap_or(Timestamp::MAX)
}

/// `at - length`, at least the first instant there is.
pub fn earlier(at: Timestamp, length: std::time::Duration) -> Timestamp {
    at.checked_sub(length).unwrap_or(Timestamp::MIN)
}

/// How an occurrence ended. Each gets one, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Accepted,
    /// A definite refusal.
    Rejected,
    /// The deadline passed; the last outcome is kept.
    Expired,
    Skipped(Skip),
}

/// Why an occurrence was skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Skip {
    Missed,
    /// The catch-up took a later one.
    Superseded,
    Overlap,
    Paused,
    Limit,
    Excluded,
    /// The file went, or was disabled, while it waited.
    Removed,
}

impl Verdict {
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Accepted => "accepted",
            Verdict::Rejected => "rejected",
            Verdict::Expired => "expired",
            Verdict::Skipped(_) => "skipped",
        }
    }

    /// Of `skipped`.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Verdict::Skipped(why) => Some(why.word()),
            Verdict::Accepted | Verdict::Rejected | Verdict::Expired => None,
        }
    }
}

impl Skip {
    pub const ALL: [Skip; 7] = [
        Skip::Missed,
        Skip::Superseded,
        Skip::Overlap,
        Skip::Paused,
        Skip::Limit,
        Skip::Excluded,
        Skip::Removed,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Skip::Missed => "missed",
            Skip::Superseded => "superseded",
            Skip::Overlap => "overlap",
            Skip::Paused => "paused",
            Skip::Limit => "limit",
            Skip::Excluded => "excluded",
            Skip::Removed => "removed",
        }
    }
}
