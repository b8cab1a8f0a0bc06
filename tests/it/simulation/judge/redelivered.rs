//! What people had tried again: until when it may arrive, and whether it had to. It knows nothing of what
//! was owed before.

use triggerd::schedule::OverlapPolicy;

use super::owed::{self, EPSILON};
use super::{Charge, Trial};
use crate::simulation::journal::{Journal, Redelivery};
use crate::simulation::reign;
use crate::simulation::script::{HOUR, MINUTE, Nanos, SECOND};
use crate::simulation::world::timestamp;

/// Where no file says how long.
const GIVE_UP_AFTER: Nanos = 12 * HOUR;

/// As long as it may wait for its place in a catch-up, and for what stands in its way to be over.
const TURN: Nanos = 6 * MINUTE;

impl Trial<'_> {
    /// Whether that key may arrive at that instant because somebody asked for it.
    pub(super) fn is_redelivered(&self, key: &str, at: Nanos) -> bool {
        let mut redeliveries = self.journal.redeliveries.iter().filter(|it| it.key == key);
        redeliveries.any(|it| it.at <= at && at <= until(self.journal, it))
    }

    /// With nothing in its way, what is tried again is accepted.
    pub(super) fn look_for_redeliveries(&mut self) {
        let journal = self.journal;
        for it in &journal.redeliveries {
            let case = self.by_key.get(&it.key).map(|of| &self.cases[of[0]]);
            let Some(case) = case.filter(|_| !self.accepted.contains_key(&it.key)) else {
                continue;
            };
            // It may make way for a run, or for what is queued.
            let edits = journal.edits_of(&it.name).iter();
            let in_force = edits.rev().find(|edit| edit.at <= it.at);
            let in_force = in_force.and_then(|edit| edit.sketch.as_ref());
            if in_force.is_some_and(|sketch| sketch.overlap != OverlapPolicy::Allow) {
                continue;
            }
            let (agent, request_id) = (case.sketch.agent, case.instance().request_id.clone());
            let paused = &self.paused[&it.name];
            let end = it.at + TURN;
            let is_free = owed::covers(journal, agent, paused)
                .iter()
                .all(|cover| end < cover.from || cover.ends() < it.at);
            let is_steady = journal
                .clock
                .iter()
                .all(|(at, _)| !(it.at..=end).contains(at));
            let edits = journal.edits_of(&it.name).iter();
            let is_edited = edits
                .map(|edit| edit.at)
                .any(|at| (it.at..=end).contains(&at));
            if is_free && is_steady && !is_edited && !reign::is_blurred(journal, it.at) {
                let detail = format!("tried again at {}, in vain", timestamp(it.at));
                self.charge(Charge::Lost, &it.name, &request_id, it.at, detail);
            }
        }
    }
}

fn until(journal: &Journal, it: &Redelivery) -> Nanos {
    let edits = journal.edits_of(&it.name).iter();
    let edit = edits.rev().find(|edit| edit.at <= it.at);
    let in_force = edit
        .filter(|edit| !reign::is_gone_at_start(journal, &it.name, edit.at, it.at))
        .and_then(|edit| edit.sketch.as_ref())
        .filter(|sketch| sketch.enabled);
    let give_up_after = in_force.map_or(GIVE_UP_AFTER, |sketch| {
        Nanos::try_from(sketch.give_up_after).expect("short") * SECOND
    });
    let deadline = it.at + give_up_after;
    // Where nobody is there at the deadline the next start holds its clock against it.
    let heard = reign::awake(journal, deadline).unwrap_or(deadline);
    let mut steps = journal.clock.iter();
    match steps.any(|(at, _)| (it.at..=heard).contains(at)) {
        true => Nanos::MAX,
        false => deadline + EPSILON,
    }
}
