//! What is owed: each occurrence that the driver's deeds make, whether it must, must not or may arrive,
//! and by when. It looks at no arrival and no ledger.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use triggerd::schedule::{CatchUp, OverlapPolicy};

use super::paused::{self, Stretch};
use crate::simulation::journal::Journal;
use crate::simulation::oracle::{Almanac, Instance};
use crate::simulation::reign::{self, Reign};
use crate::simulation::script::{DAY, Kind, MILLISECOND, Nanos, SECOND};
use crate::simulation::sketch::{AGENTS, Sketch};

/// What may pass between the end of a fault and the next attempt, beside the longest wait.
const GRACE: Nanos = 30 * SECOND;

/// Up to this late an occurrence fires, whatever the policy.
const LATE: Nanos = 30 * SECOND;

/// How late an acceptance may be when nothing stands in its way.
pub(super) const EPSILON: Nanos = SECOND;

/// One occurrence, as the driver's deeds make it.
pub(super) struct Case {
    pub name: String,
    pub sketch: Arc<Sketch>,
    pub instances: Rc<Vec<Instance>>,
    pub index: usize,
    /// When the daemon first saw that it had come.
    pub seen_at: Nanos,
    /// And when it saw that last, if the clock came to it again.
    pub last_seen_at: Nanos,
    /// Whether it is certain that this version was in force.
    pub sure: bool,
    /// The clock went over its time more than once.
    pub repassed: bool,
    pub owed: Owed,
    /// No acceptance after this; far away where that can't be told.
    pub by: Nanos,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owed {
    Must,
    MustNot,
    May,
}

impl Case {
    pub(super) fn instance(&self) -> &Instance {
        &self.instances[self.index]
    }

    pub(super) fn due(&self) -> Nanos {
        self.instance().due_ms * MILLISECOND
    }

