//! `triggerd schema`: what editors need to complete and check the files. It prints, and reads no file.

use std::io::Write;
use std::process::ExitCode;

use crate::{schedule, settings};

/// Print the JSON Schema of a schedule file, for editors
///
/// An editor that knows TOML (taplo, Even Better TOML) takes it from a first line such as
/// `#:schema ./schema.json`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:\n  \
    triggerd schema > schedules/schema.json\n  \
    triggerd schema --settings > triggerd.schema.json")]
pub(super) struct Args {
    /// Of triggerd.toml instead
    #[arg(long)]
    settings: bool,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let schema = match args.settings {
        true => settings::schema::schema(),
        false => schedule::schema::schema(),
    };
    super::print_json(out, &schema)?;
    Ok(ExitCode::SUCCESS)
}
