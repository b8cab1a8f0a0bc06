//! What README, the examples and the unit say is true of the program as it is.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use clap::CommandFactory;
use serde_json::Value;
use triggerd::cli::Cli;
use triggerd::schedule::message::Variables;
use triggerd::schedule::problem::{Problem, Severity};
use triggerd::schedule::resolve::{Context, Parsed};
use triggerd::schedule::{Schedule, ScheduleId, defaults};
use triggerd::settings::{Flags, Settings};
use triggerd::telemetry::MESSAGE_IDS;
use triggerd::toml_file::written;

use crate::support::World;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text_of(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn readme() -> String {
    text_of("README.md")
}

/// The TOML blocks of README, without the indent of the list that a block stands in.
fn toml_blocks(readme: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = readme.lines();
    while let Some(line) = lines.next() {
        if line.trim_start() == "```toml" {
            let indent = line.len() - line.trim_start().len();
            let block = lines.by_ref().take_while(|line| line.trim() != "```");
            let block: Vec<&str> = block.map(|line| line.get(indent..).unwrap_or("")).collect();
            blocks.push(block.join("\n") + "\n");
        }
    }
    blocks
}

/// What stands in backticks in a cell of a table.
fn code_spans(cell: &str) -> Vec<&str> {
    let mut spans = Vec::new();
    let mut rest = cell;
    while let Some(start) = rest.find('`') {
        let fence = if rest[start..].starts_with("``") {
            "``"
        } else {
            "`"
        };
        let inside = &rest[start + fence.len()..];
        let end = inside.find(fence).expect("the span ends");
        spans.push(&inside[..end]);
        rest = &inside[end + fence.len()..];
    }
    spans
}

/// The rows of the table with this header, as cells.
fn table<'a>(readme: &'a str, header: &str) -> Vec<Vec<&'a str>> {
    let (_, below) = readme.split_once(header).expect("the table is there");
    let rows: Vec<Vec<&str>> = below
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    assert!(!rows.is_empty(), "`{header}` has rows");
    rows
}

fn resolve(name: &str, text: &str) -> (Option<Schedule>, Vec<Problem>) {
    let context = Context {
        trigger_id: Some("agtch_00000000000000000000000000000001".into()),
        ..Context::default()
    };
    let parsed = Parsed::new(Path::new(name), text, &context);
    let now = "2026-11-23T08:00:00Z".parse().expect("an instant");
    parsed.resolve(
        &ScheduleId::parse(name).expect("a name"),
        None,
        &context,
        now,
    )
}

#[test]
fn every_example_is_valid_and_readme_names_it() {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(root().join("schedules")).expect("schedules/ is there") {
        let path = entry.expect("an entry").path();
        if path.ends_with("schema.json") {
            continue;
        }
        let name = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .expect("a name");
        let text = fs::read_to_string(&path).expect("a text");
        let (schedule, problems) = resolve(name, &text);
        assert!(schedule.is_some(), "{name}: {problems:#?}");
        assert!(
            problems.iter().all(|it| it.severity == Severity::Note),
            "{name}: {problems:#?}"
        );
        assert!(
            readme().contains(&format!("(schedules/{name}.toml)")),
            "README names {name}"
        );
        names.insert(name.to_owned());
    }
    assert_eq!(names.len(), 5, "{names:?}");
}

#[test]
fn every_toml_block_in_readme_is_valid() {
    const SETTINGS: &str = "# /etc/triggerd/triggerd.toml\n";
    let readme = readme();
    let (settings, schedules): (Vec<String>, Vec<String>) = toml_blocks(&readme)
        .into_iter()
        .partition(|block| block.starts_with(SETTINGS));
    assert_eq!((settings.len(), schedules.len()), (1, 1));
    for block in schedules {
        let (schedule, problems) = resolve("readme", &block);
        assert!(schedule.is_some(), "{problems:#?}\n{block}");
    }
    for block in settings {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("triggerd.toml");
        fs::write(&file, &block).expect("a file");
        let flags = Flags {
            config: Some(file),
            ..Flags::default()
        };
        let read = Settings::read(&flags, &|_| None);
        assert!(read.problems.is_empty(), "{:#?}\n{block}", read.problems);
    }
}

