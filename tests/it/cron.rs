//! The commented cases of cron, each with the instants that Debian cron gives.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;
use triggerd::schedule::cron::CronExpr;

#[derive(Deserialize)]
struct Case {
    expr: String,
    tz: String,
    from: String,
    n: usize,
    expected: Vec<String>,
    comment: String,
}

#[test]
fn every_sample_gives_the_expected_instants() {
    let cases: Vec<Case> = include_str!("../files/cron-sample.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).expect("each line is a case"))
        .collect();
    assert_eq!(cases.len(), 64);

    for case in cases {
        let expr = CronExpr::parse(&case.expr, "sample")
            .unwrap_or_else(|error| panic!("{}: {error:?}", case.expr));
        let zone = TimeZone::get(&case.tz).expect("the zone is in tzdata");
        let mut at: Timestamp = case.from.parse().expect("an instant");
        let due: Vec<String> = std::iter::from_fn(|| {
            at = expr.next_after(at, &zone)?;
            Some(at.to_string())
        })
        .take(case.n)
        .collect();
        assert_eq!(
            due, case.expected,
            "`{}` in {} from {}: {}",
            case.expr, case.tz, case.from, case.comment
        );
    }
}
