//! Two daemons on one folder, each with a ledger of its own, their clocks 3 s apart, and one of them killed at random.

use std::time::Duration;

use jiff::SignedDuration;
use rustix::process::Signal;

use super::{Context, Fault, Form, LOADED, mixed};
use crate::daemon::Clock;
use crate::random::Random;
use crate::row::Row;
use crate::world::World;

pub(crate) const FAULT: Fault = Fault {
    name: "two-daemons",
    alone: false,
    parts: |_| 2,
    run,
};

fn run(context: &Context, part: usize) -> Row {
    let rounds = match context.form {
        Form::Short => 2,
        Form::Long => 20,
    };
    let mut random = Random::new(context.seed, &format!("twins {part}"));
    let mut world = World::new(&context.release, LOADED);
    mixed().iter().for_each(|plan| world.schedule(plan));
    let apart = SignedDuration::from_secs(3 * part as i64);
    let clock = match part {
        0 => Ok(Clock::System),
        _ => Clock::moved(world.root.path(), apart),
    };
    let clock = match clock {
        Ok(clock) => clock,
        Err(problem) => return Row::failed(problem),
    };
    world.story.ahead = apart;
    let start = |world: &mut World| {
        let mut command = world.command(&context.release, "", "other");
        clock.apply(&mut command);
        world.start(command, "other")
    };
    let mut other = start(&mut world);
    let mut daemon = world.daemon();
    world.ready(&mut other);
    world.ready(&mut daemon);
    for _ in 0..rounds {
        world.pass(random.time(Duration::from_secs(10)));
        // The other one goes on: so nothing is broken.
        other.end(Signal::KILL);
        other = start(&mut world);
    }
    other.says("triggerd started");
    world.pass(Duration::from_secs(4));
    world.settle(Duration::from_secs(40));
    Row::of(rounds, world.judge(vec![daemon, other])).note("clocks 0 and 3 s apart, killed in turn")
}
