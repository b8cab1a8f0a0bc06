//! SIGSTOP over due times, then SIGCONT: caught up with as after a restart.

use std::time::Duration;

use jiff::SignedDuration;
use rustix::process::Signal;

use super::{Context, Fault, Form, LOADED, mixed};
use crate::row::Row;
use crate::story::{CatchUp, Of, Plan};
use crate::world::World;

pub(crate) const FAULT: Fault = Fault {
    name: "stop-and-continue",
    alone: false,
    parts: |form| match form {
        Form::Short => 2,
        Form::Long => 3,
    },
    run,
};

fn run(context: &Context, part: usize) -> Row {
    let stops: &[u64] = match (context.form, part) {
        (Form::Short, 0) => &[1, 6],
        (_, 0) => &[1, 1, 1, 6, 6, 1, 1],
        (_, 1) => &[61],
        (_, _) => &[20 * 60],
    };
    let mut world = World::new(&context.release, LOADED);
    match part {
        0 => mixed().iter().for_each(|plan| world.schedule(plan)),
        _ => sparse().iter().for_each(|plan| world.schedule(plan)),
    }
    let daemon = world.first();
    world.pass(Duration::from_secs(4));
    for length in stops {
        let from = world.now();
        daemon.signal(Signal::STOP);
        world.pass(Duration::from_secs(*length));
        daemon.signal(Signal::CONT);
        world.trouble(from, SignedDuration::ZERO, Of::Daemon);
        world.pass(Duration::from_secs(4));
    }
    world.settle(Duration::from_secs(60));
    let lengths: Vec<String> = stops.iter().map(|it| format!("{it} s")).collect();
    Row::of(stops.len(), world.judge(vec![daemon]))
        .note(format!("stopped for {}", lengths.join(", ")))
}

/// So that what a long stop misses stays below `at_most`. The last one resumes in minutes that match nothing.
fn sparse() -> Vec<Plan> {
    vec![
        Plan::new("all", "*/5 * * * * *"),
        Plan::new("all-clock", "*/10 0-59 0-23 * * *").zone("Europe/Berlin"),
        Plan::new("latest", "*/3 * * * * *").catch_up(CatchUp::Latest),
        Plan::new("none", "*/4 * * * * *").catch_up(CatchUp::None),
        Plan::new("latest-minute", "0 */7 * * * *").catch_up(CatchUp::Latest),
    ]
}
