//! Whether occurrences made way for active runs and no others (SEMANTICS.md 23): none is sent while an
//! earlier run is active, and what was queued goes once that has ended. What a run's own course is it
//! has from the API's record.

use std::collections::HashMap;

use triggerd::ledger::history::Entry;
use triggerd::plan::delivery::Verdict;
use triggerd::schedule::OverlapPolicy;

use super::owed::{self, Case, Cover, EPSILON, Owed};
use super::paused;
use super::{Charge, Trial};
use crate::simulation::api::Arrival;
use crate::simulation::journal::Journal;
use crate::simulation::reign;
use crate::simulation::runs;
use crate::simulation::script::{HOUR, MINUTE, Nanos, SECOND};
use crate::simulation::sketch::{AGENTS, Sketch};
use crate::simulation::world::timestamp;

/// How long the daemon may not have looked at a run, and look at it three times.
const LOOKS: Nanos = 130 * SECOND;

/// How long a call may be under way.
const CALL: Nanos = 61 * SECOND;

/// How long what was queued may wait for its place in a catch-up.
const TURN: Nanos = MINUTE;

/// What stood in the way of one schedule, and what was sent for it.
struct Past<'a> {
    journal: &'a Journal,
    /// By when they begin.
    covers: Vec<Cover>,
    /// In order of time.
    arrivals: Vec<&'a Arrival>,
    /// By how long a run is not held for stuck: when that of each arrival is active no more.
    frees: HashMap<u64, Vec<Nanos>>,
}

/// What must be accepted once no run is active any more.
pub(super) struct Queued {
    case: usize,
    by: Nanos,
}

/// Where a run may have been active nothing must come at once. Gives what must come after it.
pub(super) fn reckon(journal: &Journal, cases: &mut [Case]) -> Vec<Queued> {
    let mut pasts: HashMap<String, Past> = HashMap::new();
    let mut queued = Vec::new();
    for (index, case) in cases.iter_mut().enumerate() {
        if case.sketch.overlap == OverlapPolicy::Allow || case.owed == Owed::MustNot {
            continue;
        }
        let past = pasts
            .entry(case.name.clone())
            .or_insert_with(|| Past::of(journal, &case.name));
        let from = case.seen_at - 2 * SECOND;
        let Some(free) = past.free_after(case, from) else {
            continue;
        };
        let was_owed = std::mem::replace(&mut case.owed, Owed::May) == Owed::Must;
        if case.sketch.overlap != OverlapPolicy::Queue {
            continue;
        }
        let deadline = owed::deadline(journal, case);
        let by = free.max(journal.when(case.due(), case.seen_at)) + TURN;
        let is_steady = |to: Nanos| {
            let mut steps = journal.clock.iter();
            !steps.any(|(at, _)| (from..=to).contains(at))
        };
        let mut edits = journal.edits_of(&case.name).iter();
        if was_owed
            && by < deadline.min(journal.ends)
            && is_steady(by)
            && !past.is_covered(from, by)
            && !edits.any(|edit| (from..=by).contains(&edit.at))
        {
            queued.push(Queued { case: index, by });
        }
        // The wait counts against its deadline.
        let expires = reign::awake(journal, deadline).unwrap_or(deadline);
        case.by = match is_steady(expires) && !reign::is_blurred(journal, case.seen_at) {
            true => case.by.max(deadline + EPSILON),
            false => Nanos::MAX,
        };
    }
    queued
}

impl<'a> Past<'a> {
    fn of(journal: &'a Journal, name: &str) -> Self {
        let paused = paused::of(journal, name);
        let covers = (0..AGENTS.len()).flat_map(|agent| owed::covers(journal, agent, &paused));
        let mut covers: Vec<_> = covers.collect();
        covers.sort_by_key(|cover| cover.from);
        let prefix = format!("{name}-");
        let arrivals = journal.arrivals.iter();
        Self {
            journal,
            covers,
            arrivals: arrivals.filter(|it| it.key.starts_with(&prefix)).collect(),
            frees: HashMap::new(),
        }
    }

    fn is_covered(&self, from: Nanos, to: Nanos) -> bool {
        let mut covers = self.covers.iter();
        covers.any(|it| it.from <= to && from <= it.ends())
    }

    /// When no run of another occurrence can be thought active any more, if one may have been when
    /// this was to be sent.
    fn free_after(&mut self, case: &Case, from: Nanos) -> Option<Nanos> {
        let stuck_after = case.sketch.stuck_after;
        if !self.frees.contains_key(&stuck_after) {
            let frees = self.arrivals.iter().map(|it| self.free_of(it, stuck_after));
            let frees = frees.collect();
            self.frees.insert(stuck_after, frees);
        }
        let frees = &self.frees[&stuck_after];
        let key = &case.instance().key;
        let to = case.by.min(case.seen_at + HOUR);
        let first = self
            .arrivals
            .partition_point(|it| it.at < from - runs::LONGEST - HOUR);
        let before = self.arrivals.iter().zip(frees).skip(first);
        let free = before
            .take_while(|(it, _)| it.at <= to + SECOND)
            .filter(|(it, free)| it.key != *key && **free >= from)
            .map(|(_, free)| *free)
            .max();
        match free {
            None if self.is_covered(from, to) => Some(to),
            free => free,
        }
    }

