//! "Ten thousand at nine o'clock": N schedules due at the same second, and how late each contender is,
//! beside a floor that no scheduler can be under. All run in turn on this machine against one sink, so
//! that what counts is the ratio within a run. See README, "How fast".

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

mod contender;
mod daemon;
mod pages;
mod process;
mod report;
mod rounds;
mod sink;
mod upkeep;

/// What is measured.
#[derive(Debug, Parser)]
struct Options {
    /// How many schedules are due at once
    #[arg(long, value_delimiter = ',', default_values_t = [1, 100, 1_000, 10_000])]
    n: Vec<usize>,
    /// How long the API takes to answer, in milliseconds
    #[arg(long, value_delimiter = ',', default_values_t = [0, 200, 4_000])]
    api: Vec<u64>,
    #[arg(long, default_value_t = 5)]
    runs: usize,
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = contender::Kind::value_variants().to_vec())]
    only: Vec<contender::Kind>,
    /// How many are loaded for what costs nothing: idling, starting, one edit
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1_000, 10_000, 100_000])]
    loaded: Vec<usize>,
    /// How long to look at an idle daemon, in seconds
    #[arg(long, default_value_t = 60)]
    idle: u64,
    /// Where burst.json and burst.svg go
    #[arg(long, default_value = "target/burst")]
    out: PathBuf,
    /// cargo says so
    #[arg(long, hide = true)]
    bench: bool,
    #[command(subcommand)]
    role: Option<Role>,
}

/// A contender is a process of its own, so that its memory and CPU time are its own.
#[derive(Debug, Subcommand)]
enum Role {
    #[command(hide = true)]
    Floor(contender::Task),
    #[command(hide = true)]
    Reqwest(contender::Task),
    #[command(hide = true)]
    Scheduler {
        #[arg(long)]
        channel: Option<usize>,
        #[command(flatten)]
        task: contender::Task,
    },
}

fn main() -> anyhow::Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let options = Options::parse();
    match &options.role {
        Some(Role::Floor(task)) => contender::floor(task),
        Some(Role::Reqwest(task)) => contender::reqwest(task),
        Some(Role::Scheduler { channel, task }) => contender::scheduler(task, *channel),
        None => {
            let cells = rounds::run(&options)?;
            let upkeep = upkeep::run(&options)?;
            report::write(&options, &cells, &upkeep)?;
            let broken: Vec<_> = cells
                .iter()
                .filter_map(rounds::Cell::broken_promise)
                .collect();
            anyhow::ensure!(broken.is_empty(), broken.join("\n"));
            Ok(())
        }
    }
}
