//! What is done N times: finding the next occurrence, reading a file, and what the agenda decides at an
//! instant at which N schedules are due.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use triggerd::clock::{Boottime, Moment};
use triggerd::plan::agenda::{Action, Agenda, Change, LEAD};
use triggerd::plan::fact::Fact;
use triggerd::plan::occurrence::Namespace;
use triggerd::plan::remembered::Remembered;
use triggerd::schedule::ScheduleId;
use triggerd::schedule::resolve::{Context, Parsed};

const FILE: &str = r##"cron = "0 9 * * MON-FRI"
timezone = "Europe/Berlin"

[event]
output_destination = "#reports"
update_text = "Summarise the tickets opened since {{ window_start }}."
"##;

fn main() {
    divan::main();
}

fn schedule(text: &str) -> triggerd::schedule::Schedule {
    named("weekly-report", text)
}

fn named(name: &str, text: &str) -> triggerd::schedule::Schedule {
    let context = Context {
        trigger_id: Some("agtch_0123456789abcdef0123456789abcdef".to_owned()),
        ..Context::default()
    };
    let id = ScheduleId::parse(name).expect("a good name");
    let parsed = Parsed::new(Path::new("weekly-report.toml"), text, &context);
    let (schedule, problems) = parsed.resolve(&id, None, &context, Timestamp::UNIX_EPOCH);
    schedule.unwrap_or_else(|| panic!("{problems:?}"))
}

#[divan::bench(args = ["0 9 * * MON-FRI", "*/5 * * * *", "0 0 29 2 *", "30 2 L * 5#3"])]
fn next_occurrence(bencher: divan::Bencher<'_, '_>, cron: &str) {
    let recurrence = schedule(&FILE.replace("0 9 * * MON-FRI", cron)).recurrence;
    let after: Timestamp = "2026-11-23T08:00:00Z".parse().expect("an instant");
    bencher.bench(|| recurrence.next_after(divan::black_box(after)));
}

#[divan::bench]
fn read_a_file() -> triggerd::schedule::Schedule {
    schedule(divan::black_box(FILE))
}

/// All that stands between the instant and the last of `n` calls: written ahead before it, and what
/// the acceptances mean comes after.
#[divan::bench(args = [100, 10_000])]
fn due_at_once(bencher: divan::Bencher<'_, '_>, n: usize) {
    bencher
        .with_inputs(|| written_ahead(n))
        .bench_values(|(mut agenda, at)| {
            let mut calls = 0;
            while calls < n {
                calls += attempts(&agenda.due(at));
                for _ in 0..agenda.in_flight() {
                    calls += attempts(&agenda.call_ended(at));
                }
            }
            agenda
        });
}

fn attempts(actions: &[Action]) -> usize {
    let is_attempt = |action: &&Action| matches!(action, Action::Attempt { .. });
    actions.iter().filter(is_attempt).count()
}

/// An agenda whose `n` schedules are due at the moment.
fn written_ahead(n: usize) -> (Agenda, Moment) {
    let due: Timestamp = "2026-11-24T08:00:00Z".parse().expect("an instant");
    let moment = |wall: Timestamp| Moment {
        wall,
        boot: Boottime::from(Duration::from_secs(wall.as_second().unsigned_abs())),
    };
    let loaded = moment(due - Duration::from_secs(3600));
    let mut agenda = Agenda::new(Namespace::default(), 64, Remembered::default(), loaded);
    let puts = (0..n).map(|n| Change::Put(Arc::new(named(&format!("report-{n}"), FILE))));
    agenda.change(puts.collect(), loaded);
    let ahead = moment(due - LEAD);
    while agenda.next_wake().wall.is_some_and(|at| at <= ahead.wall) {
        for action in agenda.due(ahead) {
            if let Action::Record(Fact::WrittenAhead(delivery)) = action {
                agenda.written(&delivery, ahead);
            }
        }
    }
    (agenda, moment(due))
}
