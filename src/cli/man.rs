//! `triggerd man`: the manual pages, made of what `--help` says. It reads no file.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::CommandFactory;
use clap_mangen::Man;

use crate::cli::Cli;
use crate::render::counted;

/// Write the manual pages into a folder, or print the first one
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:\n  \
    triggerd man /usr/local/share/man/man1\n  \
    triggerd man | man -l -")]
pub(super) struct Args {
    /// The folder, made if need be [default: `triggerd(1)` is printed]
    dir: Option<PathBuf>,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let Some(dir) = &args.dir else {
        Man::new(command).render(out)?;
        return Ok(ExitCode::SUCCESS);
    };
    fs::create_dir_all(dir).with_context(|| format!("`{}` can't be made", dir.display()))?;
    let subcommands = command.get_subcommands().cloned();
    let pages: Vec<_> = std::iter::once(command.clone())
        .chain(subcommands)
        .collect();
    for page in &pages {
        let page = Man::new(page.clone());
        let path = dir.join(page.get_filename());
        let mut text = Vec::new();
        page.render(&mut text)?;
        fs::write(&path, text).with_context(|| format!("`{}` can't be written", path.display()))?;
    }
    writeln!(
        out,
        "{} in {}; `man triggerd` shows the first where the folder is in man's path",
        counted(pages.len(), "page"),
        dir.display()
    )?;
    Ok(ExitCode::SUCCESS)
}
