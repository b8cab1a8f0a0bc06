//! `triggerd history`: what the ledger says of the past, as lines or as JSON. It reads beside a
//! running daemon and never writes; where the ledger can't be read, the daemon is asked.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::cli::{Past, Workplace};
use crate::ledger::history::{Filter, Position};
use crate::past::{Page, Row};
use crate::schedule::ScheduleId;

/// Show what became of each occurrence, the newest last
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:\n  \
    triggerd history weekly-report\n  \
    triggerd history --json --follow | jq 'select(.verdict != \"accepted\")'")]
pub(super) struct Args {
    /// One schedule; all if none is named
    schedule: Option<String>,

    /// How many entries, the newest
    #[arg(long, short = 'n', default_value_t = 50)]
    count: usize,

    /// Print JSON, an object a line
    #[arg(long)]
    json: bool,

    /// Then go on with what is recorded, until stopped
    #[arg(long, short)]
    follow: bool,
}

/// How often the ledger is looked at while it is followed.
const LOOK_EVERY: Duration = Duration::from_millis(250);

pub(super) async fn run(
    args: &Args,
    workplace: &Workplace,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let schedule = match &args.schedule {
        Some(name) => Some(ScheduleId::parse(name)?),
        None => None,
    };
    let past = Past::open(workplace).await?;
    let filter = Filter {
        schedule: schedule.clone(),
        limit: args.count,
    };
    let page = newest(&past, &filter, workplace).await?;
    if let Some(id) = schedule.as_ref().filter(|_| page.rows.is_empty()) {
        is_known(id, &past, workplace)?;
    }
    let mut position = page.position;
    print(&page.rows, args.json, out)?;
    if !args.follow {
        return Ok(ExitCode::SUCCESS);
    }
    // What is there by now was told above.
    let before = after(&past, position, schedule.as_ref(), workplace).await?;
    let before = before.positions.into_iter();
    let mut told: BTreeSet<Position> = before.filter(|at| *at <= position).collect();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let page = after(&past, position, schedule.as_ref(), workplace).await?;
        position = page.position;
        let seen = page.positions.iter().copied().collect();
        let new = page.rows.into_iter().zip(page.positions);
        let new = new.filter(|(_, at)| !told.contains(at));
        let rows: Vec<Row> = new.map(|(row, _)| row).collect();
        told = seen;
        if print(&rows, args.json, out)
            .and_then(|()| Ok(out.flush()?))
            .is_err()
        {
            // Whoever read it has gone: that is how following ends in a pipe.
            return Ok(ExitCode::SUCCESS);
        }
    }
}

async fn newest(past: &Past, filter: &Filter, workplace: &Workplace) -> anyhow::Result<Page> {
    Ok(match past {
        Past::Ledger(reader) => Page::newest(reader, filter, workplace.now())?,
        Past::Daemon(client) => {
            let limit = filter.limit;
            let only = only(filter.schedule.as_ref());
            client.get(&format!("/history?limit={limit}{only}")).await?
        }
    })
}

async fn after(
    past: &Past,
    position: Position,
    schedule: Option<&ScheduleId>,
    workplace: &Workplace,
) -> anyhow::Result<Page> {
    Ok(match past {
        Past::Ledger(reader) => Page::after(reader, position, schedule, workplace.now())?,
        Past::Daemon(client) => {
            let position = serde_json::to_string(&position)?;
            let only = only(schedule);
            let path = format!("/history?after={position}{only}");
            client.get(&path).await?
        }
    })
}

fn only(schedule: Option<&ScheduleId>) -> String {
    schedule.map_or_else(String::new, |id| format!("&schedule={id}"))
}

/// A name that is in neither the folder nor the ledger is a mistake.
fn is_known(id: &ScheduleId, past: &Past, workplace: &Workplace) -> anyhow::Result<()> {
    let Past::Ledger(reader) = past else {
        // It says so itself.
        return Ok(());
    };
    if reader.schedule(id)?.is_some() {
        return Ok(());
    }
    let in_folder = workplace
        .catalog()
        .map(|catalog| catalog.schedule(id.as_str()));
    match in_folder {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error),
        Err(_) => bail!("the ledger knows no schedule `{id}`"),
    }
}

fn print(rows: &[Row], json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    for row in rows {
        if json {
            serde_json::to_writer(&mut *out, &row)?;
            writeln!(out)?;
        } else {
            row.print(out).context("the answer can't be written")?;
        }
    }
    Ok(())
}