    pub(super) fn scheduled(&self) -> Nanos {
        self.instance().at * SECOND
    }
}

/// Every occurrence that came while some version was in force.
pub(super) fn cases(journal: &Journal, almanac: &Almanac) -> Vec<Case> {
    const MARGIN: Nanos = 8 * DAY;
    let reigns = reign::reigns(journal);
    let holds = reign::holds(journal);
    // Over which times of the clock each version is in force.
    let mut spans: HashMap<*const Sketch, (Nanos, Nanos)> = HashMap::new();
    for it in &reigns {
        for pass in reign::passes(journal, it.from, it.to) {
            let span = spans
                .entry(Arc::as_ptr(&it.sketch))
                .or_insert((pass.wall_from, pass.wall_to));
            *span = (span.0.min(pass.wall_from), span.1.max(pass.wall_to));
        }
    }
    let mut known: HashMap<*const Sketch, Rc<Vec<Instance>>> = HashMap::new();
    let mut cases: Vec<Case> = Vec::new();
    let mut found: HashMap<(String, i64, u32), usize> = HashMap::new();
    for Reign {
        name,
        sketch,
        from,
        to,
        known_from,
        sure,
    } in reigns
    {
        let Some((first, last)) = spans.get(&Arc::as_ptr(&sketch)) else {
            continue;
        };
        let instances =
            || almanac.instances(&sketch, (first - MARGIN) / SECOND, (last + MARGIN) / SECOND);
        let instances = known
            .entry(Arc::as_ptr(&sketch))
            .or_insert_with(|| Rc::new(instances()))
            .clone();
        for pass in reign::passes(journal, from, to) {
            let first = instances.partition_point(|it| it.at * SECOND <= pass.wall_from);
            let last = instances.partition_point(|it| it.at * SECOND <= pass.wall_to);
            for index in first..last.max(first) {
                let at = instances[index].at;
                let repassed = at * SECOND <= pass.high_water;
                let passed_at = pass.when(at * SECOND);
                let mut again = None;
                if let Some(before) = found.get(&(name.clone(), at, sketch.version)) {
                    cases[*before].repassed |= repassed;
                    again = Some(*before);
                }
                let Some(seen_at) = reign::awake(journal, passed_at.max(known_from)) else {
                    continue;
                };
                if journal.wall(seen_at) < at * SECOND {
                    // The clock went back over it before anyone saw it come.
                    continue;
                }
                if let Some(before) = again {
                    let case = &mut cases[before];
                    case.last_seen_at = case.last_seen_at.max(seen_at);
                    continue;
                }
                found.insert((name.clone(), at, sketch.version), cases.len());
                cases.push(Case {
                    name: name.clone(),
                    sketch: sketch.clone(),
                    instances: instances.clone(),
                    index,
                    seen_at,
                    last_seen_at: seen_at,
                    sure: sure
                        && reign::is_sure(journal, &name, passed_at)
                        && !reign::is_settled_before(journal, at * SECOND, passed_at)
                        && !reign::is_left_open(journal, &holds, &name, &sketch, seen_at),
                    repassed,
                    owed: Owed::Must,
                    by: Nanos::MAX,
                });
            }
        }
    }
    cases
}

/// A stretch of trouble, and the longest wait that the daemon may keep after it.
#[derive(Clone, Copy)]
pub(super) struct Cover {
    pub from: Nanos,
    to: Nanos,
    wait: Nanos,
}

impl Cover {
    /// Nothing of it stands in the way after this.
    pub(super) fn ends(&self) -> Nanos {
        self.to.saturating_add(self.wait + GRACE)
    }
}

/// What stands in the way of a schedule's deliveries to an agent, what runs into one another as one.
pub(super) fn covers(journal: &Journal, agent: usize, paused: &[Stretch]) -> Vec<Cover> {
    let api = journal
        .faults
        .iter()
        .filter(|fault| fault.scope.covers(agent))
        .map(|fault| Cover {
            from: fault.from,
            to: fault.to,
            wait: fault.kind.longest_wait(),
        });
    let plain = |(from, to)| Cover { from, to, wait: 0 };
    let stops = journal.stops.iter().copied().map(plain);
    let downs = reign::downs(journal).into_iter().map(plain);
    let holds = reign::holds(journal).into_iter().map(plain);
    let slow = journal
        .disk
        .iter()
        .map(|it| plain((it.from, it.to + 21 * SECOND)));
    let mut all: Vec<Cover> = api
        .chain(stops)
        .chain(downs)
        .chain(holds)
        .chain(slow)
        .chain(paused.iter().map(|it| plain((it.from, it.to))))
        .collect();
    all.sort_by_key(|cover| cover.from);
    let mut merged: Vec<Cover> = Vec::new();
    for cover in all {
        match merged.last_mut() {
            Some(last) if cover.from <= last.to + last.wait + GRACE => {
                last.to = last.to.max(cover.to);
                last.wait = last.wait.max(cover.wait);
            }
            _ => merged.push(cover),
        }
    }
    merged
}

/// When a delivery expires that opens when its occurrence is seen.
pub(super) fn deadline(journal: &Journal, case: &Case) -> Nanos {
    let seconds = |length: u64| Nanos::try_from(length).expect("short") * SECOND;
    let (within, give_up) = (case.sketch.within, case.sketch.give_up_after);
    let wall = journal.wall(case.seen_at);
    let opened = match wall - case.due() > LATE {
        true => wall,
        false => case.due(),
    };
    let deadline = match case.sketch.catch_up {
        CatchUp::None => opened + seconds(give_up),
        _ => (opened + seconds(give_up)).min(case.scheduled() + seconds(within)),
    };
    case.seen_at + deadline - wall
}

/// What is owed, and by when.
pub(super) fn reckon(journal: &Journal, cases: &mut [Case]) {
    let rejects = |agent: usize, from: Nanos, to: Nanos| {
        journal.faults.iter().any(|fault| {
            fault.kind == Kind::Rejected
                && fault.scope.covers(agent)
                && fault.from <= to
                && fault.to >= from
        })
    };
    let holds = reign::holds(journal);
    let mut by_name: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, case) in cases.iter().enumerate() {
        by_name.entry(case.name.clone()).or_default().push(index);
    }
    for (name, indices) in &mut by_name {
        let paused = paused::of(journal, name);
        let covers: Vec<Vec<Cover>> = (0..AGENTS.len())
            .map(|agent| covers(journal, agent, &paused))
            .collect();
        indices.sort_by_key(|&index| (cases[index].seen_at, cases[index].scheduled()));
        let mut ends = vec![0; indices.len()];
        for (place, &index) in indices.iter().enumerate() {
            let case = &cases[index];
            let wall = journal.wall(case.seen_at);
            let lateness = wall - case.due();
            let age = wall - case.scheduled();
            let within = Nanos::try_from(case.sketch.within).expect("short") * SECOND;
            let missed = lateness > LATE;
            let near = |a: Nanos, b: Nanos| (a - b).abs() < SECOND;
            let mut may = near(lateness, LATE) || (missed && near(age, within));
            may |= paused.iter().any(|it| it.may_skip(case.seen_at));
            let is_paused = paused
                .iter()
                .any(|it| it.skips(case.scheduled(), case.seen_at));
            // Missed ones that the daemon saw in the same moment, newer than this.
            let newer = indices[place + 1..]
                .iter()
                .take_while(|&&it| cases[it].seen_at == case.seen_at)
                .filter(|&&it| !cases[it].instance().excluded && wall - cases[it].due() > LATE)
                .count();
            let is_oldest = place == 0 || cases[indices[place - 1]].seen_at != case.seen_at;
            let may_overlap = case.sketch.overlap == OverlapPolicy::Allow;
            let mut owed = match case.sketch.catch_up {
                _ if case.instance().excluded || is_paused => Owed::MustNot,
                _ if !missed => Owed::Must,
                CatchUp::None => Owed::MustNot,
                _ if age > within => Owed::MustNot,
                // What was written ahead at a kill may have been sent: then the newer makes way for it.
                CatchUp::Latest if newer > 0 && is_oldest && !may_overlap => Owed::May,
                CatchUp::Latest if newer > 0 => Owed::MustNot,
                CatchUp::All { at_most, .. } if newer >= at_most as usize => Owed::May,
                CatchUp::Latest | CatchUp::All { .. } => Owed::Must,
            };
            // By when.
            let starts = journal.when(case.due(), case.seen_at);
            let spacing = match case.sketch.catch_up {
                CatchUp::All { at_most, spacing } => {
                    Nanos::try_from(spacing.as_nanos()).expect("short") * Nanos::from(at_most)
                }
                _ => 0,
            };
            let covered = covers[case.sketch.agent]
                .iter()
                .find(|it| it.from <= starts + EPSILON && starts <= it.to + it.wait + GRACE);
            let end = match covered {
                Some(cover) => cover.to.max(starts) + cover.wait + GRACE + spacing,
                None if missed => starts + spacing,
                None => starts,
            };
            // What strikes before its place in the catch-up has come moves the end as well.
            let end = covers[case.sketch.agent]
                .iter()
                .filter(|it| it.from > starts)
                .fold(end, |end, it| match it.from <= end && spacing > 0 {
                    true => end.max(it.to + it.wait + GRACE + spacing),
                    false => end,
                });
            let deadline = deadline(journal, case);
            let stepped = |until: Nanos| {
                journal
                    .clock
                    .iter()
                    .any(|(at, _)| (case.seen_at..=until).contains(at))
            };
            let mut by = end;
            if end > deadline - 2 * SECOND {
                may = true;
                // Where nobody is there at the deadline the next start holds its clock against it.
                let heard = reign::awake(journal, deadline).unwrap_or(deadline);
                // What the ledger doesn't say is settled is opened anew by the next start.
                if !reign::is_opened_anew(journal, case.scheduled(), case.seen_at)
                    && !stepped(heard)
                    && !reign::is_blurred(journal, case.seen_at)
                {
                    by = end.min(deadline);
                }
            }
            may |= covered.is_some() && stepped(end);
            may |= rejects(case.sketch.agent, starts, end);
            may |= reign::is_blurred(journal, case.seen_at);
            may |= !case.sure || case.repassed;
            let is_there = reign::awake(journal, starts) == Some(starts);
            // What the next start finds not settled it may find missed.
            let is_kept =
                is_there && !reign::is_opened_anew(journal, case.scheduled(), case.seen_at);
            may |= case.sketch.catch_up == CatchUp::None && !is_kept;
            may |= holds
                .iter()
                .any(|(from, to)| (*from..=*to + SECOND).contains(&case.seen_at));
            may |= journal.edits_of(&case.name).iter().any(|edit| {
                edit.at >= case.seen_at
                    && edit.at <= end + EPSILON
                    && edit.sketch.as_ref() != Some(&case.sketch)
            });
            may |= reign::is_gone_at_start(journal, &case.name, case.seen_at, end + EPSILON);
            ends[place] = end;
            if may {
                owed = Owed::May;
            }
            let case = &mut cases[index];
            case.owed = owed;
            case.by = if case.repassed {
                Nanos::MAX
            } else {
                by + EPSILON
            };
        }
        // A newer one may make an older one give way.
        for (place, &index) in indices.iter().enumerate() {
            let gives_way_to = match cases[index].sketch.catch_up {
                CatchUp::None | CatchUp::Latest => 1,
                CatchUp::All { at_most, .. } => at_most as usize,
            };
            let newer = indices[place + 1..]
                .iter()
                .take_while(|&&it| cases[it].seen_at <= ends[place] + EPSILON)
                .filter(|&&it| cases[it].scheduled() > cases[index].scheduled())
                .filter(|&&it| cases[it].owed != Owed::MustNot)
                .count();
            if cases[index].owed == Owed::Must && newer >= gives_way_to {
                cases[index].owed = Owed::May;
            }
        }
    }
}
