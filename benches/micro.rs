//! The two things that are done N times: finding the next occurrence, and reading a file.

use std::path::Path;

use jiff::Timestamp;
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
    let context = Context {
        trigger_id: Some("agtch_0123456789abcdef0123456789abcdef".to_owned()),
        ..Context::default()
    };
    let id = ScheduleId::parse("weekly-report").expect("a good name");
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
