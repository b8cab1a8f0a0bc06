//! Which facts a node may still write, where several share the database: those of the schedules that
//! it looks after, by the number of its claim.
//! It knows no column of a fact.

use std::collections::{HashMap, HashSet};

use super::connection::{Call, Connection, call};
use super::trouble::Trouble;
use crate::ledger::cluster::Claim;
use crate::ledger::store::{Stated, Written};
use crate::plan::delivery::Verdict;
use crate::plan::fact::Fact;
use crate::plan::occurrence::Origin;
use crate::schedule::ScheduleId;

/// By which claims facts are written.
pub(super) type Claims = HashMap<ScheduleId, Claim>;

/// The facts of one transaction as far as they may be written.
pub(super) struct Fence<'a> {
    /// `None` where the writer is alone.
    claims: Option<&'a Claims>,
    lost: HashSet<ScheduleId>,
}

impl<'a> Fence<'a> {
    pub(super) fn new(claims: Option<&'a Claims>) -> Self {
        Self {
            claims,
            lost: HashSet::new(),
        }
    }

    /// Whether the schedule is none that this node looks after.
    pub(super) fn is_strange(&self, schedule: &ScheduleId) -> bool {
        self.claims
            .is_some_and(|claims| !claims.contains_key(schedule) || self.lost.contains(schedule))
    }

    /// Leaves out what is not for this node to say. That something was accepted is true whoever sent
    /// it: it is written all the same, with what belongs to it.
    pub(super) fn leave_out(&self, facts: &[Stated<'_>], written: &mut [Written]) {
        if self.claims.is_none() {
            return;
        }
        let accepted: HashSet<_> = facts
            .iter()
            .filter_map(|stated| match stated.fact {
                Fact::Ended(it) if it.verdict == Verdict::Accepted => {
                    Some(&it.delivery.idempotency_key)
                }
                _ => None,
            })
            .collect();
        let is_true = |fact: &Fact| match fact {
            Fact::WrittenAhead(_) | Fact::Attempted(_) | Fact::Ended(_) => {
                fact.key().is_some_and(|key| accepted.contains(key))
            }
            _ => false,
        };
        for (Stated { fact, .. }, written) in facts.iter().zip(written) {
            let is_strange = schedule_of(fact).is_some_and(|schedule| self.is_strange(schedule));
            if is_strange && *written == Written::Yes && !is_true(fact) {
                *written = Written::Fenced;
            }
        }
    }

    /// The first statement of the transaction that writes these: it fails where a claim holds no more.
    pub(super) fn check(&self, facts: &[(usize, &Fact)]) -> Option<Call<'static>> {
        let claims = self.claims?;
        let schedules = facts.iter().filter_map(|(_, fact)| schedule_of(fact));
        let own: HashSet<_> = schedules.filter(|it| !self.is_strange(it)).collect();
        if own.is_empty() {
            return None;
        }
        // In one order everywhere, so that no two wait for each other.
        let mut own: Vec<_> = own.into_iter().collect();
        own.sort_unstable();
        let numbers: Vec<i64> = own.iter().map(|schedule| claims[*schedule].0).collect();
        let own: Vec<String> = own.iter().map(|it| it.to_string()).collect();
        Some(call(
            "SELECT fence($1, $2)",
            vec![Box::new(own), Box::new(numbers)],
        ))
    }

    /// A claim of one of these holds no more: finds out which.
    pub(super) fn find_lost(
        &mut self,
        facts: &[Stated<'_>],
        connection: &Connection,
    ) -> Result<(), Trouble> {
        let Some(claims) = self.claims else {
            return Ok(());
        };
        let schedules = facts.iter().filter_map(|stated| schedule_of(stated.fact));
        let claimed: HashMap<&ScheduleId, i64> = schedules
            .filter_map(|schedule| Some((schedule, claims.get(schedule)?.0)))
            .collect();
        let names: Vec<&str> = claimed.keys().map(|it| it.as_str()).collect();
        let rows = connection.query(
            "SELECT schedule, fence FROM owners WHERE schedule = ANY($1::text[])",
            &[&names],
        )?;
        let held: HashMap<&str, i64> = rows
            .iter()
            .map(|row| (row.get("schedule"), row.get("fence")))
            .collect();
        let lost = claimed
            .into_iter()
            .filter(|(schedule, number)| held.get(schedule.as_str()) != Some(number));
        self.lost.extend(lost.map(|(schedule, _)| schedule.clone()));
        Ok(())
    }

    pub(super) fn into_lost(self) -> HashSet<ScheduleId> {
        self.lost
    }
}

/// Whose owner alone may state it; `None` for what anybody may.
fn schedule_of(fact: &Fact) -> Option<&ScheduleId> {
    let occurrence = match fact {
        Fact::WrittenAhead(it) | Fact::Withdrawn(it) | Fact::Reopened(it) => &it.occurrence,
        Fact::Attempted(it) => &it.delivery.occurrence,
        Fact::Ended(it) => &it.delivery.occurrence,
        Fact::Run(it) => &it.run.occurrence,
        Fact::Skipped(it) => return Some(&it.schedule),
        Fact::Began { schedule, .. }
        | Fact::Ceased { schedule, .. }
        | Fact::InForce { schedule, .. }
        | Fact::TakenUp { schedule }
        | Fact::GivenUp { schedule, .. } => return Some(schedule),
        Fact::Paused { .. }
        | Fact::Resumed { .. }
        | Fact::SettledUntil(_)
        | Fact::Rewound { .. } => return None,
    };
    (occurrence.origin == Origin::Schedule).then_some(&occurrence.schedule)
}
