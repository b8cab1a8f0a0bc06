//! The JSON Schemas against the files that the readers are tested with: a draft 7 validator, as editors have one.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use boon::{Compiler, SchemaIndex, Schemas};
use insta::assert_snapshot;
use serde_json::{Value, json};
use triggerd::{schedule, settings};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

struct Validator {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Validator {
    fn new(schema: Value) -> Self {
        let mut schemas = Schemas::new();
        let mut compiler = Compiler::new();
        compiler
            .add_resource("schema.json", schema)
            .expect("it is a schema");
        let index = compiler.compile("schema.json", &mut schemas);
        Self {
            index: index.expect("it is a schema"),
            schemas,
        }
    }

    /// `None` for what is no TOML.
    fn judge(&self, path: &Path) -> Option<Result<(), String>> {
        let text = fs::read_to_string(path).expect("a text");
        let file = json_of(toml::Value::Table(text.parse().ok()?));
        let judged = self.schemas.validate(&file, self.index);
        Some(judged.map_err(|error| error.to_string()))
    }
}

/// As editors hand TOML to a validator: dates are strings.
fn json_of(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => json!(text),
        toml::Value::Integer(number) => json!(number),
        toml::Value::Float(number) => json!(number),
        toml::Value::Boolean(flag) => json!(flag),
        toml::Value::Datetime(at) => json!(at.to_string()),
        toml::Value::Array(items) => items.into_iter().map(json_of).collect(),
        toml::Value::Table(table) => table
            .into_iter()
            .map(|(key, value)| (key, json_of(value)))
            .collect(),
    }
}

fn toml_files(folder: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(root().join(folder)).expect("the folder is there");
    let mut paths: Vec<PathBuf> = files
        .map(|file| file.expect("it can be read").path())
        .filter(|path| path.extension().is_some_and(|it| it == "toml"))
        .collect();
    assert!(paths.len() >= 5, "{folder} has {paths:?}");
    paths.sort();
    paths
}

#[track_caller]
fn all_are_valid(schema: &Value, folder: &str) {
    let validator = Validator::new(schema.clone());
    for path in toml_files(folder) {
        let judged = validator.judge(&path).expect("it is TOML");
        assert_eq!(judged, Ok(()), "{}", path.display());
    }
}

/// The names of the files that the schema takes for good; broken syntax is not looked at.
fn accepted(schema: &Value, folder: &str) -> String {
    let validator = Validator::new(schema.clone());
    let accepted = toml_files(folder)
        .into_iter()
        .filter(|path| validator.judge(path) == Some(Ok(())));
    let name = |path: PathBuf| path.file_stem().map(|it| it.to_string_lossy().into_owned());
    accepted.filter_map(name).collect::<Vec<_>>().join(" ")
}

/// Full names of all keys below, as README writes them.
fn keys(schema: &Value, prefix: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let own = schema["properties"].as_object().into_iter().flatten();
    let any = schema["additionalProperties"].as_object();
    let any = any.map(|_| ("NAME".to_owned(), schema["additionalProperties"].clone()));
    for (key, value) in own
        .map(|(key, value)| (key.clone(), value.clone()))
        .chain(any)
    {
        assert!(
            value["description"].is_string(),
            "{prefix}{key} is described"
        );
        let below = keys(&value, &format!("{prefix}{key}."));
        if below.is_empty() {
            names.insert(format!("{prefix}{key}"));
        }
        names.extend(below);
    }
    names
}

fn keys_of_files(paths: &[PathBuf]) -> BTreeSet<String> {
    fn collect(table: &toml::Table, prefix: &str, names: &mut BTreeSet<String>) {
        for (key, value) in table {
            let key = if prefix == "agents." { "NAME" } else { key };
            match value {
                toml::Value::Table(table) => collect(table, &format!("{prefix}{key}."), names),
                _ => _ = names.insert(format!("{prefix}{key}")),
            }
        }
    }
    let mut names = BTreeSet::new();
    for path in paths {
        let text = fs::read_to_string(path).expect("a text");
        collect(&text.parse().expect("it is TOML"), "", &mut names);
    }
    names
}

#[test]
fn good_files_are_valid() {
    all_are_valid(&schedule::schema::schema(), "tests/files/good");
    all_are_valid(&schedule::schema::schema(), "schedules");
    all_are_valid(&settings::schema::schema(), "tests/files/settings/good");
}

/// What is not listed here is refused, but for broken syntax.
#[test]
fn bad_files_are_refused_but_for_what_no_schema_can_say() {
    assert_snapshot!(accepted(&schedule::schema::schema(), "tests/files/bad"), @"agent-near-miss agent-unknown at-string cron-escaped cron-every cron-four-fields cron-in-list cron-in-long-list cron-never-fires cron-out-of-range cron-question-mark cron-reboot cron-seven-fields cron-step-on-number cron-zone-inside empty first-delay-over-default-max-delay first-delay-over-max-delay give-up-after-over-24h input-file-missing input-file-outside input-file-template line-breaks neither-cron-nor-at no-text start-after-end-and-cron start-after-end template-bad-date template-conversation template-escaped template-fails-when-missed template-input template-marker template-runs-away template-syntax template-unknown-filter template-unknown-variable-below template-unknown-variable-in-branch template-unknown-variable type-date type-duration-too-long verify-without-url zero-durations zone-abbreviation zone-city zone-offset zone-unknown zone-unlike-any");
    assert_snapshot!(accepted(&settings::schema::schema(), "tests/files/settings/bad"), @"base-url-http chore-cron chore-six-fields chore-words defaults-start-after-end defaults-template defaults-zone http-listen ledger-password-alone ledger-password-in-url retention-zero timeout-zero watch-poll-zero");
}

#[test]
fn the_schema_has_every_key_of_a_schedule_and_no_other() {
    assert_eq!(
        keys(&schedule::schema::schema(), ""),
        keys_of_files(&toml_files("tests/files/good"))
    );
}

#[test]
fn the_schema_has_every_key_of_the_settings_and_no_other() {
    let of_defaults = keys(&schedule::schema::schema(), "defaults.");
    let mut known = keys_of_files(&toml_files("tests/files/settings/good"));
    known.extend(of_defaults);
    // An agent's token has the keys of every token.
    let of_token = ["credential", "file", "env", "expires"];
    known.extend(of_token.map(|key| format!("agents.NAME.token.{key}")));
    known.extend(of_token.map(|key| format!("token.{key}")));
    assert_eq!(keys(&settings::schema::schema(), ""), known);
}

#[test]
fn the_examples_name_the_schema_that_lies_beside_them() {
    let text = fs::read_to_string(root().join("schedules/schema.json")).expect("a text");
    let beside: Value = serde_json::from_str(&text).expect("it is JSON");
    assert_eq!(
        beside,
        schedule::schema::schema(),
        "make it again: cargo run -- schema > schedules/schema.json"
    );
    for path in toml_files("schedules") {
        let text = fs::read_to_string(&path).expect("a text");
        let first = text.lines().next();
        assert_eq!(first, Some("#:schema ./schema.json"), "{}", path.display());
    }
}
