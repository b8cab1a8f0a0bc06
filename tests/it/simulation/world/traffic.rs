//! What goes out of the process and what comes back: calls to the API, facts to the disk and their
//! receipts. It knows no deed.

use triggerd::api::{TokenProbe, TriggerRequest};
use triggerd::ledger::{Receipt, Standing};
use triggerd::plan::delivery::Verdict;
use triggerd::plan::fact::Fact;
use triggerd::plan::outcome::{Answer, Outcome};

use super::border::{Left, Question, Reply};
use super::telling::{name_of, request_id_of};
use super::{Call, Event, World, agent_of};
use crate::simulation::api::Request;
use crate::simulation::script::{MILLISECOND, Nanos, SECOND, Seam};

/// So many calls may be in flight at first.
const FEW: usize = 64;

impl World {
    /// What has left the process since it was last looked at, and whether it has come to its end.
    pub(super) fn collect(&mut self) {
        let Some(process) = &self.process else {
            return;
        };
        let life = process.life;
        for left in process.border.fetch() {
            match left {
                Left::Facts(facts) => self.hand_over(facts, life),
                Left::Call { request, reply } => self.send(request, reply, life),
                Left::Question(question) => {
                    let asked = Event::Asked { life, question };
                    self.later(self.now + 10 * MILLISECOND, asked);
                }
                Left::LastFact => {
                    let process = self.process.as_mut().expect("it is still there");
                    process.closes_ledger = true;
                    self.commit_soon(life);
                }
            }
        }
        let process = self.process.as_mut().expect("it is still there");
        if process.border.is_dead() {
            // What it did at this instant may not have been handed over.
            let since = self.told_since();
            self.unrecorded_since.get_or_insert(since);
            let (seam, down) = self.armed.expect("it was to die there");
            self.kill(seam, down);
        } else if let Some(ended) = process.ended() {
            ended.expect("it ends in order");
            self.end();
        }
    }

    fn hand_over(&mut self, facts: Vec<Fact>, life: u32) {
        for fact in &facts {
            self.tell_fact(fact);
            self.note(fact);
        }
        let since = self.told_since();
        self.unrecorded_since.get_or_insert(since);
        self.disk.append(facts);
        self.commit_soon(life);
    }

    fn send(&mut self, request: TriggerRequest, reply: Reply, life: u32) {
        self.in_flight += 1;
        self.note_crowd();
        let call = Call {
            life,
            request,
            sent_wall: self.now + self.offset,
            reply: Some(reply),
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
            agent: agent_of(&call.request.trigger_id),
            trigger_id: call.request.trigger_id.to_string(),
            key: call.request.idempotency_key.to_string(),
            body: call.request.body.clone(),
        };
        let (outcome, latency) = self.api.call(request, self.now, self.offset);
        let arrival = self.api.arrivals.last().expect("it has just arrived");
        let accepted = arrival.accepted;
        let (name, request_id) = (name_of(&arrival.key), request_id_of(&arrival.key));
        let text = format!(
            "call {request_id} arrives: {:?}, accepted: {accepted}",
            arrival.fault
        );
        self.tell(&name, text);
        let life = call.life;
        if call.reply.is_some() {
            self.later(self.now + latency, Event::Answered { call, outcome });
        }
        if accepted && self.process.as_ref().is_some_and(|it| it.life == life) {
            self.passes(Seam::Accepted);
        }
    }

    pub(super) fn hear(&mut self, call: Call, outcome: Option<Outcome>) {
        self.note_crowd();
        let key = call.request.idempotency_key.as_str();
        let word = outcome.as_ref().map_or("a panic", Outcome::word);
        let text = format!("hears {}: {word}", request_id_of(key));
        self.tell(&name_of(key), text);
        let answer = |outcome| Answer {
            outcome,
            http_status: None,
            x_request_id: None,
            detail: String::new(),
            fix: "",
        };
        if let Some(reply) = call.reply {
            self.in_flight -= 1;
            let _ = reply.send(outcome.map(answer));
        }
        self.go_on();
        if self.process.as_ref().is_some_and(|it| it.life == call.life) {
            self.passes(Seam::Answered);
        }
    }

    /// What tells the one who asked.
    pub(super) fn answer(&mut self, question: Question) -> Box<dyn FnOnce()> {
        match question {
            Question::DoesTheTokenWork { trigger_id, reply } => {
                let works = self.api.probe(agent_of(&trigger_id), self.now);
                self.tell("", format!("probe with {trigger_id}: {works:?}"));
                let probe = match works {
                    Some(true) => TokenProbe::Works,
                    Some(false) => TokenProbe::Refused(String::new()),
                    None => TokenProbe::Unknown(String::new()),
                };
                Box::new(move || drop(reply.send(probe)))
            }
            Question::HowFarIsTheRun {
                trigger_id,
                run_id,
                reply,
            } => {
                let answer = self.api.run(agent_of(&trigger_id), &run_id, self.now);
                Box::new(move || drop(reply.send(answer)))
            }
        }
    }

    fn note_crowd(&mut self) {
        if self.in_flight >= self.slots.min(FEW) {
            self.crowded_at = Some(self.now);
        }
    }

    /// Of what happened from then on the ledger may not have been told: while deliveries wait for a
    /// slot, it is not for a while.
    pub(super) fn told_since(&self) -> Nanos {
        const BACKLOG: Nanos = SECOND;
        match self.crowded_at {
            Some(at) if self.now - at <= BACKLOG => {
                let life = self.journal.lives.last().expect("it lives");
                life.from.max(self.now - BACKLOG)
            }
            _ => self.now,
        }
    }

    fn commit_soon(&mut self, life: u32) {
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
                self.disk.commit()
            }
        };
        let writes_ahead = receipts
            .iter()
            .flatten()
            .any(|it| matches!(it.fact, Fact::WrittenAhead(_)));
        if writes_ahead && self.passes(Seam::Committed) {
            return;
        }
        for receipts in receipts {
            self.hand_back(receipts);
        }
        let process = self.process.as_mut();
        if let Some(process) = process.filter(|it| it.closes_ledger) {
            process.end_receipts();
        }
        self.go_on();
    }

    fn hand_back(&mut self, receipts: Vec<Receipt>) {
        for receipt in &receipts {
            match &receipt.fact {
                Fact::Ended(ending)
                    if ending.verdict == Verdict::Accepted
                        && receipt.standing == Standing::Durable =>
                {
                    let key = ending.delivery.idempotency_key.to_string();
                    self.journal.told.push(key);
                }
                Fact::WrittenAhead(it) if receipt.standing == Standing::AlreadyKnown => {
                    let text = format!("{} is known already", it.request_id);
                    self.tell(it.occurrence.schedule.as_str(), text);
                }
                Fact::WrittenAhead(delivery) => {
                    if let Some(sabotage) = &mut self.sabotage
                        && let Some(call) = sabotage.foresee(delivery, self.now, self.offset)
                    {
                        self.later(self.now, Event::Arrive(call));
                    }
                }
                _ => {}
            }
        }
        if let Some(process) = &self.process {
            process.hand_back(receipts);
        }
    }
}