    /// When the daemon surely knows that the run of a call is active no more, or holds it for stuck.
    fn free_of(&self, arrival: &Arrival, stuck_after: u64) -> Nanos {
        let Some(ends) = arrival.run_ends else {
            return self.heard(arrival.at + CALL);
        };
        let stuck_after = Nanos::try_from(stuck_after).expect("short") * SECOND;
        let stuck_at = arrival.at + CALL + stuck_after;
        let mut steps = self.journal.clock.iter();
        let ends = match steps.any(|(at, _)| (arrival.at..=stuck_at).contains(at)) {
            true => ends,
            false => ends.min(stuck_at),
        };
        self.heard(ends.max(arrival.at) + LOOKS)
    }

    /// Later, if something stood in the way of looking.
    fn heard(&self, mut at: Nanos) -> Nanos {
        for cover in &self.covers {
            if cover.from <= at && at - LOOKS <= cover.ends() {
                at = at.max(cover.ends().saturating_add(LOOKS));
            }
        }
        at
    }
}

impl Trial<'_> {
    /// What was queued goes once no run is active, unless a newer one took its place.
    pub(super) fn look_for_queued(&mut self, queued: &[Queued]) {
        for Queued { case, by } in queued {
            let case = &self.cases[*case];
            let of_name = self.cases.iter().filter(|it| it.name == case.name);
            let mut newer = of_name.filter(|it| it.scheduled() > case.scheduled());
            let makes_way = newer.any(|it| it.seen_at <= *by && it.owed != Owed::MustNot);
            let accepted = self.accepted.get(&case.instance().key);
            if !makes_way && accepted.is_none_or(|at| at > by) {
                let (name, request_id) = (case.name.clone(), case.instance().request_id.clone());
                let detail = format!("no run was active by {}", timestamp(*by));
                let at = case.seen_at;
                self.charge(Charge::Lost, &name, &request_id, at, detail);
            }
        }
    }

    /// Nothing is sent while an earlier run of its schedule is active.
    pub(super) fn look_for_overlaps(&mut self) {
        let journal = self.journal;
        let accepted: HashMap<&str, bool> = journal
            .entries
            .iter()
            .filter_map(|entry| match entry {
                Entry::Delivery(it) => {
                    let verdict = it.ending.as_ref().map(|ending| ending.verdict);
                    let is_plain = it.former.is_empty() && verdict == Some(Verdict::Accepted);
                    Some((it.idempotency_key.as_str(), is_plain))
                }
                Entry::Skip(_) => None,
            })
            .collect();
        let mut overlaps = Vec::new();
        let mut of_name: HashMap<String, Vec<&Arrival>> = HashMap::new();
        let mut seen: HashMap<&str, Nanos> = HashMap::new();
        for arrival in &journal.arrivals {
            let Some(indices) = self.by_key.get(&arrival.key) else {
                continue;
            };
            let case = &self.cases[indices[0]];
            let first = seen.insert(&arrival.key, arrival.at).is_none();
            let before = of_name.entry(case.name.clone()).or_default();
            let in_force = in_force(journal, &case.name, arrival.at);
            if first && let Some(sketch) = in_force.filter(|it| it.overlap != OverlapPolicy::Allow)
            {
                let stuck_after = Nanos::try_from(sketch.stuck_after).expect("short") * SECOND;
                let active = before.iter().find(|it| {
                    let mut steps = journal.clock.iter();
                    it.key != arrival.key
                        && it.at < arrival.at - 2 * SECOND
                        && it.run_ends.is_some_and(|ends| ends > arrival.at)
                        && it.at + stuck_after > arrival.at + 2 * SECOND
                        && !steps.any(|(at, _)| (it.at..=arrival.at).contains(at))
                        && accepted.get(it.key.as_str()) == Some(&true)
                        && !self.lost.contains(it.key.as_str())
                });
                if let Some(active) = active {
                    let detail = format!("sent while the run of {} was active", active.key);
                    let request_id = case.instance().request_id.clone();
                    overlaps.push((case.name.clone(), request_id, arrival.at, detail));
                }
            }
            if arrival.takes_effect {
                before.push(arrival);
            }
        }
        for (name, request_id, at, detail) in overlaps {
            self.charge(Charge::Ghost, &name, &request_id, at, detail);
        }
    }
}

/// The version that was surely in force for a while.
fn in_force<'a>(journal: &'a Journal, name: &str, at: Nanos) -> Option<&'a Sketch> {
    let edits = journal.edits_of(name);
    let before = edits.partition_point(|edit| edit.at <= at);
    let edit = edits[..before].last()?;
    let is_young = edit.at > at - MINUTE && !edit.at_start;
    let is_sure = !is_young && reign::is_sure(journal, name, at);
    edit.sketch.as_deref().filter(|it| is_sure && it.enabled)
}
