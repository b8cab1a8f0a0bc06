//! One thing done wrong between the daemon, the API and the ledger, for the judge to find. It stands
//! in the world's own shell: nothing in the daemon can do this.

use std::sync::Arc;

use triggerd::ledger::history::Entry;
use triggerd::plan::delivery::{Delivery, Verdict};
use triggerd::plan::occurrence::IdempotencyKey;

use super::journal::Journal;
use super::script::{MILLISECOND, MINUTE, Nanos};
use super::world::Call;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    DropTheCall,
    SendAnotherKey,
    SendEarly,
    SendLate,
    SendWhatIsNotDue,
    SendAnotherText,
    LieInTheLedger,
    LoseTheVerdict,
    MiscountTheSkipped,
    TellTwice,
}

/// Does it once, to the first delivery after an instant.
pub(super) struct Sabotage {
    pub way: Way,
    pub after: Nanos,
    pub victim: Option<String>,
}

impl Sabotage {
    /// What is sent in place of the call, and after how long.
    pub(super) fn send(&mut self, call: Call, now: Nanos) -> Vec<(Nanos, Call)> {
        if now < self.after || self.victim.is_some() || self.way == Way::SendEarly {
            return vec![(MILLISECOND, call)];
        }
        self.victim = Some(call.key.to_string());
        let unheard = |key: String, body: String| Call {
            number: 0,
            key: IdempotencyKey::recorded(&key),
            body: body.into(),
            ..call.clone()
        };
        let beside = match self.way {
            Way::DropTheCall => return vec![],
            Way::SendLate => return vec![(10 * MINUTE, call)],
            Way::SendAnotherText => {
                let body: Arc<str> = call.body.replace(" v", " V").into();
                return vec![(MILLISECOND, Call { body, ..call })];
            }
            Way::SendAnotherKey => unheard(format!("{}0", call.key), call.body.to_string()),
            Way::SendWhatIsNotDue => {
                let label = &*call.delivery.occurrence.label;
                unheard(
                    call.key.as_str().replace(label, "20200101T0000"),
                    call.body.replace(label, "20200101T0000"),
                )
            }
            Way::SendEarly
            | Way::LieInTheLedger
            | Way::LoseTheVerdict
            | Way::MiscountTheSkipped
            | Way::TellTwice => {
                return vec![(MILLISECOND, call)];
            }
        };
        vec![(MILLISECOND, call), (2 * MILLISECOND, beside)]
    }

    /// A call before its time, for what has just been written ahead.
    pub(super) fn foresee(
        &mut self,
        delivery: &Arc<Delivery>,
        now: Nanos,
        offset: Nanos,
    ) -> Option<Call> {
        let is_ahead = super::world::nanos(delivery.due_at) > now + offset;
        if self.way != Way::SendEarly || now < self.after || self.victim.is_some() || !is_ahead {
            return None;
        }
        self.victim = Some(delivery.idempotency_key.to_string());
        Some(Call {
            life: 0,
            number: 0,
            sent_at: now,
            sent_wall: now + offset,
            key: delivery.idempotency_key.clone(),
            body: delivery.body.json.clone(),
            delivery: delivery.clone(),
        })
    }

    /// What the ledger and the log are made to say in the end.
    pub(super) fn cook(&self, journal: &mut Journal) {
        for entry in &mut journal.entries {
            match (self.way, entry) {
                (Way::MiscountTheSkipped, Entry::Skip(it)) => {
                    it.skipped.count += 1;
                    return;
                }
                (Way::LieInTheLedger | Way::LoseTheVerdict, Entry::Delivery(it))
                    if Some(it.idempotency_key.as_str()) == self.victim.as_deref() =>
                {
                    match (self.way, &mut it.ending) {
                        (Way::LieInTheLedger, Some(ending)) => ending.verdict = Verdict::Expired,
                        (_, ending) => *ending = None,
                    }
                }
                _ => {}
            }
        }
        if self.way == Way::TellTwice {
            journal.told.extend(self.victim.clone());
        }
    }
}
