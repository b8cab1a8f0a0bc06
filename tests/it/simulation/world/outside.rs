//! What goes out of the process and what comes back: calls to the API, facts to the disk and their
//! receipts. It knows no deed.

use std::sync::Arc;

use triggerd::ledger::{Receipt, Standing};
use triggerd::plan::delivery::{Delivery, Verdict};
use triggerd::plan::fact::Fact;

use super::{Call, Event, World, agent_of};
use crate::simulation::api::Request;
use crate::simulation::script::{MILLISECOND, SECOND, Seam};

impl World {
    pub(super) fn send(&mut self, delivery: Arc<Delivery>, number: u32, life: u32) {
        let call = Call {
            life,
            key: delivery.idempotency_key.clone(),
            body: delivery.body.json.clone(),
            delivery,
            number,
            sent_at: self.now,
            sent_wall: self.now + self.offset,
        };
        let calls = match &mut self.sabotage {
            Some(sabotage) => sabotage.send(call, self.now),
            None => vec![(MILLISECOND, call)],
        };
        for (delay, call) in calls {
            self.later(self.now + delay, Event::Arrive(call));
        }
    }

    pub(super) fn arrive(&mut self, call: Call) {
        let request = Request {
            sent_at: call.sent_wall,
            agent: agent_of(&call.delivery.target.trigger_id),
            trigger_id: call.delivery.target.trigger_id.to_string(),
            key: call.key.to_string(),
            body: call.body.clone(),
        };
        let (answer, latency) = self.api.call(request, self.now, self.offset);
        let arrival = self.api.arrivals.last().expect("it has just arrived");
        let text = format!(
            "call {} #{} arrives: {:?}, accepted: {}",
            call.delivery.request_id, call.number, arrival.fault, arrival.accepted
        );
        let accepted = arrival.accepted;
        self.tell(call.delivery.occurrence.schedule.as_str(), text);
        let life = call.life;
        if call.number > 0 {
            self.later(self.now + latency, Event::Answered { life, call, answer });
        }
        if accepted && self.process.as_ref().is_some_and(|it| it.life == life) {
            self.passes(Seam::Accepted);
        }
    }

    pub(super) fn commit_soon(&mut self, life: u32) {
        if self.commits_at.is_some() {
            return;
        }
        let slow = self
            .journal
            .disk
            .iter()
            .any(|it| !it.fails && (it.from..it.to).contains(&self.now));
        let latency = match slow {
            true => self.random.between(SECOND, 20 * SECOND),
            false => self.random.between(MILLISECOND, 20 * MILLISECOND),
        };
        self.commits_at = Some(self.now + latency);
        self.later(self.now + latency, Event::Commit { life });
    }

    pub(super) fn commit(&mut self) {
        self.commits_at = None;
        let failing = self
            .journal
            .disk
            .iter()
            .find(|it| it.fails && (it.from..it.to).contains(&self.now));
        let receipts = match failing.map(|it| it.to) {
            Some(mended_at) => {
                let receipts = self.disk.fail();
                if let Some(process) = &self.process {
                    let life = process.life;
                    self.later(mended_at + SECOND, Event::Commit { life });
                }
                receipts
            }
            None => {
                self.unrecorded_since = None;
                self.unconfirmed.clear();
                self.disk.commit()
            }
        };
        let writes_ahead = receipts
            .iter()
            .any(|it| matches!(it.fact, Fact::WrittenAhead(_)));
        if writes_ahead && self.passes(Seam::Committed) {
            return;
        }
        self.take(receipts);
    }

    pub(super) fn take(&mut self, receipts: Vec<Receipt>) {
        for Receipt {
            fact,
            standing,
            delivered,
        } in receipts
        {
            if let Some(process) = &mut self.process {
                process.agenda.delivered(delivered);
            }
            if let Fact::Ended(ending) = &fact
                && ending.verdict == Verdict::Accepted
                && standing == Standing::Durable
            {
                let key = ending.delivery.idempotency_key.to_string();
                self.journal.told.push(key);
            }
            let now = self.moment();
            let (Fact::WrittenAhead(delivery), Some(process)) = (&fact, &mut self.process) else {
                continue;
            };
            if standing == Standing::AlreadyKnown {
                let text = format!("{} is known already", delivery.request_id);
                process.agenda.already_known(delivery);
                self.tell(delivery.occurrence.schedule.as_str(), text);
            } else {
                let actions = process.agenda.written(delivery, now);
                if let Some(sabotage) = &mut self.sabotage
                    && let Some(call) = sabotage.foresee(delivery, self.now, self.offset)
                {
                    self.later(self.now, Event::Arrive(call));
                }
                self.perform(actions);
            }
        }
    }
}
