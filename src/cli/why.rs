//! `triggerd why`: what became of one occurrence, and why. Where the ledger can't be read, the daemon is asked.

use std::io::Write;
use std::process::ExitCode;

use crate::cli::{Past, Workplace, recalled};
use crate::daemon::control::{AskError, Client};
use crate::ledger::{LedgerError, Reader};
use crate::past::when::When;
use crate::past::why::{Answer, Case};
use crate::schedule::ScheduleId;

/// Say why an occurrence did or did not fire
///
/// From the ledger, and from the file where the ledger has nothing to say.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:\n  \
    triggerd why weekly-report 2026-11-23T09:00\n  \
    triggerd why weekly-report 2026-11-23T08:00:00Z --json")]
pub(super) struct Args {
    /// The schedule
    schedule: String,

    /// When it was due: RFC 3339, or local to the schedule's zone
    #[arg(value_parser = a_time)]
    time: String,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn a_time(text: &str) -> Result<String, String> {
    text.parse::<When>().map(|_| text.to_owned())
}

pub(super) async fn run(
    args: &Args,
    workplace: &Workplace,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let id = ScheduleId::parse(&args.schedule)?;
    let time: When = args.time.parse().map_err(anyhow::Error::msg)?;
    let answer = match Past::open(workplace).await {
        Ok(Past::Ledger(reader)) => case(&id, workplace, Some(reader))?.answer(time)?,
        Ok(Past::Daemon(client)) => ask(&id, &args.time, &client).await?,
        Err(LedgerError::Missing { .. }) => case(&id, workplace, None)?.answer(time)?,
        Err(error) => return Err(error.into()),
    };
    if args.json {
        super::print_json(out, &answer)?;
    } else {
        answer.print(out)?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn ask(id: &ScheduleId, time: &str, client: &Client) -> Result<Answer, AskError> {
    // What a time may hold beside digits and letters means something else in a query.
    let time = time.replace('+', "%2B").replace(' ', "%20");
    client.get(&format!("/why/{id}?time={time}")).await
}

fn case(id: &ScheduleId, workplace: &Workplace, ledger: Option<Reader>) -> anyhow::Result<Case> {
    let settings = workplace.settings();
    let in_folder = workplace
        .catalog()
        .and_then(|catalog| catalog.schedule(id.as_str()));
    let is_there = settings
        .schedules
        .join(format!("{id}.toml"))
        .symlink_metadata()
        .is_ok();
    let (schedule, file) = match in_folder {
        Ok(schedule) => (schedule, None),
        Err(error) => {
            let recalled = match &ledger {
                Some(ledger) => recalled(id, workplace, ledger)?,
                None => None,
            };
            let file = match is_there {
                true => {
                    "its file has a problem (`triggerd check`); this is by its last good version"
                }
                false => "its file is not in the folder; this is by its last good version",
            };
            (recalled.ok_or(error)?, Some(file))
        }
    };
    Ok(Case {
        schedule,
        file,
        ledger,
        now: workplace.now(),
        state: settings.state.display().to_string(),
        retention: settings.retention,
        namespace: workplace.namespace().clone(),
    })
}
