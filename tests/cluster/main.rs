//! Several nodes on one database under faults: release daemons, the local API and a PostgreSQL server
//! in processes of their own, and the judge of `tests/chaos`. It prints a row per fault, and ends with
//! 1 where a verdict is not 0.
//!
//!     cargo test --test cluster                      # about three minutes
//!     cargo test --test cluster -- --long --seed 7
//!     cargo test --test cluster -- --only kill
//!     cargo test --release --test cluster -- --burst --rows 10000000

#![expect(clippy::print_stdout, reason = "the table is what it is for")]
#![allow(
    dead_code,
    reason = "the court of tests/chaos has more than is needed here"
)]

#[path = "../chaos/api.rs"]
mod api;
mod by_hand;
#[path = "../chaos/daemon.rs"]
mod daemon;
mod faults;
mod fence;
#[path = "../chaos/judge.rs"]
mod judge;
mod measure;
mod nodes;
#[path = "../chaos/oracle.rs"]
mod oracle;
#[path = "../chaos/owed.rs"]
mod owed;
#[path = "../chaos/random.rs"]
mod random;
#[path = "../chaos/row.rs"]
mod row;
mod server;
#[path = "../chaos/story.rs"]
mod story;
#[path = "../chaos/tmpfs.rs"]
mod tmpfs;
mod way_in;
#[path = "../chaos/world.rs"]
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use faults::FAULTS;
use row::Row;

/// What is asked for on the command line.
pub(crate) struct Context {
    pub(crate) is_long: bool,
    pub(crate) seed: u64,
    pub(crate) daemon: PathBuf,
    /// Instead of the faults: measured with ten thousand due at once.
    pub(crate) is_burst: bool,
    /// The same, with so many rows in the ledger.
    pub(crate) measured: Option<u64>,
}

fn main() -> ExitCode {
    let (context, only) = match asked() {
        Ok(asked) => asked,
        Err(problem) => {
            println!("{problem}");
            return ExitCode::from(2);
        }
    };
    let wanted = |name: &str| only.is_empty() || only.iter().any(|it| it == name);
    println!("seed {}, {}", context.seed, context.daemon.display());
    if context.is_burst {
        measure::burst(&context);
    }
    if let Some(rows) = context.measured {
        measure::many_rows(rows);
    }
    if context.is_burst || context.measured.is_some() {
        return ExitCode::SUCCESS;
    }
    let started = Instant::now();
    let mut rows = Vec::new();
    for (name, fault) in FAULTS.iter().filter(|(name, _)| wanted(name)) {
        let row = catch_unwind(AssertUnwindSafe(|| fault(&context)));
        let row = row.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            Row::failed(text.unwrap_or_else(|| "it panicked".to_owned()))
        });
        println!("{}", row.print(name));
        rows.push((name, row));
    }
    println!("\n{}", row::header());
    for (name, row) in &rows {
        println!("{}", row.print(name));
        for problem in &row.problems {
            println!("    {}", problem.chars().take(600).collect::<String>());
        }
    }
    println!("\n{:.0} s", started.elapsed().as_secs_f64());
    match !rows.is_empty() && rows.iter().all(|(_, row)| row.is_good()) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn asked() -> Result<(Context, Vec<String>), String> {
    let mut context = Context {
        is_long: false,
        seed: 1,
        daemon: env!("CARGO_BIN_EXE_triggerd").into(),
        is_burst: false,
        measured: None,
    };
    let mut only = Vec::new();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("`{word}` needs a value"));
        match word.as_str() {
            "--long" => context.is_long = true,
            "--seed" => {
                let seed = value()?;
                context.seed = seed.parse().map_err(|_| format!("`{seed}` is no number"))?;
            }
            "--burst" => context.is_burst = true,
            "--rows" => {
                let rows = value()?;
                let rows = rows.parse().map_err(|_| format!("`{rows}` is no number"))?;
                context.measured = Some(rows);
            }
            "--daemon" => {
                let path = value()?;
                context.daemon =
                    std::path::absolute(&path).map_err(|error| format!("`{path}`: {error}"))?;
            }
            "--only" => only.push(value()?),
            _ => {
                return Err(format!(
                    "`{word}` is not known: --long, --seed N, --only FAULT, --daemon PATH, --burst, --rows N"
                ));
            }
        }
    }
    let names: Vec<&str> = FAULTS.iter().map(|(name, _)| *name).collect();
    match only.iter().find(|it| !names.contains(&it.as_str())) {
        Some(name) => Err(format!("no fault is called `{name}`: {}", names.join(", "))),
        None => Ok((context, only)),
    }
}
