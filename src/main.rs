//! Parses the command line, calls the library and maps what it says to an exit code.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use triggerd::cli::{self, Cli};
use triggerd::telemetry;

/// A burst takes a fifth less processor time than with glibc's allocator, whose arenas contend where
/// one thread frees what another allocated. What a burst or a start took goes back to the system within
/// half a minute, by threads of its own that sleep otherwise.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let mut out = std::io::stdout();
    match cli::run(Cli::parse(), &mut out) {
        Ok(code) => code,
        Err(error) if cli::reader_has_gone(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to tell it to if standard error is closed.
            let _ = writeln!(std::io::stderr(), "{}", telemetry::last_words(&error));
            ExitCode::FAILURE
        }
    }
}
