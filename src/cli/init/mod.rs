//! `triggerd init`: files to begin with. It writes what is not there, and overwrites nothing.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;

use crate::schedule::schema::schema;

/// Write a commented triggerd.toml and a first schedule, which does not fire yet
///
/// What is there already is left alone.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Example:\n  triggerd init my-schedules")]
pub(super) struct Args {
    /// The folder, made if need be
    #[arg(default_value = ".")]
    dir: PathBuf,
}

const SETTINGS: &str = include_str!("triggerd.toml");
const HELLO: &str = include_str!("hello.toml");

pub(super) fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let schedules = args.dir.join("schedules");
    fs::create_dir_all(&schedules)
        .with_context(|| format!("`{}` can't be made", schedules.display()))?;
    let schema = serde_json::to_string_pretty(&schema())? + "\n";
    let files = [
        (args.dir.join("triggerd.toml"), SETTINGS),
        (schedules.join("hello.toml"), HELLO),
        (schedules.join("schema.json"), &schema),
    ];
    let mut wrote = false;
    for (path, text) in files {
        let is_new = write_new(&path, text)?;
        wrote |= is_new;
        let said = match is_new {
            true => "wrote",
            false => "left alone, since it is there:",
        };
        writeln!(out, "{said} {}", path.display())?;
    }
    let config = match args.dir == Path::new(".") {
        true => String::new(),
        false => format!(" --config {}", args.dir.join("triggerd.toml").display()),
    };
    let next = match wrote {
        true => "Put your agent's trigger id",
        false => {
            "Nothing was written: all of it is there already. If it is still to be done, put your agent's trigger id"
        }
    };
    writeln!(
        out,
        "\n{next} into triggerd.toml, write `enabled = true` into hello.toml, and then:\n\n  \
         triggerd check{config}\n  \
         triggerd preview hello{config}\n  \
         WORKSPACE_AGENT_ACCESS_TOKEN=at-… triggerd run{config}"
    )?;
    Ok(ExitCode::SUCCESS)
}

/// Whether it was not there, and now is.
fn write_new(path: &Path, text: &str) -> anyhow::Result<bool> {
    let made = OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = match made {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
        made => made.with_context(|| format!("`{}` can't be made", path.display()))?,
    };
    file.write_all(text.as_bytes())
        .with_context(|| format!("`{}` can't be written", path.display()))?;
    Ok(true)
}
