//! `triggerd rehearse`: the roll-out test matrix, row by row: on a sandbox of its own, or live where that
//! is asked for. It keeps no ledger, and judges only what can be seen from here.

mod lab;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::anyhow;
use jiff::Timestamp;
use serde::Serialize;

use crate::api::token::TokenId;
use crate::cli::Workplace;
use crate::sandbox;
use crate::schedule::resolve::{Context, Parsed};
use crate::schedule::{Schedule, ScheduleId, Target, TriggerId};
use lab::Lab;

/// Go through the roll-out tests, each with what is expected and what came
///
/// On a sandbox of its own: nothing leaves this machine. `--live` wakes the schedule's agent twice. None
/// of it is in the ledger. Exits with 1 if a row is not as expected.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:\n  \
    triggerd rehearse weekly-report\n  \
    triggerd rehearse weekly-report --live")]
pub(super) struct Args {
    /// The schedule whose text is sent [default: the published example's]
    schedule: Option<String>,

    /// Against the real API: this wakes the agent
    #[arg(long, requires = "schedule")]
    live: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// As `--json` prints it.
#[derive(Debug, Serialize)]
struct Rehearsed {
    /// `sandbox` or `live`.
    on: &'static str,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    test: &'static str,
    expected: String,
    got: String,
    result: Result,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Result {
    Ok,
    Mismatch,
    LeftOut,
}

const EXAMPLE: &str = include_str!("../../../schedules/demo-event.toml");

pub(super) async fn run(
    args: Args,
    workplace: &Workplace,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let mut schedule = match &args.schedule {
        Some(name) => (*workplace.catalog()?.schedule(name)?).clone(),
        None => example()?,
    };
    let lab = match args.live {
        true => Lab::live(workplace)?,
        false => Lab::on_a_sandbox(&workplace.settings().api).await?,
    };
    if lab.sandbox.is_some() {
        schedule.target = Target {
            trigger_id: TriggerId::parse(sandbox::TRIGGER_ID)?,
            token: TokenId::Default,
        };
    }
    let rows = lab
        .rows(&schedule, workplace.namespace(), workplace.now())
        .await?;
    let rehearsed = Rehearsed {
        on: match args.live {
            true => "live",
            false => "sandbox",
        },
        rows,
    };
    if let Some(sandbox) = lab.sandbox {
        sandbox.shutdown().await;
    }
    let is_as_expected = rehearsed
        .rows
        .iter()
        .all(|it| it.result != Result::Mismatch);
    if args.json {
        super::print_json(out, &rehearsed)?;
    } else {
        rehearsed.print(out)?;
    }
    Ok(match is_as_expected {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn example() -> anyhow::Result<Schedule> {
    let context = Context {
        trigger_id: Some(sandbox::TRIGGER_ID.into()),
        output_destination: Some("#rehearsal".into()),
        ..Context::default()
    };
    let id = ScheduleId::parse("demo-event")?;
    let parsed = Parsed::new(Path::new("demo-event.toml"), EXAMPLE, &context);
    let (schedule, _) = parsed.resolve(&id, None, &context, Timestamp::UNIX_EPOCH);
    schedule.ok_or_else(|| anyhow!("the example is not valid"))
}

impl Rehearsed {
    fn print(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let test = self.rows.iter().map(|it| it.test.len()).max().unwrap_or(0);
        let expected = self.rows.iter().map(|it| it.expected.len());
        let expected = expected.max().unwrap_or(0).max("expected".len());
        writeln!(
            out,
            "{:8}  {:test$}  {:expected$}  got",
            "", self.on, "expected"
        )?;
        for row in &self.rows {
            let result = match row.result {
                Result::Ok => "ok",
                Result::Mismatch => "mismatch",
                Result::LeftOut => "left out",
            };
            writeln!(
                out,
                "{result:8}  {:test$}  {:expected$}  {}",
                row.test, row.expected, row.got
            )?;
        }
        Ok(())
    }
}
