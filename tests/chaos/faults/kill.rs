//! kill -9 at random, started again as systemd would.

use std::time::Duration;

use jiff::SignedDuration;
use rustix::process::Signal;

use super::{Context, Fault, Form, LOADED, mixed};
use crate::random::Random;
use crate::row::Row;
use crate::story::Of;
use crate::world::World;

pub(crate) const FAULT: Fault = Fault {
    name: "kill",
    alone: false,
    parts: |form| match form {
        Form::Short => 3,
        Form::Long => 10,
    },
    run,
};

/// As `RestartSec` of the unit is short.
const RESTART: Duration = Duration::from_millis(100);

fn run(context: &Context, part: usize) -> Row {
    let (rounds, longest) = match context.form {
        Form::Short => (5, Duration::from_secs(10)),
        Form::Long => (50, Duration::from_secs(20)),
    };
    let mut random = Random::new(context.seed, &format!("kill {part}"));
    let mut world = World::new(&context.release, LOADED);
    for plan in mixed() {
        world.schedule(&plan);
    }
    let mut daemon = world.first();
    for _ in 0..rounds {
        world.pass(random.time(longest));
        let from = world.now();
        daemon.end(Signal::KILL);
        world.pass(RESTART);
        daemon = world.daemon();
        world.trouble(from, SignedDuration::ZERO, Of::Daemon);
    }
    daemon.says("triggerd started");
    world.settle(Duration::from_secs(40));
    Row::of(rounds, world.judge(vec![daemon]))
}
