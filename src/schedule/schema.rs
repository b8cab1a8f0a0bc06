//! What an editor is told of a schedule file: a sentence for each key, and what its type does not
//! say. `resolve` has the last word.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::schedule::defaults;
use crate::schedule::file::RawSchedule;
use crate::toml_file::schema::{About, Schema, not_both};
use crate::toml_file::{Document, written};

/// The JSON Schema of a schedule file.
pub fn schema() -> Value {
    let mut document = Document::new(Path::new(""), "");
    document.read(RawSchedule::read);
    let about = about()
        .into_iter()
        .map(|(key, description, more)| (key.to_owned(), (description, more)))
        .collect::<BTreeMap<_, _>>();
    Schema {
        keys: &document.known(),
        about: &about,
    }
    .file(
        "A schedule of triggerd",
        "One file is one schedule, named by its stem. `triggerd check` finds what no schema can.",
        not_both(&[
            ["cron", "at"],
            ["agent", "trigger_id"],
            ["input", "input_file"],
        ]),
    )
}

/// Of every key; `[defaults]` in triggerd.toml has the same ones.
pub(crate) fn about() -> Vec<About> {
    let default = |value: &str| json!({ "default": value });
    let length = |length| json!({ "default": written(length) });
    let none = || json!({});
    vec![
        ("description", "For people.", none()),
        (
            "enabled",
            "`false` keeps the file and stops the firing.",
            json!({ "default": true }),
        ),
        (
            "cron",
            "When it fires: one expression or a list of them, five fields (with six, a second comes first). Also L, LW, \
             5L, 5#3, @daily and the like, and H: a minute, hour or second that is the schedule's own.",
            json!({
                "minItems": 1,
                "minLength": 1,
                "examples": ["0 9 * * MON-FRI", "H/15 8-17 * * MON-FRI", "0 18 L * *", "@daily"],
            }),
        ),
        (
            "at",
            "Instead of `cron`: once, a local date-time without an offset, such as 2026-12-24T18:00:00.",
            none(),
        ),
        (
            "timezone",
            "The IANA name of the zone whose wall clock is meant, such as Europe/Berlin; no abbreviation.",
            json!({
                "default": defaults::TIMEZONE,
                "examples": ["Europe/Berlin", "America/New_York", "Asia/Tokyo", "UTC"],
            }),
        ),
        (
            "start",
            "The first local day or date-time on which it may fire.",
            none(),
        ),
        (
            "end",
            "The last local day or date-time on which it may fire.",
            none(),
        ),
        ("except", "Local dates on which it does not fire.", none()),
        (
            "jitter",
            "Spreads occurrences over this length; the same for one occurrence every time.",
            length(defaults::JITTER),
        ),
        (
            "agent",
            "Which agent it wakes: a name from `[agents.*]` in triggerd.toml.",
            none(),
        ),
        (
            "trigger_id",
            "Which agent it wakes: the id of its API channel, `agtch_…` [default: $WORKSPACE_AGENT_TRIGGER_ID].",
            trigger_id(),
        ),
        (
            "input",
            "Your own text instead of the mapping of `[event]`; a template.",
            none(),
        ),
        (
            "input_file",
            "A file inside the schedules folder with your own text; a template.",
            none(),
        ),
        (
            "conversation",
            "Which occurrences continue one conversation: a word, or a template.",
            json!({
                "default": "occurrence",
                "anyOf": [
                    { "enum": ["occurrence", "schedule", "day", "week", "month", "none"] },
                    { "pattern": "\\{\\{" },
                ],
            }),
        ),
        (
            "keep_input",
            "Keeps the text in the ledger after its acceptance.",
            json!({ "default": false }),
        ),
        (
            "event",
            "The source event, mapped to plain text: what the agent is told.",
            none(),
        ),
        (
            "event.source_system",
            "Where the event comes from.",
            default(defaults::SOURCE_SYSTEM),
        ),
        (
            "event.output_destination",
            "A label in the text [default: $WORKSPACE_AGENT_OUTPUT_DESTINATION]; access comes from the agent's connected \
             app.",
            none(),
        ),
        (
            "event.update_text",
            "What the agent is told; a template.",
            json!({ "examples": ["Summarise the tickets opened since {{ window_start }}."] }),
        ),
        (
            "event.marker",
            "The exact first line of the agent's update; a template.",
            default(defaults::MARKER),
        ),
        (
            "missed",
            "What becomes of occurrences that passed while the daemon or the API was away.",
            none(),
        ),
        (
            "missed.catch_up",
            "`none`, `latest` (the newest stands for all) or `all`.",
            json!({ "default": "latest", "enum": ["none", "latest", "all"] }),
        ),
        (
            "missed.within",
            "How old a missed occurrence may be.",
            length(defaults::MISSED.within),
        ),
        (
            "missed.at_most",
            "Of `all`: how many, the newest.",
            json!({ "default": defaults::AT_MOST }),
        ),
        (
            "missed.spacing",
            "Of `all`: how far apart.",
            length(defaults::SPACING),
        ),
        (
            "overlap",
            "What becomes of an occurrence that is due while the last run is still active.",
            none(),
        ),
        (
            "overlap.policy",
            "`allow`, `skip` or `queue` (one).",
            json!({ "default": "allow", "enum": ["allow", "skip", "queue"] }),
        ),
        (
            "overlap.stuck_after",
            "A run that is active for longer no longer counts as active.",
            length(defaults::OVERLAP.stuck_after),
        ),
        ("retry", "How a delivery is tried again.", none()),
        (
            "retry.give_up_after",
            "A delivery's deadline, at most 24h.",
            length(defaults::RETRY.give_up_after),
        ),
        (
            "retry.first_delay",
            "The first back-off, doubled each time.",
            length(defaults::RETRY.first_delay),
        ),
        (
            "retry.max_delay",
            "The longest back-off.",
            length(defaults::RETRY.max_delay),
        ),
        ("expect", "Deadlines that alert when passed.", none()),
        (
            "expect.accepted_within",
            "From when it was due to its acceptance.",
            none(),
        ),
        (
            "expect.finished_within",
            "From its acceptance to the end of the run.",
            none(),
        ),
        (
            "expect.approved_within",
            "How long a run may wait for a person's approval.",
            length(defaults::APPROVED_WITHIN),
        ),
        (
            "expect.heartbeat",
            "An address that is told of each start, success and failure, so that silence is noticed there.",
            json!({ "pattern": "^https?://" }),
        ),
        (
            "limits",
            "The most deliveries that may be open or accepted, in the clock of `timezone`.",
            none(),
        ),
        ("limits.per_day", "In a clock day.", none()),
        ("limits.per_hour", "In a clock hour.", none()),
        (
            "verify",
            "After the run, the marker is looked up in the destination.",
            none(),
        ),
        (
            "verify.url",
            "Where the result can be read; a template.",
            json!({ "pattern": "^https?://" }),
        ),
        (
            "verify.contains",
            "The text to look for [default: the marker]; a template.",
            none(),
        ),
        (
            "verify.within",
            "How long after the run's end it is looked for.",
            length(defaults::VERIFY_WITHIN),
        ),
        (
            "verify.headers_from",
            "A file of HTTP headers beside the schedule, or `credential:NAME`, so that no secret stands in a schedule.",
            none(),
        ),
    ]
}

/// A token in its place would be shown.
pub(crate) fn trigger_id() -> Value {
    json!({
        "pattern": "^[A-Za-z0-9_-]{1,128}$",
        "not": { "pattern": "^(at|sk)-" },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_key_is_described_and_nothing_else() {
        let mut document = Document::new(Path::new(""), "");
        document.read(RawSchedule::read);
        let known = document.known();
        let known: BTreeSet<&str> = known.keys().map(String::as_str).collect();
        let described: BTreeSet<&str> = about().into_iter().map(|(key, ..)| key).collect();
        assert_eq!(described, known);
    }
}
