//! The real thing under faults: the release daemon and the local API in processes of their own, and a judge that
//! computes from the schedules alone what was owed. It prints a row per fault, and ends with 1 where a verdict is not 0.
//!
//!     cargo test --test chaos -- --short             # under three minutes: what CI runs
//!     cargo test --test chaos -- --long --seed 7     # the whole table
//!     cargo test --test chaos -- --long --only kill
//!
//! Where `TRIGGERD_CHAOS_KEEP` is set, the folder of a run with findings is kept and named.
//!
//! ```text
//! faults ─► world ─► daemon, api      what is done, to whom
//!             │          │
//!           story     evidence        what was done; what came of it
//!             │          │
//!     oracle, owed ──► judge ─► row
//! ```

#![expect(clippy::print_stdout, reason = "the table is what it is for")]

mod api;
mod daemon;
mod faults;
mod judge;
mod oracle;
mod owed;
mod random;
mod row;
mod story;
mod tmpfs;
mod world;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use faults::{Context, FAULTS, Fault, Form};
use row::Row;

struct Asked {
    form: Form,
    seed: u64,
    only: Vec<String>,
    lanes: usize,
    /// The build to judge, in place of the one that is made.
    daemon: Option<PathBuf>,
}

fn asked() -> Result<Asked, String> {
    let mut asked = Asked {
        form: Form::Short,
        seed: 1,
        only: Vec::new(),
        lanes: 0,
        daemon: None,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("`{word}` needs a value"));
        let number = |text: String| text.parse().map_err(|_| format!("`{text}` is no number"));
        match word.as_str() {
            "--short" => asked.form = Form::Short,
            "--long" => asked.form = Form::Long,
            "--seed" => asked.seed = number(value()?)?,
            "--lanes" => asked.lanes = number(value()?)? as usize,
            "--daemon" => asked.daemon = Some(value()?.into()),
            "--only" => asked.only.push(value()?),
            _ => {
                return Err(format!(
                    "`{word}` is not known: --short, --long, --seed N, --lanes N, --only FAULT, --daemon PATH"
                ));
            }
        }
    }
    for name in &asked.only {
        if !FAULTS.iter().any(|fault| fault.name == name) {
            let known: Vec<&str> = FAULTS.iter().map(|fault| fault.name).collect();
            return Err(format!("no fault is called `{name}`: {}", known.join(", ")));
        }
    }
    if asked.lanes == 0 {
        asked.lanes = match asked.form {
            Form::Short => 10,
            Form::Long => 12,
        };
    }
    Ok(asked)
}

fn main() -> ExitCode {
    let asked = match asked() {
        Ok(asked) => asked,
        Err(problem) => {
            println!("{problem}");
            return ExitCode::from(2);
        }
    };
    let debug = PathBuf::from(env!("CARGO_BIN_EXE_triggerd"));
    let context = Context {
        form: asked.form,
        seed: asked.seed,
        release: asked.daemon.clone().unwrap_or_else(|| release(&debug)),
        debug,
    };
    let wanted =
        |fault: &&Fault| asked.only.is_empty() || asked.only.iter().any(|it| it == fault.name);
    let faults: Vec<&Fault> = FAULTS.iter().filter(wanted).collect();
    println!(
        "seed {}, {} lanes, {}",
        asked.seed,
        asked.lanes,
        context.release.display()
    );

    let started = Instant::now();
    // What measures to the millisecond has the machine to itself.
    let (alone, together): (Vec<&Fault>, Vec<&Fault>) =
        faults.iter().partition(|fault| fault.alone);
    let mut rows = run(&context, &alone, 1);
    rows.extend(run(&context, &together, asked.lanes));

    println!("\n{}", row::header());
    let mut good = !faults.is_empty();
    for fault in &faults {
        let of_fault = |(name, _): &(&str, Row)| *name == fault.name;
        let rows: Vec<Row> = rows
            .extract_if(.., |it| of_fault(it))
            .map(|it| it.1)
            .collect();
        let row = rows.into_iter().reduce(Row::and).unwrap_or_default();
        println!("{}", row.print(fault.name));
        for problem in &row.problems {
            println!("    {}", problem.chars().take(600).collect::<String>());
        }
        good &= row.is_good();
    }
    println!("\n{:.0} s", started.elapsed().as_secs_f64());
    match good {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Every part of every fault, so many at a time.
fn run<'a>(context: &Context, faults: &[&'a Fault], lanes: usize) -> Vec<(&'a str, Row)> {
    let parts = |fault: &&'a Fault| {
        let fault = *fault;
        (0..(fault.parts)(context.form)).map(move |part| (fault, part))
    };
    let waiting: Mutex<VecDeque<(&Fault, usize)>> =
        Mutex::new(faults.iter().flat_map(parts).collect());
    let rows = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..lanes {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().expect("no panic").pop_front();
                    let Some((fault, part)) = next else { return };
                    let row = catch_unwind(AssertUnwindSafe(|| (fault.run)(context, part)));
                    let row = row.unwrap_or_else(|panic| Row::failed(said(&*panic)));
                    println!("{}", row.print(&format!("{} {part}", fault.name)));
                    rows.lock().expect("no panic").push((fault.name, row));
                }
            });
        }
    });
    rows.into_inner().expect("no panic")
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or(panic.downcast_ref::<&str>().copied());
    format!("it panicked: {}", text.unwrap_or("without words"))
}

/// The daemon that is judged: built as it is shipped, beside the build that the tests use.
fn release(debug: &Path) -> PathBuf {
    let target = debug.ancestors().nth(2).expect("target/PROFILE/triggerd");
    let mut build = Command::new(env!("CARGO"));
    // What cargo tells a test of its package would make build scripts run anew, and nearly all be compiled again.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            build.env_remove(&*name);
        }
    }
    let built = build
        .args([
            "build",
            "--release",
            "--locked",
            "--quiet",
            "--bin",
            "triggerd",
        ])
        .arg("--target-dir")
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("cargo runs");
    assert!(built.success(), "the release build fails");
    target.join("release/triggerd")
}
