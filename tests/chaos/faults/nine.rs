//! Whether the judge would notice: the daemon is broken on purpose in nine ways, one per verdict, and the judge has to
//! name each. The program itself holds no sabotage. It is given other files, another clock or another ledger than the
//! judge is told of, so that what it does is what a broken daemon would do.

use std::fs;
use std::time::Duration;

use jiff::SignedDuration;
use rusqlite::Connection;
use rustix::process::Signal;

use super::{Context, Fault, IDLE};
use crate::daemon::Daemon;
use crate::judge::{Judgement, Verdict};
use crate::row::Row;
use crate::story::Plan;
use crate::world::{CANARY, World};

pub(crate) const FAULT: Fault = Fault {
    name: "nine-ways",
    alone: false,
    parts: |_| Verdict::ALL.len() + 1,
    run: |context, part| match Verdict::ALL.get(part) {
        Some(verdict) => broken(context, *verdict),
        None => sound(context),
    },
};

const TIME: Duration = Duration::from_secs(8);

fn told() -> Plan {
    Plan::new("told", "*/2 * * * * *")
}

/// The same without sabotage: then it finds nothing.
fn sound(context: &Context) -> Row {
    let mut world = World::new(&context.release, IDLE);
    world.schedule(&told());
    let daemon = world.first();
    world.pass(TIME);
    world.settle(TIME);
    Row::of(1, world.judge(vec![daemon]))
}

fn broken(context: &Context, verdict: Verdict) -> Row {
    let found = match sabotaged(context, verdict) {
        Ok(judgement) => judgement,
        Err(problem) => return Row::failed(problem),
    };
    let named = found
        .findings
        .iter()
        .filter(|(it, _)| *it == verdict)
        .count();
    let judged = Judgement {
        judged: found.judged,
        ..Judgement::default()
    };
    Row::of(1, judged)
        .note(format!("{verdict} named {named} times"))
        .expect(
            named > 0,
            format!("{verdict} was not named; {:?}", found.findings),
        )
}

fn sabotaged(context: &Context, verdict: Verdict) -> Result<Judgement, String> {
    let mut world = match verdict {
        // Its clock goes 3 s before the API's.
        Verdict::Early => World::ahead(&context.release, IDLE, SignedDuration::from_secs(3))?,
        _ => World::new(&context.release, IDLE),
    };
    world.schedule(&told());
    let told = told().toml();
    let does = match verdict {
        // It drops most of what is due.
        Verdict::Lost => format!("{told}\n[limits]\nper_hour = 2\n"),
        // It fires at the odd seconds as well.
        Verdict::Ghost => told.replace("*/2", "*"),
        // It sends another text.
        Verdict::Wrong => told.replace("first|", "second|"),
        _ => told,
    };
    fs::write(world.file("told"), does).expect("a file");
    if let Some(writes) = match verdict {
        // It records the contrary.
        Verdict::Lie => Some("UPDATE deliveries SET verdict = 'rejected' WHERE id = NEW.id"),
        // It records no verdict.
        Verdict::Silent => Some("DELETE FROM deliveries WHERE id = NEW.id"),
        _ => None,
    } {
        let daemon = world.first();
        daemon.end(Signal::TERM);
        let ledger = Connection::open(world.path("state/ledger.db")).expect("a ledger");
        let trigger = format!(
            "CREATE TRIGGER sabotage AFTER UPDATE OF verdict ON deliveries
             WHEN NEW.verdict = 'accepted' BEGIN {writes}; END"
        );
        ledger.execute_batch(&trigger).expect("it takes a trigger");
    }
    if verdict == Verdict::Leak {
        // It is told its token by the command line.
        let settings = world.path(&format!("{CANARY}.toml"));
        fs::copy(world.path("triggerd.toml"), &settings).expect("a file");
        let mut command = world.command(&context.release, "", "state");
        command.arg("--config").arg(settings);
        let daemon = world.start(command, "state");
        return Ok(judged(world, vec![daemon], verdict));
    }
    let mut daemons = vec![world.daemon()];
    if verdict == Verdict::Dup {
        // The other half of it calls the same occurrence by another key.
        let mut command = world.command(&context.release, "", "other");
        command.env("TRIGGERD_NAMESPACE", "other");
        daemons.push(world.start(command, "other"));
    }
    Ok(judged(world, daemons, verdict))
}

fn judged(mut world: World, mut daemons: Vec<Daemon>, verdict: Verdict) -> Judgement {
    for daemon in &mut daemons {
        world.ready(daemon);
    }
    if verdict == Verdict::Late {
        // It sleeps over some.
        daemons[0].signal(Signal::STOP);
        world.pass(Duration::from_secs(5));
        daemons[0].signal(Signal::CONT);
    }
    world.pass(TIME.mul_f64(1.5));
    world.settle(Duration::from_secs(3));
    world.judge(daemons)
}
