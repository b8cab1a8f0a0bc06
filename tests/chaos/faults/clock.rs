//! Clock steps: libfaketime moves the clock that daemon and API read, forward and back.

use std::time::Duration;

use jiff::SignedDuration;

use super::{Context, Fault, Form, LOADED};
use crate::row::Row;
use crate::story::{CatchUp, Plan};
use crate::world::World;

pub(crate) const FAULT: Fault = Fault {
    name: "clock-steps",
    alone: false,
    parts: |form| match form {
        Form::Short => 4,
        Form::Long => STEPS.len(),
    },
    run,
};

const DAY: i64 = 86_400;

/// Seconds, one after the other.
const STEPS: [&[i64]; 8] = [
    &[1, -1, 5, -5],
    &[61, -61],
    &[3600, -3600],
    &[-3 * DAY],
    &[DAY],
    &[10 * 365 * DAY, -10 * 365 * DAY],
    &[-3600, 3600],
    &[-61, -61, 30, 30, -1],
];

fn run(context: &Context, part: usize) -> Row {
    let world = World::moved(&context.release, LOADED, SignedDuration::from_secs(3));
    let mut world = match world {
        Ok(world) => world,
        Err(problem) => return Row::failed(problem),
    };
    world.schedule(&Plan::new("each-second", "* * * * * *"));
    world.schedule(&Plan::new("clock", "*/2 0-59 0-23 * * *").zone("Asia/Tokyo"));
    world.schedule(&Plan::new("latest", "*/3 * * * * *").catch_up(CatchUp::Latest));
    world.schedule(&Plan::new("hourly", "0 30 * * * *"));
    let daemon = world.first();
    for step in STEPS[part] {
        world.pass(Duration::from_secs(5));
        mid_second(&world);
        world.step(SignedDuration::from_secs(*step));
    }
    // What the clock comes past a second time has to be past before the end.
    world.pass(Duration::from_secs(8));
    world.settle(Duration::from_secs(40));
    Row::of(STEPS[part].len(), world.judge(vec![daemon])).note("libfaketime, portable clock")
}

/// Nothing is on its way in the middle of a second: so it is told whether it arrived before the step or after it.
fn mid_second(world: &World) {
    let into = world.now().subsec_nanosecond();
    let wait = (1_600_000_000 - i64::from(into)) % 1_000_000_000;
    world.pass(Duration::from_nanos(wait.unsigned_abs()));
}
