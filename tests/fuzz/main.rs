//! Whatever people and the API write: no panic, an answer that holds together, and bounds on memory
//! and work. A seeded mutator goes over the files of tests/files; `cargo test --release --test fuzz --
//! 10000000 cron` makes ten million inputs for one target, and without a number a few thousand each.
//! What was found is kept among those files or as a case beside the code.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use peak_alloc::PeakAlloc;

mod mutate;
mod targets;

use mutate::Random;
use targets::{TARGETS, Target};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Of each target in a plain `cargo test`.
const FEW: u64 = 2_000;

/// No input costs more than this at a time.
const MOST_MEMORY: usize = 16 << 20;

/// No search of a cron expression takes more steps; counted in debug builds.
const MOST_STEPS: u64 = 2_000;

fn main() -> ExitCode {
    // Options are the test runner's own, and mean nothing here.
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let inputs = words.iter().find_map(|word| word.parse().ok());
    let names: Vec<&String> = words
        .iter()
        .filter(|word| word.parse::<u64>().is_err())
        .collect();
    std::panic::set_hook(Box::new(|_| {}));
    let mut held = true;
    for target in TARGETS {
        if names.is_empty() || names.iter().any(|name| target.name.contains(*name)) {
            held &= run(&target, inputs.unwrap_or(FEW));
        }
    }
    if held {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The most that one input took, and which it was.
#[derive(Default)]
struct Worst {
    memory: usize,
    steps: u64,
    time: Duration,
    slowest: Vec<u8>,
}

fn run(target: &Target, inputs: u64) -> bool {
    let corpus = (target.corpus)();
    assert!(corpus.len() >= 10, "{}: {}", target.name, corpus.len());
    let mut check = (target.check)();
    let mut worst = Worst::default();
    let began = Instant::now();
    let mut taken = 0;
    for seed in 0..inputs {
        let input = corpus.input(&mut Random::new(seed));
        MEMORY.reset_peak_usage();
        let before = MEMORY.current_usage();
        let cpu = cpu_time();
        let checked = catch_unwind(AssertUnwindSafe(|| check(&input, seed)));
        let time = cpu_time().saturating_sub(cpu);
        let memory = MEMORY.peak_usage().saturating_sub(before);
        let steps = triggerd::schedule::cron::steps::taken();
        let wrong = match checked {
            Err(panic) => Some(words_of(panic.as_ref())),
            Ok(Err(wrong)) => Some(wrong),
            Ok(Ok(_)) if memory > MOST_MEMORY => Some(format!("{memory} bytes of memory")),
            Ok(Ok(_)) if steps > MOST_STEPS => Some(format!("{steps} steps")),
            Ok(Ok(was_taken)) => {
                taken += u64::from(was_taken);
                None
            }
        };
        if let Some(wrong) = wrong {
            say(&format!(
                "{}, input {seed}: {wrong}\n{}",
                target.name,
                input.escape_ascii()
            ));
            return false;
        }
        worst.memory = worst.memory.max(memory);
        worst.steps = worst.steps.max(steps);
        if time > worst.time {
            worst.time = time;
            worst.slowest = input;
        }
    }
    let slowest = worst.slowest.escape_ascii().to_string();
    say(&format!(
        "{}: {inputs} inputs, {taken} of them valid, in {:.0?}; the most for one: {} KiB, {:.1?}{} ({})",
        target.name,
        began.elapsed(),
        worst.memory / 1024,
        worst.time,
        match worst.steps {
            0 => String::new(),
            steps => format!(", {steps} steps"),
        },
        slowest.chars().take(200).collect::<String>(),
    ));
    // A mutator that breaks everything has tried nothing.
    inputs < 1_000 || taken * 100 > inputs
}

/// Of this thread: what other programs do beside it does not count.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.try_into().unwrap_or(0),
        time.tv_nsec.try_into().unwrap_or(0),
    )
}

fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let words = panic.downcast_ref::<String>().map(String::as_str);
    let words = words.or(panic.downcast_ref::<&str>().copied());
    format!("a panic: {}", words.unwrap_or("without words"))
}

#[expect(clippy::print_stdout, reason = "it is its own test runner")]
fn say(line: &str) {
    println!("{line}");
}
