//! 32 descriptors, and more due at once than those allow connections for: slower, never silent.

use std::time::Duration;

use super::{Context, Fault, Form, LOADED};
use crate::row::Row;
use crate::story::Plan;
use crate::world::World;

pub(crate) const FAULT: Fault = Fault {
    name: "32-descriptors",
    alone: false,
    parts: |_| 1,
    run,
};

fn run(context: &Context, _: usize) -> Row {
    let time = match context.form {
        Form::Short => 15,
        Form::Long => 60,
    };
    let mut world = World::new(&context.release, LOADED);
    for n in 0..60 {
        world.schedule(&Plan::new(&format!("s{n:02}"), "*/5 * * * * *"));
    }
    let command = world.command(&context.release, "ulimit -n 32", "state");
    let mut daemon = world.start(command, "state");
    world.ready(&mut daemon);
    world.pass(Duration::from_secs(time));
    world.settle(Duration::from_secs(30));
    Row::of(1, world.judge(vec![daemon])).note("60 due at once")
}
