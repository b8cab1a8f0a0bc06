//! Which version of a file was in force when, when the daemon was there to see it, and over which
//! times its clock went: what follows from the driver's deeds before any occurrence is looked at.

use std::sync::Arc;

use super::journal::{Journal, Life};
use super::script::{Nanos, SECOND};
use super::sketch::Sketch;

/// How long a clock that is not set holds a start.
const CLOCK_PATIENCE: Nanos = 600 * SECOND;

/// A version owes what the clock passes in `(from, to]`, in true time.
pub(super) struct Reign {
    pub name: String,
    pub sketch: Arc<Sketch>,
    pub from: Nanos,
    pub to: Nanos,
    /// Since when a process knows of it.
    pub known_from: Nanos,
    /// `false`: what was not recorded at a kill leaves it open.
    pub sure: bool,
}

/// The clock went from one time to a later one.
pub(super) struct Pass {
    from: Nanos,
    to: Nanos,
    pub wall_from: Nanos,
    pub wall_to: Nanos,
    /// The latest time that it had shown before.
    pub high_water: Nanos,
}

impl Pass {
    pub(super) fn when(&self, wall: Nanos) -> Nanos {
        if self.from == self.to {
            self.from
        } else {
            self.from + wall - self.wall_from
        }
    }
}

pub(super) fn reigns(journal: &Journal) -> Vec<Reign> {
    let mut reigns = Vec::new();
    for (name, edits) in &journal.edits {
        // What was in force when the process before ended.
        let mut before: Option<(Arc<Sketch>, Nanos)> = None;
        let mut unsure_before = false;
        for life in &journal.lives {
            let first = edits.partition_point(|edit| edit.at < life.from);
            let told = &edits[first..edits.partition_point(|edit| edit.at <= life.to)];
            let at_start = told
                .iter()
                .find(|edit| edit.at_start && edit.at == life.from);
            let at_start = at_start.and_then(|edit| enabled(edit.sketch.as_ref()));
            let mut reign = |sketch: &Arc<Sketch>, from, to, sure| {
                reigns.push(Reign {
                    name: name.clone(),
                    sketch: sketch.clone(),
                    from,
                    to,
                    // The start that found another file reckons with it from where all was settled.
                    known_from: if sure { from } else { life.from },
                    sure,
                });
            };
            if let Some(sketch) = &at_start {
                let same = before.as_ref().is_some_and(|(it, _)| it == sketch);
                if unsure_before || (before.is_some() && !same) {
                    let settled = life.found_settled_until.unwrap_or(journal.starts);
                    let since = settled_at(journal, settled, life.from);
                    let until = before.as_ref().map_or(life.from, |(_, died)| *died);
                    if since < until {
                        reign(sketch, since, until, false);
                    }
                }
            }
            let mut current = match (before.take(), at_start) {
                (Some((_, died)), Some(sketch)) => Some((sketch, died)),
                (None, Some(sketch)) => Some((sketch, life.from)),
                (_, None) => None,
            };
            let end = life.to.min(journal.ends);
            for edit in told.iter().filter(|edit| !edit.at_start) {
                if let Some((sketch, from)) = current.take() {
                    reign(&sketch, from, edit.at, true);
                }
                current = enabled(edit.sketch.as_ref()).map(|sketch| (sketch, edit.at));
            }
            unsure_before = life
                .unrecorded_since
                .is_some_and(|since| told.iter().any(|edit| edit.at >= since));
            if let Some((sketch, from)) = current {
                reign(&sketch, from, end, true);
                before = Some((sketch, end));
            }
        }
    }
    reigns
}

fn enabled(sketch: Option<&Arc<Sketch>>) -> Option<Arc<Sketch>> {
    sketch.filter(|it| it.enabled).cloned()
}

/// The last instant before `before` at which the clock showed at most `wall`.
fn settled_at(journal: &Journal, wall: Nanos, before: Nanos) -> Nanos {
    let mut at = journal.starts;
    for pass in passes(journal, journal.starts, before) {
        if pass.wall_from <= wall {
            at = if wall >= pass.wall_to {
                pass.to
            } else {
                pass.when(wall)
            };
        }
    }
    at
}

pub(super) fn passes(journal: &Journal, from: Nanos, to: Nanos) -> Vec<Pass> {
    let mut passes = Vec::new();
    let mut high_water = Nanos::MIN;
    let ends = journal
        .clock
        .iter()
        .skip(1)
        .map(|(at, _)| *at)
        .chain([Nanos::MAX]);
    let mut before: Option<Nanos> = None;
    for ((since, offset), until) in journal.clock.iter().copied().zip(ends) {
        if let Some(before) = before
            && offset > before
            && from < since
            && since <= to
        {
            passes.push(Pass {
                from: since,
                to: since,
                wall_from: since + before,
                wall_to: since + offset,
                high_water,
            });
        }
        let (first, last) = (since.max(from), until.min(to));
        if first < last {
            passes.push(Pass {
                from: first,
                to: last,
                wall_from: first + offset,
                wall_to: last + offset,
                high_water,
            });
        }
        high_water = high_water.max(until.saturating_add(offset));
        before = Some(offset);
    }
    passes
}

