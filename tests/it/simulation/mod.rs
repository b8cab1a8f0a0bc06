//! Exactly once, proven (RELIABILITY.md): the real engine and ledger on a virtual clock, among faults,
//! and a judge that excuses nothing and shares no code with them. The same seed gives the same run.
//!
//! `TRIGGERD_SEED=7` replays one seed, `TRIGGERD_SEEDS=300` runs many, each over `TRIGGERD_DAYS` days and
//! `TRIGGERD_SCHEDULES` schedules.

use std::env;
use std::fmt::Write;
use std::str::FromStr;

use journal::{Journal, Told};
use judge::{Charge, Finding, Judgement};
use oracle::Almanac;
use sabotage::{Sabotage, Way};
use script::{DAY, Deed, HOUR, MINUTE, Nanos, SECOND, Script};
use world::World;

mod api;
mod disk;
mod journal;
mod judge;
mod oracle;
mod random;
mod reign;
mod runs;
mod sabotage;
mod script;
mod sketch;
mod world;

const SCHEDULES: usize = 12;

#[test]
#[expect(
    clippy::print_stdout,
    reason = "a long run shows what it finds as it goes"
)]
fn every_occurrence_comes_to_what_is_promised() {
    let (usual_seeds, usual_days) = if cfg!(debug_assertions) {
        (3, 5)
    } else {
        (6, 14)
    };
    let days = setting("TRIGGERD_DAYS").unwrap_or(usual_days);
    let schedules = setting("TRIGGERD_SCHEDULES").unwrap_or(SCHEDULES);
    let seeds: Vec<u64> = match setting("TRIGGERD_SEED") {
        Some(seed) => vec![seed],
        None => (0..setting("TRIGGERD_SEEDS").unwrap_or(usual_seeds)).collect(),
    };
    let is_one = seeds.len() == 1;
    let mut failed = Vec::new();
    let (mut occurrences, mut accepted, mut latest) = (0, 0, 0);
    let (mut paused, mut redelivered, mut queued) = (0, 0, 0);
    for seed in seeds {
        let (journal, judgement) = run(Script::new(seed, days, schedules), None);
        if !judgement.findings.is_empty() {
            println!("{}", report(seed, days, schedules, &journal, &judgement));
            failed.push(seed);
        }
        let floor = usize::try_from(days).expect("positive") * 80;
        let must = judgement.must + judgement.queued;
        assert!(must > floor, "too little was owed: {judgement:?}");
        assert!(
            judgement.must_not > 0,
            "nothing was to be skipped: {judgement:?}"
        );
        occurrences += judgement.must + judgement.must_not + judgement.may;
        accepted += judgement.accepted;
        paused += judgement.paused;
        redelivered += judgement.redelivered;
        queued += judgement.queued;
        latest = latest.max(judgement.greatest_lateness / SECOND);
    }
    println!(
        "{occurrences} occurrences, {accepted} accepted, {redelivered} of them redelivered, {queued} queued, the latest after {latest} s"
    );
    // One seed alone may have none.
    assert!(
        paused > 0 || is_one,
        "nothing was to be skipped for a pause"
    );
    assert!(
        redelivered > 0 || is_one,
        "nothing was accepted that was tried again"
    );
    assert!(queued > 0 || is_one, "nothing waited for a run to end");
    assert!(failed.is_empty(), "seeds {failed:?}: see above");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let story = || {
        let (journal, _) = run(Script::new(3, 3, SCHEDULES), None);
        let lines = journal
            .story
            .iter()
            .map(|it| format!("{} {} {}", it.at, it.name, it.text));
        let mut lines: Vec<_> = lines.collect();
        lines.sort();
        lines
    };
    assert!(story() == story());
}

#[test]
fn a_leap_of_a_year_is_policy_and_no_replay() {
    let mut script = Script::quiet(1, 1, SCHEDULES);
    script.deeds = vec![(script.starts + HOUR, Deed::StepClock(365 * DAY))];
    let calls = World::new(script).run().arrivals.len();
    assert!((50..1000).contains(&calls), "{calls} calls");
}

