//! Facts in few statements: those of one kind go together, as far as their order allows it.
//! It knows no SQL.

use std::collections::HashMap;

use crate::plan::fact::Fact;
use crate::schedule::ScheduleId;

/// In the order in which the kinds of one wave are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    Rewound,
    Began,
    Withdrawn,
    WrittenAhead,
    Reopened,
    Attempted,
    Ended,
    Run,
    Skipped,
    Ceased,
    InForce,
    Paused,
    Resumed,
    TakenUp,
    GivenUp,
    Settled,
}

/// Facts that may be written kind by kind. They are named by their places in the transaction.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wave {
    /// By kind; within one in the order in which they were stated.
    pub(super) kinds: Vec<(Kind, Vec<usize>)>,
}

/// What a fact is about: it comes after all that was stated of that before.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Subject<'a> {
    Delivery(&'a str),
    Schedule(&'a ScheduleId),
    Pause(&'a str),
}

/// Splits facts into as few waves as keep the order of what belongs together.
pub(super) fn waves<'a>(facts: impl Iterator<Item = (usize, &'a Fact)>) -> Vec<Wave> {
    let mut waves = Vec::new();
    let mut wave = HashMap::<Kind, Vec<usize>>::new();
    let mut latest = HashMap::<Subject<'a>, Kind>::new();
    for (place, fact) in facts {
        let kind = kind(fact);
        // What it is about is everything, so it opens a wave.
        let is_about_all = kind == Kind::Rewound;
        let subjects = subjects(fact);
        let comes_after = |(subject, may_repeat): &(Subject<'a>, bool)| {
            latest
                .get(subject)
                .is_none_or(|latest| *latest < kind || (*latest == kind && *may_repeat))
        };
        if is_about_all || !subjects.iter().flatten().all(comes_after) {
            finish(&mut wave, &mut waves);
            latest.clear();
        }
        for (subject, _) in subjects.into_iter().flatten() {
            latest.insert(subject, kind);
        }
        wave.entry(kind).or_default().push(place);
    }
    finish(&mut wave, &mut waves);
    waves
}

fn finish(wave: &mut HashMap<Kind, Vec<usize>>, waves: &mut Vec<Wave>) {
    if !wave.is_empty() {
        let mut kinds: Vec<_> = wave.drain().collect();
        kinds.sort_by_key(|(kind, _)| *kind);
        waves.push(Wave { kinds });
    }
}

fn kind(fact: &Fact) -> Kind {
    match fact {
        Fact::WrittenAhead(_) => Kind::WrittenAhead,
        Fact::Withdrawn(_) => Kind::Withdrawn,
        Fact::Reopened(_) => Kind::Reopened,
        Fact::Attempted(_) => Kind::Attempted,
        Fact::Ended(_) => Kind::Ended,
        Fact::Run(_) => Kind::Run,
        Fact::Skipped(_) => Kind::Skipped,
        Fact::Began { .. } => Kind::Began,
        Fact::Ceased { .. } => Kind::Ceased,
        Fact::InForce { .. } => Kind::InForce,
        Fact::Paused { .. } => Kind::Paused,
        Fact::Resumed { .. } => Kind::Resumed,
        Fact::TakenUp { .. } => Kind::TakenUp,
        Fact::GivenUp { .. } => Kind::GivenUp,
        Fact::SettledUntil(_) => Kind::Settled,
        Fact::Rewound { .. } => Kind::Rewound,
    }
}

/// What it is about, and whether several of the kind may stand in one wave for one subject.
fn subjects(fact: &Fact) -> [Option<(Subject<'_>, bool)>; 2] {
    let delivery = fact
        .key()
        .map(|key| (Subject::Delivery(key.as_str()), false));
    match fact {
        // Skips ask which deliveries lie between them, and endings change their schedule's row.
        Fact::WrittenAhead(delivered) | Fact::Withdrawn(delivered) => {
            let schedule = &delivered.occurrence.schedule;
            [delivery, Some((Subject::Schedule(schedule), true))]
        }
        Fact::Ended(ending) => {
            let schedule = &ending.delivery.occurrence.schedule;
            [delivery, Some((Subject::Schedule(schedule), true))]
        }
        Fact::Reopened(_) | Fact::Attempted(_) => [delivery, None],
        Fact::Run(report) => {
            let key = report.run.idempotency_key.as_str();
            [Some((Subject::Delivery(key), false)), None]
        }
        Fact::Skipped(skipped) => [Some((Subject::Schedule(&skipped.schedule), false)), None],
        Fact::Began { schedule, .. }
        | Fact::Ceased { schedule, .. }
        | Fact::InForce { schedule, .. }
        | Fact::TakenUp { schedule }
        | Fact::GivenUp { schedule, .. } => [Some((Subject::Schedule(schedule), false)), None],
        Fact::Paused { scope, .. } | Fact::Resumed { scope, .. } => {
            let name = scope.schedule().map_or("", ScheduleId::as_str);
            [Some((Subject::Pause(name), false)), None]
        }
        Fact::SettledUntil(_) | Fact::Rewound { .. } => [None, None],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::tests::{accepted, at, began, delivery, skip_at};
    use crate::plan::delivery::Skip;

    /// Each wave in a pair of brackets, by kind, each fact by its place.
    #[track_caller]
    fn check(facts: &[Fact], expected: &str) {
        let waves = waves(facts.iter().enumerate());
        let wave = |wave: &Wave| format!("{:?}", wave.kinds);
        let waves: Vec<_> = waves.iter().map(wave).collect();
        assert_eq!(waves.join(" "), expected);
    }

    #[test]
    fn a_crowd_is_one_wave_whatever_belongs_to_each() {
        let mut crowd: Vec<Fact> = [8, 9, 10]
            .map(|hour| Fact::WrittenAhead(delivery(hour)))
            .into();
        check(&crowd, "[(WrittenAhead, [0, 1, 2])]");
        crowd = [8, 9]
            .iter()
            .flat_map(|hour| accepted(&delivery(*hour)))
            .collect();
        check(&crowd, "[(Attempted, [0, 2]), (Ended, [1, 3])]");
    }

    #[test]
    fn what_is_about_one_thing_keeps_its_order() {
        let ahead = |hour| Fact::WrittenAhead(delivery(hour));
        let twice = [ahead(8), ahead(8)];
        check(&twice, "[(WrittenAhead, [0])] [(WrittenAhead, [1])]");
        let again = [ahead(8), Fact::Withdrawn(delivery(8)), ahead(8)];
        check(
            &again,
            "[(WrittenAhead, [0])] [(Withdrawn, [1]), (WrittenAhead, [2])]",
        );
        // A skip grows only if no delivery lies between.
        let between = [
            skip_at(8, Skip::Paused),
            ahead(9),
            skip_at(10, Skip::Paused),
        ];
        check(
            &between,
            "[(Skipped, [0])] [(WrittenAhead, [1]), (Skipped, [2])]",
        );
        check(&[began(), ahead(8)], "[(Began, [0]), (WrittenAhead, [1])]");
        check(&[ahead(8), began()], "[(WrittenAhead, [0])] [(Began, [1])]");
    }

    #[test]
    fn a_step_of_the_clock_comes_after_all_before_it_and_before_all_after_it() {
        let facts = [
            Fact::WrittenAhead(delivery(8)),
            Fact::Rewound { to: at("07:00:00") },
            Fact::WrittenAhead(delivery(9)),
        ];
        check(
            &facts,
            "[(WrittenAhead, [0])] [(Rewound, [1]), (WrittenAhead, [2])]",
        );
    }
}
