//! A state folder that takes no more, or is read-only: firing goes on, it is said once, and what was kept in memory
//! is in the ledger when it can be written again. On a tmpfs of its own where mounting is permitted.

use std::fs;
use std::time::Duration;

use jiff::SignedDuration;
use rustix::process::Signal;

use super::{Context, Fault, Form, LOADED, mixed};
use crate::daemon::Daemon;
use crate::row::Row;
use crate::story::Of;
use crate::tmpfs::{Tmpfs, fill, mount};
use crate::world::World;

pub(crate) const FAULT: Fault = Fault {
    name: "full-or-read-only",
    alone: false,
    parts: |_| 2,
    run: |context, part| match (part, rustix::process::geteuid().is_root()) {
        (0, true) => full(context),
        (0, false) => limited(context),
        (_, true) => read_only(context),
        (_, false) => Row::default().note("read-only needs root, for its mount: not run"),
    },
};

const SAID: &str = "the ledger can't be written";
const MENDED: &str = "the ledger can be written again";

fn how_long(context: &Context) -> Duration {
    match context.form {
        Form::Short => Duration::from_secs(8),
        Form::Long => Duration::from_secs(60),
    }
}

fn full(context: &Context) -> Row {
    let mut world = World::new(&context.release, LOADED);
    let tmpfs = Tmpfs::mount(world.path("state"), 3);
    mixed().iter().for_each(|plan| world.schedule(plan));
    let mut daemon = world.first();
    world.pass(Duration::from_secs(3));
    let filler = tmpfs.0.join("filler");
    fill(&filler);
    daemon.says(SAID);
    world.pass(how_long(context));
    fs::remove_file(filler).expect("it is there");
    mended(world, daemon, tmpfs, "full")
}

/// It is said once, and made up for.
fn mended(mut world: World, mut daemon: Daemon, tmpfs: Tmpfs, was: &str) -> Row {
    daemon.says(MENDED);
    world.pass(Duration::from_secs(3));
    world.settle(Duration::from_secs(30));
    let said = said(&daemon);
    let row = Row::of(1, world.judge(vec![daemon]));
    drop(tmpfs);
    row.note(format!("a {was} tmpfs")).expect(
        said == 1,
        format!("it said {said} times that the disk is {was}"),
    )
}

fn said(daemon: &Daemon) -> usize {
    let lines = daemon.lines();
    let says = |line: &&serde_json::Value| {
        let message = line["message"].as_str();
        message.is_some_and(|message| message.starts_with(SAID))
    };
    lines.iter().filter(says).count()
}

/// Without root: a limit on the size of any file, and a restart without it.
fn limited(context: &Context) -> Row {
    let mut world = World::new(&context.release, LOADED);
    mixed().iter().for_each(|plan| world.schedule(plan));
    let command = world.command(&context.release, "ulimit -f 120", "state");
    let mut daemon = world.start(command, "state");
    world.ready(&mut daemon);
    daemon.says(SAID);
    world.pass(Duration::from_secs(5));
    // What was unrecorded is sent again, with the same key.
    let from = world.now();
    daemon.end(Signal::KILL);
    let mut daemon = world.daemon();
    world.trouble(from, SignedDuration::ZERO, Of::Daemon);
    daemon.says("triggerd started");
    world.pass(Duration::from_secs(3));
    world.settle(Duration::from_secs(40));
    Row::of(1, world.judge(vec![daemon])).note("RLIMIT_FSIZE, since a tmpfs needs root")
}

/// Started on a ledger that can be read and not written; writable again while it runs.
fn read_only(context: &Context) -> Row {
    let mut world = World::new(&context.release, LOADED);
    let tmpfs = Tmpfs::mount(world.path("state"), 3);
    mixed().iter().for_each(|plan| world.schedule(plan));
    let daemon = world.first();
    world.pass(Duration::from_secs(3));
    let from = world.now();
    daemon.end(Signal::TERM);
    mount(&["-o", "remount,ro"], &tmpfs.0);
    let mut daemon = world.daemon();
    world.trouble(from, SignedDuration::ZERO, Of::Daemon);
    daemon.says(SAID);
    world.pass(how_long(context));
    mount(&["-o", "remount,rw"], &tmpfs.0);
    mended(world, daemon, tmpfs, "read-only")
}
