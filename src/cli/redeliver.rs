//! `triggerd redeliver`: a delivery that was rejected or expired is tried again by the running daemon.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::cli::{Workplace, trigger};
use crate::daemon::control::{Client, Ended};

/// Try a rejected or expired delivery again, with the same key and bytes
///
/// Its verdict gives way to the new one, and stays in the history.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Example:\n  triggerd redeliver weekly-report-20261123T0900")]
pub(super) struct Args {
    /// The request id, as `triggerd history` shows it
    request_id: String,

    /// Also where the API may have forgotten the key of an attempt that may have been queued
    #[arg(long)]
    force: bool,
}

pub(super) async fn run(
    args: Args,
    workplace: &Workplace,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if args.request_id.is_empty() || !args.request_id.chars().all(is_plain) {
        bail!(
            "`{}` is no request id; `triggerd history` shows what there is",
            args.request_id.escape_debug()
        );
    }
    let client = Client::new(&workplace.settings().control_socket)?;
    let request_id = &args.request_id;
    let path = format!("/redeliver/{request_id}?force={}", args.force);
    let ended: Ended = client
        .deliver(&path, trigger::overhear)
        .await
        .with_context(|| format!("`{request_id}` can't be delivered again"))?;
    trigger::tell(&ended, out)
}