#[test]
fn the_judge_notices() {
    for (way, charge) in [
        (Way::DropTheCall, Charge::Lost),
        (Way::SendAnotherKey, Charge::Dup),
        (Way::SendEarly, Charge::Early),
        (Way::SendLate, Charge::Late),
        (Way::SendWhatIsNotDue, Charge::Ghost),
        (Way::SendAnotherText, Charge::Wrong),
        (Way::LieInTheLedger, Charge::Lie),
        (Way::LoseTheVerdict, Charge::Silent),
        (Way::MiscountTheSkipped, Charge::Lie),
        (Way::TellTwice, Charge::Lie),
    ] {
        let mut script = Script::quiet(4, 2, SCHEDULES);
        if way == Way::MiscountTheSkipped {
            script.deeds = vec![(script.starts + HOUR, Deed::StepClock(5 * HOUR))];
        }
        let sabotage = Sabotage {
            way,
            after: script.starts + 5 * HOUR,
            victim: None,
        };
        let (_, judgement) = run(script, Some(sabotage));
        let charges: Vec<_> = judgement.findings.iter().map(|it| it.charge).collect();
        assert_eq!(charges, [charge], "{way:?}: {:?}", judgement.findings);
    }
}

#[test]
fn the_judge_notices_what_is_sent_in_a_pause() {
    let mut script = Script::quiet(4, 2, SCHEDULES);
    let from = script.starts + 5 * HOUR;
    let pause = Deed::Pause {
        name: None,
        ends: from + HOUR,
        expires: true,
    };
    script.deeds = vec![(from + 8 * MINUTE, pause)];
    let sabotage = Sabotage {
        way: Way::SendLate,
        after: from,
        victim: None,
    };
    let (_, judgement) = run(script, Some(sabotage));
    let charges: Vec<_> = judgement.findings.iter().map(|it| it.charge).collect();
    assert_eq!(charges, [Charge::Ghost], "{:?}", judgement.findings);
}

fn run(script: Script, sabotage: Option<Sabotage>) -> (Journal, Judgement) {
    const MARGIN: Nanos = 8 * DAY;
    let almanac = Almanac::new(
        (script.starts - MARGIN) / SECOND,
        (script.ends + MARGIN) / SECOND,
    );
    let mut world = World::new(script);
    world.sabotage = sabotage;
    let journal = world.run();
    let judgement = judge::judge(&journal, &almanac);
    (journal, judgement)
}

fn setting<T: FromStr>(name: &str) -> Option<T> {
    let text = env::var(name).ok()?;
    let value = text.parse().ok();
    Some(value.unwrap_or_else(|| panic!("{name}={text} is not a number")))
}

fn report(
    seed: u64,
    days: i64,
    schedules: usize,
    journal: &Journal,
    judgement: &Judgement,
) -> String {
    let mut text = format!(
        "\nseed {seed}: {} findings; replay:\n  TRIGGERD_SEED={seed} TRIGGERD_DAYS={days} TRIGGERD_SCHEDULES={schedules} cargo test --test it simulation\n",
        judgement.findings.len()
    );
    for finding in judgement.findings.iter().take(8) {
        let _ = writeln!(
            text,
            "{:?} {}: {}",
            finding.charge, finding.request_id, finding.detail
        );
    }
    let first = judgement.findings.iter().min_by_key(|it| it.at);
    text + &first.map(|first| story(journal, first)).unwrap_or_default()
}

/// What happened to the one occurrence, and to everyone around it.
fn story(journal: &Journal, finding: &Finding) -> String {
    const BEFORE: usize = 12;
    let mut text = format!(
        "\nthe first, {:?} {}, seen at {} s:\n",
        finding.charge,
        finding.request_id,
        (finding.at - journal.starts) / SECOND
    );
    let concerning: Vec<_> = journal
        .story
        .iter()
        .filter(|told| told.name.is_empty() || told.name == finding.name)
        .collect();
    let is_about = |told: &&Told| told.text.contains(&finding.request_id);
    let first = concerning.iter().position(is_about);
    let seen = concerning.partition_point(|told| told.at < finding.at);
    let last = concerning.iter().rposition(is_about).unwrap_or(seen);
    let from = first.map_or(seen, |first| first.min(seen));
    let to = (last.max(seen) + BEFORE / 2).min(concerning.len());
    for told in &concerning[from.saturating_sub(BEFORE)..to] {
        let wall = world::timestamp(journal.wall(told.at)).strftime("%m-%dT%H:%M:%S%.3f");
        let _ = writeln!(
            text,
            "  {:>10} s  {wall}  {}",
            (told.at - journal.starts) / SECOND,
            told.text
        );
    }
    text
}
