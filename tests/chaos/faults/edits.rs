//! An edit storm: files are saved in every way that editors, checkouts and config maps have, broken, mended, deleted
//! and recreated, while others in the same folder have to fire as if nothing happened.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::{Context, Fault, Form, LOADED, mixed};
use crate::random::Random;
use crate::row::Row;
use crate::story::Plan;
use crate::world::World;

pub(crate) const FAULT: Fault = Fault {
    name: "edits",
    alone: false,
    parts: |form| match form {
        Form::Short => 2,
        Form::Long => 5,
    },
    run,
};

const EDITED: usize = 12;

fn run(context: &Context, part: usize) -> Row {
    let edits = match context.form {
        Form::Short => 40,
        Form::Long => 200,
    };
    let mut random = Random::new(context.seed, &format!("edits {part}"));
    let mut world = World::new(&context.release, LOADED);
    mixed().iter().for_each(|plan| world.schedule(plan));
    let mut plans: Vec<Plan> = (0..EDITED)
        .map(|n| Plan::new(&format!("edited-{n:02}"), "* * * * * *"))
        .collect();
    plans.iter().for_each(|plan| world.schedule(plan));
    let daemon = world.first();
    for n in 0..edits {
        let plan = &mut plans[n % EDITED];
        edit(&mut world, plan, n, &mut random);
        world.pass(random.time(Duration::from_millis(900)));
        if n % 50 == 49 {
            crowd(&world, context.form);
        }
        if n % 25 == 24 {
            // A version that is not in force yet when the folder goes can't be before it is back.
            world.pass(Duration::from_secs(2));
            folder_away_and_back(&world);
        }
    }
    world.pass(Duration::from_secs(4));
    world.settle(Duration::from_secs(30));
    Row::of(edits, world.judge(vec![daemon]))
        .note("9 ways to save, the folder itself moved away and back")
}

fn edit(world: &mut World, plan: &mut Plan, n: usize, random: &mut Random) {
    let file = world.file(&plan.name);
    let kind = random.below(9);
    let changes = kind < 5;
    if changes {
        plan.words = format!("edit-{n}");
        plan.cron = ["* * * * * *", "*/2 * * * * *"][random.below(2)].to_owned();
    }
    let text = plan.toml();
    match kind {
        // Truncated, and written in two goes.
        0 => {
            fs::write(&file, &text[..text.len() / 2]).expect("a file");
            world.pass(Duration::from_millis(100));
            fs::write(&file, &text).expect("a file");
        }
        1 => rename(world.root.path(), &file, &text),
        // As a config map is mounted.
        2 => {
            let data = world.path(&format!("data-{n}.toml"));
            fs::write(&data, &text).expect("a file");
            let link = world.path("link");
            symlink(data, &link).expect("a link");
            fs::rename(link, &file).expect("renamed");
        }
        // Deleted and recreated.
        3 => {
            fs::remove_file(&file).expect("it is there");
            world.pass(Duration::from_millis(300));
            rename(world.root.path(), &file, &text);
        }
        // At the very instant at which it is due.
        4 => {
            let into = world.now().subsec_nanosecond().unsigned_abs();
            world.pass(Duration::from_nanos(u64::from(1_000_000_000 - into)));
            rename(world.root.path(), &file, &text);
        }
        // What can't be read changes nothing; it is mended in the end.
        broken => {
            fs::remove_file(&file).expect("it is there");
            match broken {
                5 => fs::write(&file, b"cron = \"\xff\xfe\"\n").expect("a file"),
                6 => fs::write(&file, vec![b'#'; 5 << 20]).expect("a file"),
                7 => symlink("/nowhere/at/all", &file).expect("a link"),
                _ => {
                    let made = Command::new("mkfifo").arg(&file).status();
                    assert!(made.is_ok_and(|status| status.success()), "mkfifo");
                }
            }
            world.pass(Duration::from_millis(600));
            rename(world.root.path(), &file, &text);
        }
    }
    if changes {
        world.note(plan.clone());
    }
}

fn rename(root: &Path, file: &Path, text: &str) {
    let new = root.join("new");
    fs::write(&new, text).expect("a file");
    fs::rename(new, file).expect("renamed");
}

/// Many files at once, which come and go and never fire.
fn crowd(world: &World, form: Form) {
    let files = match form {
        Form::Short => 300,
        Form::Long => 2000,
    };
    let name = |n: usize| world.file(&format!("crowd-{n}"));
    for n in 0..files {
        let plan = Plan::new(&format!("crowd-{n}"), "0 0 0 29 2 *");
        fs::write(name(n), plan.toml()).expect("a file");
    }
    world.pass(Duration::from_secs(1));
    for n in 0..files {
        fs::remove_file(name(n)).expect("it is there");
    }
}

fn folder_away_and_back(world: &World) {
    let (folder, away) = (world.path("schedules"), world.path("away"));
    fs::rename(&folder, &away).expect("renamed");
    world.pass(Duration::from_millis(2500));
    fs::rename(&away, &folder).expect("renamed");
}