#[test]
fn readme_names_every_key_of_a_schedule_file() {
    let every_key: toml::Table = text_of("tests/files/good/everything.toml")
        .parse()
        .expect("it is TOML");
    let mut keys = BTreeSet::from(["at".to_owned(), "input".into(), "input_file".into()]);
    keys.insert("trigger_id".into());
    for (key, value) in &every_key {
        match value {
            toml::Value::Table(table) => {
                keys.extend(table.keys().map(|inner| format!("{key}.{inner}")));
            }
            _ => {
                keys.insert(key.clone());
            }
        }
    }
    let readme = readme();
    let mut named = BTreeSet::new();
    for row in table(&readme, "| key | default | meaning |") {
        // `missed.at_most`, `.spacing`: the second stands in the first one's table.
        let mut within = "";
        for span in code_spans(row[0]) {
            match (span.strip_prefix('.'), span.split_once('.')) {
                (Some(key), _) => named.insert(format!("{within}.{key}")),
                (None, first) => {
                    within = first.map_or("", |(within, _)| within);
                    named.insert(span.to_owned())
                }
            };
        }
    }
    assert_eq!(named, keys);
}

#[test]
fn readme_shows_each_command_with_an_example_that_parses() {
    let readme = readme();
    let mut named = BTreeSet::new();
    for row in table(&readme, "| command | does | for example |") {
        let name = code_spans(row[0])[0];
        let example = code_spans(row[2])[0];
        let words = words(example);
        assert_eq!(words[..2], ["triggerd", name]);
        let parsed = Cli::command().try_get_matches_from(&words);
        assert!(parsed.is_ok(), "{example}: {parsed:?}");
        named.insert(name.to_owned());
    }
    let commands: BTreeSet<String> = Cli::command()
        .get_subcommands()
        .map(|command| command.get_name().to_owned())
        .collect();
    assert_eq!(named, commands);
}

/// As a shell would part them: single quotes keep spaces.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for character in line.chars() {
        match character {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            _ => words.last_mut().expect("one at least").push(character),
        }
    }
    words
}

#[test]
fn no_document_names_a_command_that_does_not_exist() {
    let commands: Vec<String> = Cli::command()
        .get_subcommands()
        .map(|command| command.get_name().to_owned())
        .collect();
    let documents = [
        "README.md",
        "CHANGELOG.md",
        "systemd/triggerd.service",
        "systemd/triggerd.toml",
        "systemd/triggerd.catalog",
        "schedules/demo-event.toml",
        "schedules/inbox-poll.toml",
        "schedules/month-end.toml",
        "schedules/morning-briefing.toml",
        "schedules/weekly-report.toml",
    ];
    let mut seen = 0;
    for document in documents {
        // A line of the log, not a command.
        let text = text_of(document).replace("`triggerd started`", "");
        for line in text.lines() {
            let in_backticks = line.split("`triggerd ").skip(1);
            let typed = line.trim_start().strip_prefix("triggerd ");
            for rest in in_backticks.chain(typed.filter(|_| line.starts_with("    "))) {
                let name: String = rest
                    .chars()
                    .take_while(char::is_ascii_alphanumeric)
                    .collect();
                assert!(commands.contains(&name), "{document} names it: {line}");
                seen += 1;
            }
        }
    }
    assert!(seen >= 20, "{seen} were looked at");
}

#[tokio::test(flavor = "multi_thread")]
async fn readme_names_every_field_of_the_acceptance_line() {
    let readme = readme();
    let (_, line) = readme
        .split_once("    trigger accepted ")
        .expect("the line is in README");
    let (line, _) = line.split_once("\n\n").expect("the block ends");
    let named: BTreeSet<&str> = line
        .split_whitespace()
        .filter_map(|word| Some(word.split_once('=')?.0))
        .collect();

    let world = World::new().await;
    world.schedule("hello", crate::support::EVERY_SECOND);
    let output = world.run(&["trigger", "hello", "--log-format", "json"]);
    let log = String::from_utf8(output.stderr).expect("UTF-8");
    let accepted: Value = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .find(|line: &Value| line["message"] == "trigger accepted")
        .unwrap_or_else(|| panic!("it was not accepted: {log}"));
    let fields: BTreeSet<&str> = accepted
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .filter(|key| !["timestamp", "level", "message"].contains(key))
        .collect();
    assert_eq!(named, fields);
}

