//! The judge: from what the driver did alone it reckons which occurrences were owed and by when, and
//! holds the API's record and the ledger against that. It knows nothing of how the daemon decides.

use std::collections::btree_map::Entry as Place;
use std::collections::{BTreeMap, HashMap, HashSet};

use triggerd::ledger::history::Entry;
use triggerd::plan::delivery::Verdict;

use super::api::Arrival;
use super::journal::Journal;
use super::oracle::Almanac;
use super::script::{HOUR, MILLISECOND, Nanos, SECOND};
use super::world::{nanos, timestamp};
use owed::{Case, Owed};

mod holes;
mod overlap;
mod owed;
mod paused;
mod prompt;
mod redelivered;
mod skipped;
mod text;

/// The longest that a delivery stays without a verdict.
const LONGEST: Nanos = 13 * HOUR;

/// What an occurrence is accused of: the gravest alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Charge {
    /// Owed, never accepted.
    Lost,
    /// Two effects, or two keys, for one occurrence.
    Dup,
    /// Accepted, never due.
    Ghost,
    /// Agent, conversation, text or window are not those of the version in force.
    Wrong,
    Early,
    Late,
    /// The ledger and the API's record differ.
    Lie,
    /// No verdict in the ledger.
    Silent,
}

#[derive(Debug)]
pub(super) struct Finding {
    pub charge: Charge,
    pub name: String,
    pub request_id: String,
    pub at: Nanos,
    pub detail: String,
}

#[derive(Debug, Default)]
pub(super) struct Judgement {
    pub findings: Vec<Finding>,
    pub must: usize,
    pub must_not: usize,
    pub may: usize,
    /// Of those that must not come, for a pause.
    pub paused: usize,
    pub accepted: usize,
    /// Of those, once they had been given up and a person had them tried again.
    pub redelivered: usize,
    /// Those that had to go once a run had ended, unless a newer one took their place.
    pub queued: usize,
    pub greatest_lateness: Nanos,
}

pub(super) fn judge(journal: &Journal, almanac: &Almanac) -> Judgement {
    let mut cases = owed::cases(journal, almanac);
    owed::reckon(journal, &mut cases);
    let queued = overlap::reckon(journal, &mut cases);
    let mut trial = Trial::new(journal, cases);
    trial.queued = queued.len();
    trial.hear_arrivals();
    trial.hear_ledger();
    trial.count_the_skipped();
    trial.look_for_holes();
    trial.look_for_redeliveries();
    trial.look_for_overlaps();
    trial.look_for_verdicts();
    trial.look_for_queued(&queued);
    trial.close()
}

struct Trial<'a> {
    journal: &'a Journal,
    cases: Vec<Case>,
    by_key: HashMap<String, Vec<usize>>,
    charges: BTreeMap<(String, String), Finding>,
    accepted: HashMap<String, Nanos>,
    redelivered: usize,
    queued: usize,
    lost: HashSet<&'a str>,
    paused: HashMap<String, Vec<paused::Stretch>>,
    greatest_lateness: Nanos,
}

