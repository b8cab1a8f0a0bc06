//! kill -9 where it hurts: at the fail points, which only the build with debug assertions has, and while the API
//! holds a call, before or after it queued the event.

use std::path::Path;
use std::time::Duration;

use jiff::SignedDuration;
use rustix::process::Signal;
use serde_json::json;

use super::{Context, Fault, Form, LOADED, mixed};
use crate::daemon::{Daemon, until};
use crate::row::Row;
use crate::story::Of;
use crate::world::World;

pub(crate) const FAULT: Fault = Fault {
    name: "kill-at-seams",
    alone: false,
    parts: |_| SEAMS.len(),
    run,
};

#[derive(Clone, Copy, Debug)]
enum Seam {
    /// The process dies at this fail point.
    Point(&'static str),
    /// It is killed while the API holds its call, `before` or `after` the event is queued.
    Held(&'static str),
}

const SEAMS: [Seam; 6] = [
    Seam::Point("migration"),
    Seam::Point("before_commit"),
    Seam::Point("after_commit"),
    Seam::Point("after_answer"),
    Seam::Held("before"),
    Seam::Held("after"),
];

fn run(context: &Context, part: usize) -> Row {
    let rounds = match context.form {
        Form::Short => 3,
        Form::Long => 20,
    };
    let mut world = World::new(&context.release, LOADED);
    for plan in mixed() {
        world.schedule(&plan);
    }
    let seam = SEAMS[part];
    let rounds = match seam {
        Seam::Point("migration") => {
            dying(&mut world, &context.debug, "migration").killed_itself();
            1
        }
        _ => rounds,
    };
    let mut daemon = world.first();
    if !matches!(seam, Seam::Point("migration")) {
        for _ in 0..rounds {
            world.pass(Duration::from_millis(1700));
            let from = world.now();
            match seam {
                Seam::Point(point) => {
                    daemon.end(Signal::TERM);
                    dying(&mut world, &context.debug, point).killed_itself();
                }
                Seam::Held(when) => held(&world, when, daemon),
            }
            daemon = world.daemon();
            world.trouble(from, SignedDuration::ZERO, Of::Daemon);
        }
    }
    daemon.says("triggerd started");
    world.pass(Duration::from_secs(5));
    world.settle(Duration::from_secs(40));
    Row::of(rounds, world.judge(vec![daemon]))
}

fn dying(world: &mut World, debug: &Path, point: &str) -> Daemon {
    let mut command = world.command(debug, "", "state");
    command.env("TRIGGERD_FAILPOINT", point);
    world.start(command, "state")
}

fn held(world: &World, when: &str, daemon: Daemon) {
    let struck = || {
        let (calls, _) = world.api.record();
        calls.iter().filter(|call| call.fault.is_some()).count()
    };
    let before = struck();
    world
        .api
        .fault(&json!({"kind": "hold", "when": when, "calls": 1}));
    until("a held call", || struck() > before);
    daemon.end(Signal::KILL);
    world.api.release();
}
