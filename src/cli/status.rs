//! `triggerd status`: how the running daemon stands, for people and for monitors.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use crate::cli::Workplace;
use crate::daemon::control::Client;
use crate::daemon::status::{LastStatus, ScheduleStatus, Status};
use crate::render::{counted, utc};
use crate::schedule::defaults;

/// Show how the running daemon stands
///
/// Exits with 1 if something needs attention: a refused token or trigger, an error in a file, a run
/// that waits, a newest verdict that is bad.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Example:\n  triggerd status --json")]
pub(super) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(
    args: Args,
    workplace: &Workplace,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let client = Client::new(&workplace.settings().control_socket)?;
    let status: Status = client.get("/status").await?;
    match args.json {
        true => {
            super::print_json(out, &status)?;
        }
        false => print(&status, out)?,
    }
    Ok(match status.attention.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn print(status: &Status, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(
        out,
        "triggerd {}: {}; deliveries: {} open, {} in flight; {} not ended",
        status.version,
        counted(status.schedules.len(), "schedule"),
        status.open_deliveries,
        status.in_flight,
        counted(status.runs.len(), "run"),
    )?;
    let bold = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let (on, off) = if bold {
        ("\x1b[1;31m", "\x1b[0m")
    } else {
        ("", "")
    };
    for what in &status.attention {
        writeln!(out, "{on}attention:{off} {what}")?;
    }
    for node in &status.nodes {
        writeln!(
            out,
            "node {} on {}{}: triggerd {}, {}, clock {:+.2} s",
            node.node,
            node.host,
            if node.this { " (this one)" } else { "" },
            node.version,
            counted(
                usize::try_from(node.schedules).unwrap_or(usize::MAX),
                "schedule"
            ),
            node.clock_offset_ms as f64 / 1000.0,
        )?;
    }
    for pause in &status.pauses {
        write!(
            out,
            "paused: {}",
            pause.schedule.as_deref().unwrap_or("all")
        )?;
        match pause.until {
            Some(until) => write!(out, " until {}", utc(until))?,
            None => write!(out, " until it is resumed")?,
        }
        match &pause.reason {
            Some(reason) => writeln!(out, " ({reason})")?,
            None => writeln!(out)?,
        }
    }
    for breaker in &status.breakers {
        write!(
            out,
            "breaker: {} {}, {}, {} waiting",
            breaker.breaker, breaker.of, breaker.why, breaker.waiting
        )?;
        if let Some(at) = breaker.next_at {
            write!(out, ", tried at {}", utc(at))?;
        }
        match breaker.detail.is_empty() {
            true => writeln!(out)?,
            false => writeln!(out, ", or at once by `triggerd trigger NAME`")?,
        }
    }
    for problem in &status.problems {
        writeln!(out, "\n{}", problem.drawn)?;
    }
    let longest = |of: fn(&ScheduleStatus) -> usize| status.schedules.iter().map(of).max();
    let names = longest(|it| it.schedule.len()).unwrap_or_default();
    let nexts = longest(|it| next(it).len()).unwrap_or_default();
    if !status.schedules.is_empty() {
        writeln!(out)?;
    }
    for schedule in &status.schedules {
        let last = schedule.last.as_ref().map(last).unwrap_or_default();
        let line = format!(
            "{:names$}  {:nexts$}  {last}",
            schedule.schedule,
            next(schedule),
        );
        writeln!(out, "{}", line.trim_end())?;
    }
    for elsewhere in &status.elsewhere {
        match elsewhere.node {
            Some(node) => writeln!(out, "{}  on node {node}", elsewhere.schedule)?,
            None => writeln!(out, "{}  on its way to a node", elsewhere.schedule)?,
        }
    }
    Ok(())
}

fn next(schedule: &ScheduleStatus) -> String {
    match (&schedule.next_local, schedule.next_at) {
        _ if !schedule.enabled => "disabled".to_owned(),
        _ if schedule.paused => "paused".to_owned(),
        (_, Some(at)) if schedule.timezone == defaults::TIMEZONE => utc(at),
        (Some(local), Some(at)) => format!("{local}  {}", utc(at)),
        _ => "never again".to_owned(),
    }
}

fn last(last: &LastStatus) -> String {
    let name = match &last.request_id {
        Some(request_id) => request_id.clone(),
        None => utc(last.scheduled_at),
    };
    let words = [Some(&last.verdict), last.reason.as_ref()];
    let run = last.run.as_ref().map(|run| format!("run {run}"));
    let words = words.into_iter().flatten().chain(&run).chain(&last.result);
    let words: Vec<&str> = words.map(String::as_str).collect();
    format!("{} {name}", words.join(", "))
}