/// When a process that is not stopped is there, from `at` on.
pub(super) fn awake(journal: &Journal, mut at: Nanos) -> Option<Nanos> {
    loop {
        let before = at;
        let life = journal
            .lives
            .iter()
            .find(|life| life.to > at || life.from == life.to && life.from >= at)?;
        at = at.max(life.from);
        if let Some((_, until)) = journal
            .stops
            .iter()
            .find(|(from, to)| *from <= at && at < *to)
        {
            at = *until;
        }
        if at == before {
            return Some(at);
        }
    }
}

/// Whether a process is there, stopped or not.
pub(super) fn is_alive(journal: &Journal, at: Nanos) -> bool {
    let after = journal.lives.partition_point(|life| life.from <= at);
    after > 0 && at < journal.lives[after - 1].to
}

/// Whether the clock came again to a time that the ledger says is settled, while nobody was there to
/// see it go back.
pub(super) fn is_settled_before(journal: &Journal, wall: Nanos, passed: Nanos) -> bool {
    let next = journal.lives.partition_point(|life| life.from <= passed);
    let Some(life) = journal
        .lives
        .get(next)
        .filter(|_| !is_alive(journal, passed))
    else {
        return false;
    };
    let is_held = life.found_newest > Some(journal.wall(life.from));
    !is_held && life.found_settled_until >= Some(wall)
}

/// Whether the start after an instant finds a time not settled that had come by then.
pub(super) fn is_opened_anew(journal: &Journal, wall: Nanos, seen: Nanos) -> bool {
    let next = journal.lives.partition_point(|life| life.from <= seen);
    let next = journal.lives.get(next);
    next.is_some_and(|life| life.found_settled_until < Some(wall))
}

/// From the last thing that was recorded to the next start.
pub(super) fn downs(journal: &Journal) -> Vec<(Nanos, Nanos)> {
    let nexts = journal
        .lives
        .iter()
        .skip(1)
        .map(|life| life.from)
        .chain([Nanos::MAX]);
    let down = |(life, next): (&Life, Nanos)| {
        (life.unrecorded_since.unwrap_or(life.to).min(life.to), next)
    };
    journal
        .lives
        .iter()
        .zip(nexts)
        .map(down)
        .filter(|(from, _)| *from < Nanos::MAX)
        .collect()
}

/// When a start was held because the clock stood before what the ledger had seen (SEMANTICS.md 19).
pub(super) fn holds(journal: &Journal) -> Vec<(Nanos, Nanos)> {
    let held = |life: &Life| {
        let newest = life.found_newest?;
        (journal.wall(life.from) < newest).then(|| {
            (
                life.from,
                journal
                    .when(newest, life.from)
                    .min(life.from + CLOCK_PATIENCE),
            )
        })
    };
    journal.lives.iter().filter_map(held).collect()
}

/// Which times the daemon's clock showed when it took a step back for true.
pub(super) fn rewinds(journal: &Journal) -> Vec<Nanos> {
    let steps = journal
        .clock
        .windows(2)
        .filter(|step| step[1].1 < step[0].1);
    let seen = steps.filter_map(|step| awake(journal, step[1].0));
    let released = holds(journal).into_iter().map(|(_, to)| to);
    seen.chain(released).map(|at| journal.wall(at)).collect()
}

/// Whether what the daemon did at that instant was not recorded when it was killed.
pub(super) fn is_blurred(journal: &Journal, at: Nanos) -> bool {
    journal.lives.iter().any(|life| {
        life.unrecorded_since
            .is_some_and(|since| (since - SECOND..=life.to).contains(&at))
    })
}

/// Whether no unrecorded edit leaves it open what was in force.
pub(super) fn is_sure(journal: &Journal, name: &str, at: Nanos) -> bool {
    let nexts = journal
        .lives
        .iter()
        .skip(1)
        .map(|life| life.from)
        .chain([Nanos::MAX]);
    !journal.lives.iter().zip(nexts).any(|(life, next)| {
        let since = life
            .unrecorded_since
            .filter(|since| (*since..=next).contains(&at));
        since.is_some_and(|since| {
            journal
                .edits_of(name)
                .iter()
                .any(|edit| (since..=life.to).contains(&edit.at) && (edit.at..=next).contains(&at))
        })
    })
}

/// Whether a start in that stretch found no file of that name.
pub(super) fn is_gone_at_start(journal: &Journal, name: &str, from: Nanos, to: Nanos) -> bool {
    journal
        .lives
        .iter()
        .filter(|life| (from + 1..=to).contains(&life.from))
        .any(|life| {
            !journal
                .edits_of(name)
                .iter()
                .any(|edit| edit.at_start && edit.at == life.from)
        })
}

/// Whether nothing was recorded of what the daemon saw at that instant and the next start found
/// another file, or it was held because of its clock: then it goes by that.
pub(super) fn is_left_open(
    journal: &Journal,
    holds: &[(Nanos, Nanos)],
    name: &str,
    sketch: &Arc<Sketch>,
    at: Nanos,
) -> bool {
    let held = holds
        .iter()
        .any(|(from, to)| (*from..=*to + SECOND).contains(&at));
    let same = |life: &Life| {
        let mut edits = journal.edits_of(name).iter();
        edits.any(|edit| edit.at == life.from && edit.sketch.as_ref() == Some(sketch))
    };
    let mut at = at;
    while is_blurred(journal, at) {
        match journal.lives.iter().find(|life| life.from > at) {
            Some(next) if same(next) => at = next.from,
            _ => return true,
        }
    }
    held
}
