//! What an editor is told of triggerd.toml: a sentence for each key, and what its type does not
//! say. `resolve` has the last word.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::defaults;
use super::file::RawSettings;
use crate::api::base_url::BaseUrl;
use crate::schedule::schema::{about as about_schedules, trigger_id};
use crate::toml_file::schema::{ANY_NAME, About, Schema, not_both};
use crate::toml_file::{Document, written};

/// The JSON Schema of triggerd.toml.
pub fn schema() -> Value {
    // Tables that the user names are asked for their keys where they are.
    let text = format!("[agents.{ANY_NAME}]");
    let mut document = Document::new(Path::new(""), &text);
    document.read(RawSettings::read);
    let of_defaults = about_schedules()
        .into_iter()
        .map(|(key, description, more)| (format!("defaults.{key}"), (description, more)));
    let about = about()
        .into_iter()
        .map(|(key, description, more)| (key.to_owned(), (description, more)))
        .chain(of_defaults)
        .collect::<BTreeMap<_, _>>();
    Schema {
        keys: &document.known(),
        about: &about,
    }
    .file(
        "triggerd.toml",
        "The daemon's own file; every key has a default. `triggerd check` finds what no schema can.",
        json!({}),
    )
}

fn about() -> Vec<About> {
    let default = |value: &str| json!({ "default": value });
    let none = || json!({});
    let chore = |cron: &str| json!({ "default": cron });
    vec![
        (
            "schedules",
            "The folder of schedule files, relative to this file.",
            default(defaults::SCHEDULES),
        ),
        (
            "state",
            "The folder of the ledger and the lock, relative to this file.",
            default(defaults::STATE),
        ),
        (
            "namespace",
            "Keeps two environments apart that use one agent.",
            json!({ "default": "", "pattern": "^[a-z0-9-]{0,16}$" }),
        ),
        (
            "watch",
            "How changes of files are noticed: `inotify`, or `poll:10s` on file systems without it.",
            json!({ "default": "inotify", "pattern": "^(inotify|poll:([0-9]+(ms|s|m|h|d|w))+)$" }),
        ),
        ("api", "The trigger API.", none()),
        (
            "api.per_day",
            "The most deliveries of the whole daemon that may be open or accepted, in a day of UTC.",
            none(),
        ),
        (
            "api.per_hour",
            "The most deliveries of the whole daemon that may be open or accepted, in an hour of UTC.",
            none(),
        ),
        (
            "api.base_url",
            "https, or http on loopback.",
            json!({ "default": BaseUrl::DEFAULT, "pattern": "^https?://" }),
        ),
        (
            "api.timeout",
            "Of one call; the live service takes 4 to 10 s.",
            json!({ "default": written(defaults::TIMEOUT) }),
        ),
        (
            "api.max_in_flight",
            "Calls at a time.",
            json!({ "default": defaults::MAX_IN_FLIGHT }),
        ),
        (
            "api.proxy",
            "Instead of the environment's proxy; never used for loopback.",
            none(),
        ),
        (
            "api.ca_file",
            "PEM certificates that are trusted beside the system's.",
            none(),
        ),
        (
            "api.track_runs",
            "Sends the beta header, so that acceptances have a run id.",
            json!({ "default": true }),
        ),
        (
            "token",
            "Where the access token is: exactly one source.",
            token(),
        ),
        (
            "token.credential",
            "The name of a systemd credential (`LoadCredential=`).",
            none(),
        ),
        (
            "token.file",
            "A file that holds the token alone; read again when it changes.",
            none(),
        ),
        (
            "token.env",
            "An environment variable.",
            default(defaults::TOKEN_VARIABLE),
        ),
        ("token.expires", "The date on which it expires.", none()),
        (
            "agents",
            "Agents by name, for `agent` in schedules.",
            none(),
        ),
        (
            "agents.NAME",
            "An agent.",
            json!({ "required": ["trigger_id"] }),
        ),
        (
            "agents.NAME.per_day",
            "The most deliveries to it that may be open or accepted, in a day of UTC.",
            none(),
        ),
        (
            "agents.NAME.per_hour",
            "The most deliveries to it that may be open or accepted, in an hour of UTC.",
            none(),
        ),
        (
            "agents.NAME.trigger_id",
            "The id of its API channel, `agtch_…`.",
            trigger_id(),
        ),
        ("agents.NAME.token", "A token source of its own.", token()),
        (
            "agents.NAME.token.credential",
            "The name of a systemd credential (`LoadCredential=`).",
            none(),
        ),
        (
            "agents.NAME.token.file",
            "A file that holds the token alone; read again when it changes.",
            none(),
        ),
        ("agents.NAME.token.env", "An environment variable.", none()),
        (
            "agents.NAME.token.expires",
            "The date on which it expires.",
            none(),
        ),
        (
            "defaults",
            "Any key of a schedule file, for all files that do not say it.",
            none(),
        ),
        ("http", "Dashboard, health and metrics; read-only.", none()),
        (
            "http.listen",
            "An address and port; off unless set.",
            json!({ "examples": ["127.0.0.1:9464"] }),
        ),
        ("control", "Where a running daemon is asked.", none()),
        (
            "control.socket",
            "In $RUNTIME_DIRECTORY under systemd, else in the state folder.",
            default(defaults::CONTROL_SOCKET),
        ),
        ("log", "The log.", none()),
        (
            "log.format",
            "`auto` is text on a terminal and JSON lines otherwise.",
            json!({ "default": "auto", "enum": ["auto", "text", "pretty", "json"] }),
        ),
        ("alerts", "Where alerts go.", none()),
        (
            "alerts.webhook",
            "Gets JSON with a `text` field, as chats' incoming webhooks take it.",
            json!({ "pattern": "^https?://" }),
        ),
        (
            "alerts.heartbeat",
            "An address that is called while the engine answers, and with `/fail` when it does not.",
            json!({ "pattern": "^https?://" }),
        ),
        (
            "alerts.heartbeat_every",
            "How often.",
            json!({ "default": written(defaults::HEARTBEAT_EVERY) }),
        ),
        ("ledger", "The durable record.", none()),
        (
            "ledger.retention",
            "How long what ended is kept.",
            json!({ "default": written(defaults::RETENTION) }),
        ),
        (
            "ledger.url",
            "A PostgreSQL database instead of the state folder's file, without its password.",
            json!({ "pattern": "^postgres(ql)?://" }),
        ),
        (
            "ledger.ca_file",
            "Whom to trust for the database's certificate, beside the system's roots.",
            none(),
        ),
        (
            "ledger.password",
            "Where the database's password is.",
            not_both(&[["file", "credential"]]),
        ),
        (
            "ledger.password.file",
            "A file that holds the password alone, relative to this file.",
            none(),
        ),
        (
            "ledger.password.credential",
            "The name of a systemd credential that holds the password.",
            none(),
        ),
        (
            "chores",
            "The daemon's own chores: five cron fields in UTC, or \"\" for never.",
            none(),
        ),
        (
            "chores.prune",
            "Forgets what is older than the retention.",
            chore(defaults::PRUNE),
        ),
        (
            "chores.rescan",
            "Looks at every file again.",
            chore(defaults::RESCAN),
        ),
        (
            "chores.summary",
            "Logs a line of counts.",
            chore(defaults::SUMMARY),
        ),
        (
            "chores.expiry",
            "Looks at when tokens end.",
            chore(defaults::EXPIRY),
        ),
    ]
}

fn token() -> Value {
    not_both(&[
        ["credential", "file"],
        ["credential", "env"],
        ["file", "env"],
    ])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_key_is_described_and_nothing_else() {
        let mut document = Document::new(Path::new(""), "[agents.NAME]");
        document.read(RawSettings::read);
        let known = document.known();
        let known: BTreeSet<&str> = known
            .keys()
            .map(String::as_str)
            .filter(|key| !key.starts_with("defaults."))
            .collect();
        let mut described: BTreeSet<&str> = about().into_iter().map(|(key, ..)| key).collect();
        // It is no key that is asked for, but a name.
        assert!(described.remove("agents.NAME"));
        assert_eq!(described, known);
    }
}