#[test]
fn readme_and_the_log_have_the_same_lines() {
    let readme = readme();
    let mut messages = vec!["trigger accepted".to_owned()];
    for row in table(&readme, "| message | level | what it says |") {
        for span in code_spans(row[0]) {
            messages.push(span.trim_end_matches(['…', ' ']).to_owned());
        }
    }
    let mut source = String::new();
    read_rust(&root().join("src"), &mut source);
    for message in &messages {
        assert!(
            source.contains(&format!("\"{message}")),
            "nothing logs `{message}`"
        );
    }

    // rustfmt gives the message, which comes last, a line of its own where there are fields.
    let telemetry = text_of("src/telemetry/mod.rs");
    let lines: Vec<&str> = telemetry.lines().map(str::trim).collect();
    let logged: Vec<&str> = lines
        .windows(2)
        .filter(|pair| pair[1].starts_with(')'))
        .filter_map(|pair| pair[0].strip_prefix('"')?.strip_suffix('"'))
        .collect();
    assert!(logged.len() >= 12, "{logged:?}");
    for line in logged {
        assert!(
            messages
                .iter()
                .any(|message| line.starts_with(message.as_str())),
            "README does not name the line `{line}`"
        );
    }
}

#[test]
fn each_failure_in_the_log_has_a_message_id_that_the_catalog_explains() {
    let readme = readme();
    let mut failures = vec!["trigger accepted"];
    for row in table(&readme, "| message | level | what it says |") {
        let messages = code_spans(row[0]);
        let levels: Vec<&str> = row[1].split(", ").collect();
        for (index, message) in messages.iter().enumerate() {
            let level = match levels.len() == messages.len() {
                true => levels[index],
                false => row[1],
            };
            if level.contains("WARN") || level.contains("ERROR") {
                failures.push(message);
            }
        }
    }
    assert!(failures.len() >= 20, "{failures:?}");
    for failure in failures {
        let begins = |it: &&(&str, &str)| failure.starts_with(it.0);
        assert!(MESSAGE_IDS.iter().any(|it| begins(&it)), "`{failure}`");
    }

    let catalog = text_of("systemd/triggerd.catalog");
    let explained: Vec<&str> = catalog
        .lines()
        .filter_map(|line| line.strip_prefix("-- "))
        .collect();
    let ids: Vec<&str> = MESSAGE_IDS.iter().map(|(_, id)| *id).collect();
    assert_eq!(explained, ids, "in the same order");
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    assert!(readme.contains(&format!("MESSAGE_ID={}", ids[0])));
}

fn read_rust(folder: &Path, source: &mut String) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            read_rust(&path, source);
        } else if path.extension().is_some_and(|it| it == "rs") {
            source.push_str(&fs::read_to_string(&path).expect("a text"));
        }
    }
}

#[test]
fn readme_says_the_defaults_that_are_used() {
    let readme = readme();
    let rows = [
        ("`timezone`", format!("`\"{}\"`", defaults::TIMEZONE)),
        ("`jitter`", format!("`\"{}\"`", written(defaults::JITTER))),
        (
            "`event.source_system`",
            format!("`\"{}\"`", defaults::SOURCE_SYSTEM),
        ),
        ("`event.marker`", format!("`\"{}\"`", defaults::MARKER)),
        (
            "`missed.within`",
            format!("`\"{}\"`", written(defaults::MISSED.within)),
        ),
        (
            "`missed.at_most`, `missed.spacing`",
            format!(
                "`{}`, `\"{}\"`",
                defaults::AT_MOST,
                written(defaults::SPACING)
            ),
        ),
        (
            "`retry.give_up_after`",
            format!("`\"{}\"`", written(defaults::RETRY.give_up_after)),
        ),
        (
            "`retry.first_delay`, `retry.max_delay`",
            format!(
                "`\"{}\"`, `\"{}\"`",
                written(defaults::RETRY.first_delay),
                written(defaults::RETRY.max_delay)
            ),
        ),
        (
            "`overlap.policy`, `overlap.stuck_after`",
            format!(
                "`\"allow\"`, `\"{}\"`",
                written(defaults::OVERLAP.stuck_after)
            ),
        ),
    ];
    for (key, default) in rows {
        let row = format!("| {key} | {default} |");
        assert!(readme.contains(&row), "README has no row `{row}`");
    }
}

#[test]
fn readme_names_every_template_variable() {
    let readme = readme();
    for name in Variables::NAMES {
        assert!(
            readme.contains(&format!("`{name}`")),
            "README does not name `{name}`"
        );
    }
}

#[test]
fn readme_begins_with_the_two_commands_that_ci_runs() {
    let readme = readme();
    let ci = text_of(".ci/run");
    assert!(readme.contains("cargo run --release -- demo"));
    assert!(ci.contains("cargo run --release --locked -- demo --for 20s"));
    assert!(readme.contains("    cargo test "));
    assert!(ci.contains("\ncargo test --locked\n"));
}

