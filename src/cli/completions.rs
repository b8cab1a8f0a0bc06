//! `triggerd completions`: what a shell needs to complete commands and options. It prints, and reads no file.

use std::io::Write;
use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;

/// Print a shell's completion script
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:\n  \
    triggerd completions bash > ~/.local/share/bash-completion/completions/triggerd\n  \
    triggerd completions zsh > /usr/local/share/zsh/site-functions/_triggerd\n  \
    triggerd completions fish > ~/.config/fish/completions/triggerd.fish")]
pub(super) struct Args {
    /// Whose
    shell: Shell,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    // It is made in memory, since the generator panics where it can't write.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "triggerd", &mut script);
    out.write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}
