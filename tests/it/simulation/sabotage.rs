//! One thing done wrong between the daemon, the API and the ledger, for the judge to find. It stands
//! in the world's own shell: nothing in the daemon can do this.

use std::sync::Arc;

use triggerd::api::TriggerRequest;
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
        let request = &call.request;
        let key = request.idempotency_key.to_string();
        self.victim = Some(key.clone());
        let beside = match self.way {
            Way::DropTheCall => return vec![],
            Way::SendLate => return vec![(10 * MINUTE, call)],
            Way::SendAnotherText => {
                let body = request.body.replace(" v", " V");
                let request = with(request, &key, body);
                return vec![(MILLISECOND, Call { request, ..call })];
            }
            Way::SendAnotherKey => with(request, &format!("{key}0"), request.body.to_string()),
            Way::SendWhatIsNotDue => {
                let label = key.split('-').nth(1).expect("keys have one");
                let undue = |text: &str| text.replace(label, "20200101T0000");
                with(request, &undue(&key), undue(&request.body))
            }
            Way::SendEarly
            | Way::LieInTheLedger
            | Way::LoseTheVerdict
            | Way::MiscountTheSkipped
            | Way::TellTwice => {
                return vec![(MILLISECOND, call)];
            }
        };
        let beside = Call {
            request: beside,
            reply: None,
            ..call
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
        let request = TriggerRequest {
            trigger_id: delivery.target.trigger_id.clone(),
            token: delivery.target.token.clone(),
            idempotency_key: delivery.idempotency_key.clone(),
            body: delivery.body.json.clone(),
        };
        Some(Call {
            life: 0,
            request,
            sent_wall: now + offset,
            reply: None,
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

fn with(request: &TriggerRequest, key: &str, body: String) -> TriggerRequest {
    TriggerRequest {
        idempotency_key: IdempotencyKey::recorded(key),
        body: body.into(),
        ..request.clone()
    }
}