impl<'a> Trial<'a> {
    fn new(journal: &'a Journal, cases: Vec<Case>) -> Self {
        let mut by_key: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, case) in cases.iter().enumerate() {
            by_key
                .entry(case.instance().key.clone())
                .or_default()
                .push(index);
        }
        let paused = cases.iter().map(|case| case.name.clone());
        let paused: HashSet<String> = paused.collect();
        Self {
            paused: paused
                .into_iter()
                .map(|name| (name.clone(), paused::of(journal, &name)))
                .collect(),
            lost: journal
                .lives
                .iter()
                .flat_map(|life| &life.lost)
                .map(String::as_str)
                .collect(),
            journal,
            cases,
            by_key,
            charges: BTreeMap::new(),
            accepted: HashMap::new(),
            redelivered: 0,
            queued: 0,
            greatest_lateness: 0,
        }
    }

    fn charge(&mut self, charge: Charge, name: &str, request_id: &str, at: Nanos, detail: String) {
        let finding = Finding {
            charge,
            name: name.to_owned(),
            request_id: request_id.to_owned(),
            at,
            detail,
        };
        match self.charges.entry((name.to_owned(), request_id.to_owned())) {
            Place::Occupied(mut known) if known.get().charge > charge => {
                known.insert(finding);
            }
            Place::Occupied(_) => {}
            Place::Vacant(place) => {
                place.insert(finding);
            }
        }
    }

    fn hear_arrivals(&mut self) {
        let journal = self.journal;
        let mut bodies: HashMap<&str, [u8; 32]> = HashMap::new();
        let mut effects: HashMap<(String, i64), String> = HashMap::new();
        for arrival in &journal.arrivals {
            let Some(name) = text::name_of(arrival) else {
                self.charge(
                    Charge::Wrong,
                    "?",
                    &arrival.key,
                    arrival.at,
                    "the text names no request".to_owned(),
                );
                continue;
            };
            let Some(indices) = self.by_key.get(&arrival.key).cloned() else {
                self.hear_stranger(arrival, &name);
                continue;
            };
            let request_id = self.cases[indices[0]].instance().request_id.clone();
            let index = indices.iter().copied().find(|&it| {
                text::is_said_by(
                    &self.cases[it],
                    arrival,
                    journal.went_back_before(arrival.at),
                )
            });
            let same_bytes =
                *bodies.entry(&arrival.key).or_insert(arrival.sha256) == arrival.sha256;
            if index.is_none() {
                let detail = format!(
                    "v{}: {}",
                    self.cases[indices[0]].sketch.version, arrival.body
                );
                self.charge(Charge::Wrong, &name, &request_id, arrival.at, detail);
            } else if !same_bytes && !self.lost.contains(arrival.key.as_str()) {
                let detail = format!("other bytes than before: {}", arrival.body);
                self.charge(Charge::Wrong, &name, &request_id, arrival.at, detail);
            }
            let case = &self.cases[index.unwrap_or(indices[0])];
            let (scheduled, due) = (case.scheduled(), case.due());
            let (by, owed) = (case.by, case.owed);
            let place = (name.clone(), case.instance().at);
            let redelivered = self.is_redelivered(&arrival.key, arrival.at);
            // Who has it tried again does not wait for its jitter.
            let due = if redelivered { scheduled } else { due };
            // Once its time has come it may be sent again, even if the clock went back since.
            if journal.when(due, journal.starts) > arrival.at {
                let detail = format!(
                    "sent {} ms before it was due",
                    (due - arrival.sent_at) / MILLISECOND
                );
                self.charge(Charge::Early, &name, &request_id, arrival.at, detail);
            }
            if self.paused[&name].iter().any(|it| it.holds(arrival.at)) {
                let detail = "sent while it was paused".to_owned();
                self.charge(Charge::Ghost, &name, &request_id, arrival.at, detail);
            }
            if !arrival.takes_effect {
                continue;
            }
            self.accepted.insert(arrival.key.clone(), arrival.at);
            if owed == Owed::MustNot {
                let detail = "it was to be skipped".to_owned();
                self.charge(Charge::Ghost, &name, &request_id, arrival.at, detail);
            }
            self.redelivered += usize::from(redelivered);
            if arrival.at > by && !redelivered {
                let detail = format!(
                    "{} s after the end of its window",
                    (arrival.at - by) / SECOND
                );
                self.charge(Charge::Late, &name, &request_id, arrival.at, detail);
            }
            if by < Nanos::MAX && !redelivered {
                let due = journal.when(due, self.cases[indices[0]].seen_at);
                self.greatest_lateness = self.greatest_lateness.max(arrival.at - due);
            }
            let repassed = self.cases[index.unwrap_or(indices[0])].repassed;
            if !repassed
                && let Some(other) = effects.insert(place, arrival.key.clone())
                && other != arrival.key
                // Written nowhere when the process was killed, and its file was edited (SEMANTICS.md 20).
                && !self.lost.contains(other.as_str())
            {
                let detail = format!("also accepted as {other}");
                self.charge(Charge::Dup, &name, &request_id, arrival.at, detail);
            }
        }
    }

    /// A key that no occurrence has.
    fn hear_stranger(&mut self, arrival: &Arrival, name: &str) {
        let request_id = text::request_id_of(arrival);
        let of_another = self
            .cases
            .iter()
            .any(|case| case.instance().request_id == request_id);
        let charge = if of_another {
            Charge::Dup
        } else {
            Charge::Ghost
        };
        let detail = format!("nothing has the key {}", arrival.key);
        self.charge(charge, name, &request_id, arrival.at, detail);
    }

    fn hear_ledger(&mut self) {
        let journal = self.journal;
        // By schedule and instant: what was written ahead before an edit keeps its key.
        let mut verdicts: HashSet<(&str, Nanos)> = HashSet::new();
        let mut skipped: HashMap<&str, Vec<(Nanos, Nanos)>> = HashMap::new();
        for entry in &journal.entries {
            match entry {
                Entry::Skip(it) => skipped
                    .entry(it.skipped.schedule.as_str())
                    .or_default()
                    .push((nanos(it.skipped.first), nanos(it.skipped.last))),
                Entry::Delivery(delivery) => {
                    let key = delivery.idempotency_key.as_str();
                    let name = delivery.occurrence.schedule.as_str();
                    let accepted_at = self.accepted.get(key).copied();
                    let at = accepted_at.unwrap_or(nanos(delivery.due_at));
                    let Some(ending) = &delivery.ending else {
                        continue;
                    };
                    let verdict = ending.verdict;
                    verdicts.insert((name, nanos(delivery.occurrence.scheduled_at)));
                    let lies = match (verdict, accepted_at) {
                        (Verdict::Accepted, None) => true,
                        (Verdict::Accepted, Some(_)) | (_, None) => false,
                        (_, Some(_)) => !delivery.outcome_unknown && !self.lost.contains(key),
                    };
                    if lies {
                        let detail = format!(
                            "{verdict:?}, but the API accepted: {}",
                            accepted_at.is_some()
                        );
                        self.charge(Charge::Lie, name, &delivery.request_id, at, detail);
                    }
                }
            }
        }
        for index in 0..self.cases.len() {
            let case = &self.cases[index];
            let (name, request_id) = (case.name.clone(), case.instance().request_id.clone());
            let key = &case.instance().key;
            let accepted = self.accepted.contains_key(key);
            if case.owed == Owed::Must && !accepted && case.by < journal.ends {
                let detail = format!("owed by {}", timestamp(case.by));
                self.charge(Charge::Lost, &name, &request_id, case.seen_at, detail);
                continue;
            }
            let at = case.scheduled();
            let has_verdict = verdicts.contains(&(case.name.as_str(), at))
                || skipped.get(case.name.as_str()).is_some_and(|rows| {
                    rows.iter()
                        .any(|(first, last)| (*first..=*last).contains(&at))
                });
            // The clock went back over it, and it has not come again in this version's time.
            let is_withdrawn = journal.steps_below(at, case.last_seen_at);
            let is_over = case.last_seen_at < journal.ends - LONGEST;
            if !has_verdict && case.sure && !is_withdrawn && is_over {
                let seen_at = case.seen_at;
                self.charge(Charge::Silent, &name, &request_id, seen_at, String::new());
            }
        }
    }

    fn close(self) -> Judgement {
        let count = |owed| self.cases.iter().filter(|case| case.owed == owed).count();
        let is_paused = |case: &&Case| {
            let mut pauses = self.paused[&case.name].iter();
            pauses.any(|it| it.skips(case.scheduled(), case.seen_at))
        };
        let must_not = self.cases.iter().filter(|it| it.owed == Owed::MustNot);
        Judgement {
            paused: must_not.filter(is_paused).count(),
            must: count(Owed::Must),
            must_not: count(Owed::MustNot),
            may: count(Owed::May),
            accepted: self.accepted.len(),
            redelivered: self.redelivered,
            queued: self.queued,
            greatest_lateness: self.greatest_lateness,
            findings: self.charges.into_values().collect(),
        }
    }
}
