//! `triggerd pause` and `triggerd resume`: asked of the running daemon, which keeps it over restarts.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;

use crate::cli::{Workplace, length};
use crate::daemon::control::{AskError, Client, PauseOrder};
use crate::plan::delivery::later;
use crate::render::utc;

/// Stop the firing of a schedule, or of all, until it is resumed
///
/// What falls due meanwhile is `skipped: paused`, and resuming starts no stampede. Deliveries that are
/// open wait too, within their deadlines. It survives restarts. `triggerd trigger` passes it.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:\n  \
    triggerd pause weekly-report --for 2h --reason 'the wiki is moving'\n  \
    triggerd pause --all")]
pub(super) struct PauseArgs {
    #[command(flatten)]
    what: What,

    /// Resume by itself after this long
    #[arg(long = "for", value_name = "LENGTH", value_parser = length)]
    length: Option<Duration>,

    /// For whoever looks at it later
    #[arg(long)]
    reason: Option<String>,
}

/// Go on with the firing of a schedule, or of all, that was paused
///
/// A pause of all is ended by `--all` alone.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Example:\n  triggerd resume weekly-report")]
pub(super) struct ResumeArgs {
    #[command(flatten)]
    what: What,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct What {
    /// The schedule
    schedule: Option<String>,

    /// All schedules
    #[arg(long)]
    all: bool,
}

pub(super) async fn pause(
    args: PauseArgs,
    workplace: &Workplace,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let until = args.length.map(|length| later(workplace.now(), length));
    let order = PauseOrder {
        schedule: args.what.schedule,
        until,
        reason: args.reason,
    };
    let client = Client::new(&workplace.settings().control_socket)?;
    match (client.order("/pause", &order).await, &order.schedule) {
        (Err(AskError::NotFound(_)), Some(name)) => {
            bail!(
                "the running daemon has no schedule `{name}` in force; `triggerd status` names them"
            )
        }
        (done, _) => done?,
    }
    write!(out, "paused {}", name_of(&order))?;
    match until {
        Some(until) => writeln!(out, " until {}", utc(until))?,
        None => writeln!(out, " until it is resumed")?,
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn resume(
    args: ResumeArgs,
    workplace: &Workplace,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let order = PauseOrder {
        schedule: args.what.schedule,
        until: None,
        reason: None,
    };
    let client = Client::new(&workplace.settings().control_socket)?;
    match client.order("/resume", &order).await {
        Err(AskError::NotFound(_)) => bail!(
            "{} is not paused by itself; `triggerd status` shows every pause",
            name_of(&order)
        ),
        done => done?,
    }
    writeln!(out, "resumed {}", name_of(&order))?;
    Ok(ExitCode::SUCCESS)
}

fn name_of(order: &PauseOrder) -> String {
    match &order.schedule {
        Some(name) => format!("`{name}`"),
        None => "all schedules".to_owned(),
    }
}