#[test]
fn the_unit_names_the_paths_that_readme_names() {
    let unit = text_of("systemd/triggerd.service");
    let readme = readme();
    let settings: Vec<&str> = unit
        .lines()
        .filter(|line| !line.starts_with(['#', '[']))
        .collect();
    let paths = [
        ("ExecStart=", "/etc/triggerd/triggerd.toml"),
        ("LoadCredential=", "/etc/triggerd/workspace-agent-token"),
    ];
    for (setting, path) in paths {
        let line = settings.iter().find(|line| line.starts_with(setting));
        assert!(line.is_some_and(|line| line.contains(path)), "{line:?}");
        assert!(readme.contains(&format!("`{path}`")), "README names {path}");
    }
    for line in [
        "StateDirectory=triggerd",
        "RuntimeDirectory=triggerd",
        "Group=triggerd",
    ] {
        assert!(settings.contains(&line), "{line}");
    }
}

/// The package's settings begin as README's do, and leave out only what is each user's own.
#[test]
fn the_settings_of_the_package_are_those_in_readme() {
    let file = text_of("systemd/triggerd.toml");
    let said: Vec<&str> = file
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let readme = readme();
    let block = toml_blocks(&readme)
        .into_iter()
        .find(|block| block.starts_with("# /etc/triggerd/triggerd.toml\n"))
        .expect("the block is there");
    let block: Vec<&str> = block.lines().skip(1).collect();
    assert_eq!(said, block[..said.len()]);
    let own = [
        "[agents.main]",
        "trigger_id = \"agtch_0123456789abcdef0123456789abcdef\"",
        "[defaults]",
        "agent = \"main\"",
    ];
    assert_eq!(block[said.len()..], own);
    for line in own {
        assert!(file.contains(&format!("# {line}\n")), "{line}");
    }
}

/// The files inside the Kubernetes manifest: what is indented below `name.toml: |`.
#[test]
fn the_files_in_the_manifest_are_valid() {
    let manifest = text_of("systemd/container/kubernetes.yaml");
    let file = |name: &str| -> String {
        let begin = format!("  {name}: |\n");
        let (_, below) = manifest.split_once(&begin).expect("it is there");
        let inside = |line: &&str| line.is_empty() || line.starts_with("    ");
        let lines = below.lines().take_while(inside);
        let text: Vec<&str> = lines.map(|line| line.get(4..).unwrap_or("")).collect();
        text.join("\n") + "\n"
    };
    let (schedule, problems) = resolve("weekly-report", &file("weekly-report.toml"));
    assert!(schedule.is_some(), "{problems:#?}");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("triggerd.toml");
    fs::write(&path, file("triggerd.toml")).expect("a file");
    let flags = Flags {
        config: Some(path),
        ..Flags::default()
    };
    let read = Settings::read(&flags, &|_| None);
    let problems: Vec<_> = read.problems.iter().map(|it| &it.message).collect();
    let no_login = "`0.0.0.0:9464` can be reached from other machines, and the page has no login";
    assert_eq!(problems, [no_login]);
    assert!(
        manifest.contains("kind: NetworkPolicy\n"),
        "but not from there"
    );
    let settings = read.settings.expect("there are settings");
    for folder in [&settings.schedules, &settings.state] {
        let mounted = format!("mountPath: {}\n", folder.display());
        assert!(manifest.contains(&mounted), "{mounted}");
    }
}

/// What README links to is there, and what lies in systemd/ for people is linked.
#[test]
fn readme_links_to_files_that_exist() {
    let readme = readme();
    let mut linked = BTreeSet::new();
    for link in readme.split("](").skip(1) {
        let path = link.split(')').next().unwrap_or_default();
        if !path.starts_with("http") && !path.starts_with('#') {
            assert!(root().join(path).exists(), "{path}");
            linked.insert(path);
        }
    }
    for path in [
        "systemd/triggerd.service",
        "systemd/triggerd.toml",
        "systemd/user/triggerd.service",
        "systemd/container/Dockerfile",
        "systemd/container/kubernetes.yaml",
        "systemd/drop-in/before-253.conf",
        "systemd/drop-in/encrypted-token.conf",
        "systemd/drop-in/proxy.conf",
    ] {
        assert!(linked.contains(path), "{path}");
    }
}
