//! One loop, one match: events go to the agenda, what it decides is done. It owns the agenda and
//! knows no rule, no SQL and no HTTP.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::api::token::TokenId;
use crate::api::{RunAnswer, TokenProbe, TriggerApi, TriggerRequest};
use crate::clock::{Boottime, Clock, Moment, Wake};
use crate::daemon::changes::Changes;
use crate::daemon::counts::Counts;
use crate::daemon::event::{Answered, Asked, Event, Loaded, Standing, Triggered};
use crate::daemon::share::Share;
use crate::daemon::systemd::{self, Herald};
use crate::daemon::{alerts::Alerts, verify};
use crate::failpoint;
use crate::ledger::cluster::News;
use crate::ledger::{self, CloseError, Ledger, Receipt, Recorder};
use crate::plan::agenda::{Action, Agenda, LookUp};
use crate::plan::alert::{self, Subject};
use crate::plan::delivery::Delivery;
use crate::plan::fact::{Ending, Fact};
use crate::plan::occurrence::IdempotencyKey;
use crate::plan::outcome::{Answer, Outcome, Reached};
use crate::plan::pause::Scope;
use crate::plan::remembered::OpenDelivery;
use crate::plan::run::Run;
use crate::schedule::{Schedule, ScheduleId, TriggerId, defaults};
use crate::telemetry::{self, Tally, Telemetry};

/// How long calls in flight may take to end once the daemon is asked to stop.
pub const GRACE: Duration = Duration::from_secs(30);

/// How long what happened may wait to be dealt with and recorded in a burst: there the next call comes
/// first. Killed meanwhile, the daemon repeats the call with the same key.
const BACKLOG: Duration = Duration::from_secs(1);

/// The most events that are taken before the agenda is asked again what is due.
const BATCH: usize = 256;

/// What the engine lives in.
pub struct World<C, A, L = Ledger> {
    pub clock: Arc<C>,
    pub api: Arc<A>,
    pub ledger: L,
    pub receipts: mpsc::UnboundedReceiver<Vec<Receipt>>,
    pub telemetry: Telemetry,
    pub alerts: Alerts,
    pub herald: Herald,
}

pub struct Engine<C, A, L = Ledger> {
    agenda: Agenda,
    world: World<C, A, L>,
    events: mpsc::UnboundedSender<Event>,
    inbox: mpsc::UnboundedReceiver<Event>,
    /// Those who asked for a delivery and wait for its verdict.
    waiting: HashMap<IdempotencyKey, oneshot::Sender<Arc<Ending>>>,
    /// Those who paused or resumed something, and hear of it once it is recorded.
    confirming: HashMap<Scope, Vec<oneshot::Sender<bool>>>,
    /// See [`Engine::is_in_burst`].
    in_burst: bool,
    /// Came in a burst.
    acceptances: VecDeque<Answered>,
    /// Stated in a burst.
    unrecorded: Vec<Fact>,
    /// Since when there is any of both.
    unrecorded_since: Option<Boottime>,
    /// Since the last summary.
    tally: Tally,
    /// Since the start; shared with those who look.
    counts: Arc<Counts>,
    changes: Changes,
    ledger_in_memory: bool,
    /// Where several nodes share the ledger.
    share: Option<Share>,
}

#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("the ledger's writer ended unexpectedly; its last words are in the log above")]
    LedgerEnded,
    #[error(transparent)]
    NotClosed(#[from] CloseError),
}

impl<C: Clock, A: TriggerApi, L: Recorder> Engine<C, A, L> {
    pub fn new(agenda: Agenda, world: World<C, A, L>) -> Self {
        let (events, inbox) = mpsc::unbounded_channel();
        Self {
            agenda,
            world,
            events,
            inbox,
            waiting: HashMap::new(),
            confirming: HashMap::new(),
            in_burst: false,
            acceptances: VecDeque::new(),
            unrecorded: Vec::new(),
            unrecorded_since: None,
            tally: Tally::default(),
            counts: Arc::default(),
            changes: Changes::default(),
            ledger_in_memory: false,
            share: None,
        }
    }

    /// From here on it fires what is its own alone.
    pub fn share_with_others(&mut self, share: Option<Share>) {
        self.share = share;
    }

    /// Where events are sent to.
    pub fn events(&self) -> mpsc::UnboundedSender<Event> {
        self.events.clone()
    }

    /// Tells of what changes.
    pub fn changes(&self) -> Changes {
        self.changes.clone()
    }

    /// Puts what was loaded into force; the first call takes up what the process before left.
    pub fn put_into_force(&mut self, mut loaded: Loaded) {
        if let Some(share) = &mut self.share {
            let (own, holdings) = share.load(loaded);
            self.world.ledger.hold(holdings);
            loaded = own;
        }
        let mut facts = Vec::new();
        for (schedule, source) in loaded.sources {
            facts.push(Fact::InForce { schedule, source });
        }
        self.record(facts);
        let actions = self.agenda.change(loaded.changes, self.world.clock.now());
        self.perform(actions);
        self.leave();
    }

    /// Fires until it is told to stop; then lets calls in flight end and leaves the rest in the ledger.
    ///
    /// # Errors
    /// If it can't go on.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), EngineError> {
        loop {
            let actions = self.agenda.due(self.world.clock.now());
            self.perform(actions);
            let more_waits = self.record_what_waits();
            // Going to sleep costs system calls: not while there is something to do, but then the
            // calls that were begun have their turn first.
            if stop.is_cancelled() {
                break;
            }
            if let Some(happened) = self.happened() {
                self.take(happened);
                tokio::task::yield_now().await;
                // The watchdog is to hear of a loop that turns, however busy it is.
                tokio::select! {
                    biased;
                    () = self.world.herald.due() => self.world.herald.tell(|| telemetry::status(&self.agenda)),
                    () = std::future::ready(()) => {}
                }
                continue;
            }
            if more_waits {
                tokio::task::yield_now().await;
                continue;
            }
            let wake = self.next_wake();
            tokio::select! {
                // So that the same events give the same run.
                biased;
                () = stop.cancelled() => break,
                happened = next(&mut self.world.receipts, &mut self.inbox) => self.take(happened?),
                () = self.world.clock.sleep_until(wake) => self.world.herald.news(),
                () = self.world.herald.due() => self.world.herald.tell(|| telemetry::status(&self.agenda)),
            }
        }
        self.end().await
    }

    async fn end(mut self) -> Result<(), EngineError> {
        let actions = self.agenda.close(self.world.clock.now());
        self.perform(actions);
        let in_flight = self.agenda.in_flight();
        if in_flight > 0 {
            tracing::info!(in_flight, "stopping: calls in flight may end");
        }
        let clock = self.world.clock.clone();
        let over_at = clock.now().boot + GRACE;
        let grace = async {
            while clock.now().boot < over_at {
                let wake = Wake {
                    wall: None,
                    boot: Some(over_at),
                };
                clock.sleep_until(wake).await;
            }
        };
        let calls_end = async {
            while self.agenda.in_flight() > 0 {
                self.hear_acceptances(usize::MAX);
                self.record(Vec::new());
                let happened = next(&mut self.world.receipts, &mut self.inbox).await?;
                self.take(happened);
            }
            Ok::<_, EngineError>(())
        };
        tokio::select! {
            biased;
            ended = calls_end => ended?,
            () = grace => tracing::warn!(
                in_flight = self.agenda.in_flight(),
                "calls did not end in time; the next start repeats them with the same keys"
            ),
        }
        self.hear_acceptances(usize::MAX);
        self.record(Vec::new());
        let open_deliveries = self.agenda.open_deliveries();
        let World {
            ledger,
            mut receipts,
            telemetry,
            ..
        } = self.world;
        let closed = tokio::task::spawn_blocking(move || ledger.close());
        while let Some(receipts) = receipts.recv().await {
            for Receipt { fact, standing, .. } in receipts {
                telemetry.fact(&fact, standing);
            }
        }
        closed.await.map_err(|_| EngineError::LedgerEnded)??;
        tracing::info!(open_deliveries, "stopped");
        Ok(())
    }

    /// How things stand, for people.
    pub fn status(&self) -> String {
        telemetry::status(&self.agenda)
    }

    /// What has happened meanwhile.
    fn happened(&mut self) -> Option<Happened> {
        let recorded = self.world.receipts.try_recv().map(Happened::Recorded);
        recorded
            .or_else(|_| self.inbox.try_recv().map(Happened::Event))
            .ok()
    }

    fn take(&mut self, happened: Happened) {
        self.world.herald.news();
        match happened {
            Happened::Recorded(receipts) => self.recorded(receipts),
            Happened::Event(event) => {
                self.react(event);
                for _ in 0..BATCH {
                    match self.inbox.try_recv() {
                        Ok(event) => self.react(event),
                        Err(_) => break,
                    }
                }
            }
        }
    }

    fn react(&mut self, event: Event) {
        let now = self.world.clock.now();
        match event {
            Event::Loaded(loaded) => self.put_into_force(loaded),
            Event::Reread => systemd::ready(&self.status()),
            Event::Answered(answered) => {
                failpoint::pass(failpoint::AFTER_ANSWER);
                let is_accepted = matches!(answered.answer.outcome, Outcome::Accepted(_));
                if is_accepted && self.is_in_burst(now) {
                    let actions = self.agenda.call_ended(now);
                    self.perform(actions);
                    self.acceptances.push_back(answered);
                    self.unrecorded_since.get_or_insert(now.boot);
                } else {
                    let Answered {
                        key,
                        sent_at,
                        latency,
                        answer,
                    } = answered;
                    let actions = self.agenda.answered(&key, sent_at, latency, answer, now);
                    self.perform(actions);
                    self.leave();
                }
            }
            Event::Probed { token, works } => {
                let actions = self.agenda.probed(token, works, now);
                self.perform(actions);
            }
            Event::RunAnswered { key, answer } => {
                let actions = self.agenda.run_answered(&key, answer, now);
                self.perform(actions);
            }
            Event::LookedUp { key, found } => {
                let actions = self.agenda.looked_up(&key, found, now);
                self.perform(actions);
            }
            Event::TokenChanged(token) => {
                let actions = self.agenda.token_changed(token, now);
                self.perform(actions);
            }
            Event::Trigger { schedule, reply } => {
                let schedule = self.loaded(&schedule).cloned();
                let asked = schedule.map(|schedule| match self.is_here(&schedule.id) {
                    true => Asked::Begun(self.trigger(&schedule)),
                    false => Asked::Elsewhere(Some(schedule)),
                });
                // Whoever asked may have gone meanwhile; the delivery stands all the same.
                let _ = reply.send(asked);
            }
            Event::Pause {
                scope,
                pause,
                reply,
            } => {
                let known = scope.schedule().is_none_or(|id| self.loaded(id).is_some());
                if known {
                    self.confirming
                        .entry(scope.clone())
                        .or_default()
                        .push(reply);
                    let actions = self.agenda.pause(scope, pause, now);
                    self.perform(actions);
                } else {
                    let _ = reply.send(false);
                }
            }
            Event::Resume { scope, reply } => match self.agenda.resume(&scope, now) {
                Some(actions) => {
                    self.confirming.entry(scope).or_default().push(reply);
                    self.perform(actions);
                }
                None => {
                    let _ = reply.send(false);
                }
            },
            Event::Redeliver { ended, reply } => {
                let delivery = ended.delivery.clone();
                let id = &delivery.occurrence.schedule;
                if !self.is_here(id) {
                    let _ = reply.send(Some(Asked::Elsewhere(self.loaded(id).cloned())));
                    return;
                }
                let redelivered = self.agenda.redeliver(ended, now);
                let in_force = self.loaded(id);
                let run_within = in_force.map_or(defaults::OVERLAP.stuck_after, |schedule| {
                    schedule.policies.run_within()
                });
                let triggered =
                    redelivered.map(|actions| self.begin(&delivery, run_within, actions));
                let _ = reply.send(triggered.map(Asked::Begun));
            }
            Event::Look { reply } => {
                let _ = reply.send(Standing {
                    agenda: self.agenda.snapshot(now),
                    counts: self.counts.clone(),
                    ledger_in_memory: self.ledger_in_memory,
                    nodes: self.share.as_ref().map(|share| share.nodes.clone()),
                });
            }
            Event::LookAt { key, reply } => {
                let _ = reply.send(self.agenda.wait_of(&key, now));
            }
            Event::Bounded(ceilings) => match &mut self.share {
                None => self.agenda.bound(ceilings),
                Some(share) => {
                    share.ceilings = ceilings;
                    self.agenda.bound(share.own_ceilings());
                }
            },
            Event::Shared(news) => self.heard(news),
            Event::Summarise => std::mem::take(&mut self.tally).tell(&self.agenda),
            Event::Prune { before } => self.world.ledger.prune(before),
        }
    }

    /// The schedule, whether or not it is this node's to fire.
    fn loaded(&self, id: &ScheduleId) -> Option<&Arc<Schedule>> {
        match &self.share {
            None => self.agenda.schedule(id),
            Some(share) => share.schedule(id),
        }
    }

    /// Whether the schedule is this node's to fire.
    fn is_here(&self, id: &ScheduleId) -> bool {
        self.share.as_ref().is_none_or(|share| share.has(id))
    }

    fn heard(&mut self, news: News) {
        let now = self.world.clock.now();
        let Some(share) = &mut self.share else {
            return;
        };
        match news {
            News::Alone => {
                let actions = self.agenda.change(share.alone(), now);
                self.perform(actions);
            }
            News::Joined => {
                self.agenda.lose(&share.joined());
                self.let_go_of_those_who_wait();
            }
            News::Taken(taken) => {
                // What was stated until now was so by the claims of before.
                self.record(Vec::new());
                let Some(share) = &mut self.share else {
                    return;
                };
                let claims = taken.iter().map(|it| (it.id.clone(), it.claim));
                self.world.ledger.write_by(claims.collect());
                let (taken, facts) = share.take(taken);
                tracing::info!(
                    schedules = taken.len(),
                    "schedules taken up: they are fired here"
                );
                self.record(facts);
                let actions = self.agenda.take_up(taken, now);
                self.perform(actions);
            }
            News::Unwanted(ids) => share.leave(ids),
            News::Lost(ids) => {
                share.forget(&ids);
                self.agenda.lose(&ids);
                self.let_go_of_those_who_wait();
            }
            News::AskedFor(asked) => {
                // What is not here any more the next owner finds open.
                let here = |it: &OpenDelivery| share.has(&it.delivery.occurrence.schedule);
                for it in asked.into_iter().filter(here).collect::<Vec<_>>() {
                    let actions = self.agenda.asked_for(it, now);
                    self.perform(actions);
                }
            }
            News::Pauses(pauses) => {
                let actions = self.agenda.learn_pauses(&pauses, now);
                self.perform(actions);
            }
            News::Nodes(nodes) => {
                share.nodes = nodes;
                self.agenda.bound(share.own_ceilings());
            }
        }
        self.leave();
        self.changes.tell();
    }

    /// Leaves to other nodes what is to be left and has nothing under way.
    fn leave(&mut self) {
        let now = self.world.clock.now();
        let Some(share) = &mut self.share else {
            return;
        };
        if share.leaving.is_empty() {
            return;
        }
        let leaving: Vec<_> = share.leaving.iter().cloned().collect();
        let (left, actions) = self.agenda.give_up(leaving, now);
        share.forget(&left);
        self.perform(actions);
        if !left.is_empty() {
            tracing::info!(schedules = left.len(), "schedules left to other nodes");
            self.let_go_of_those_who_wait();
        }
    }

    /// Whoever waits for a delivery that is another node's by now hears that its end is not told here.
    fn let_go_of_those_who_wait(&mut self) {
        let agenda = &self.agenda;
        self.waiting.retain(|key, _| agenda.is_waiting_for(key));
    }

    /// Begins one delivery by hand.
    pub fn trigger(&mut self, schedule: &Schedule) -> Triggered {
        let (delivery, actions) = self.agenda.trigger(schedule, self.world.clock.now());
        let run_within = schedule.policies.run_within();
        self.begin(&delivery, run_within, actions)
    }

    fn begin(
        &mut self,
        delivery: &Delivery,
        run_within: Duration,
        actions: Vec<Action>,
    ) -> Triggered {
        let (ended, end) = oneshot::channel();
        self.waiting.insert(delivery.idempotency_key.clone(), ended);
        self.perform(actions);
        Triggered {
            request_id: delivery.request_id.clone(),
            key: delivery.idempotency_key.clone(),
            run_within,
            ended: end,
        }
    }

    /// What the ledger has taken is acted on and told.
    fn recorded(&mut self, receipts: Vec<Receipt>) {
        if receipts.is_empty() {
            self.ledger_is(false);
        }
        let now = self.world.clock.now();
        // Copied only while somebody still looks at what was counted before.
        let counts = Arc::make_mut(&mut self.counts);
        let told = receipts
            .iter()
            .filter(|it| it.standing != ledger::Standing::Fenced);
        for Receipt { fact, .. } in told {
            self.tally.count(fact);
            counts.count(fact);
        }
        for Receipt {
            fact,
            standing,
            delivered,
        } in receipts
        {
            self.agenda.delivered(delivered);
            if standing != ledger::Standing::Fenced {
                self.world.telemetry.fact(&fact, standing);
                self.alert(&fact, standing);
            }
            match (&fact, standing) {
                (
                    Fact::WrittenAhead(delivery) | Fact::Reopened(delivery),
                    ledger::Standing::AlreadyKnown | ledger::Standing::Fenced,
                ) => {
                    self.agenda.already_known(delivery);
                    // Whoever waits for it hears that nothing will come.
                    self.waiting.remove(&delivery.idempotency_key);
                }
                (
                    Fact::WrittenAhead(delivery) | Fact::Reopened(delivery),
                    ledger::Standing::Durable
                    | ledger::Standing::InMemory
                    | ledger::Standing::Refused,
                ) => {
                    failpoint::pass(failpoint::AFTER_COMMIT);
                    let actions = self.agenda.written(delivery, now);
                    self.perform(actions);
                }
                (Fact::Paused { scope, .. } | Fact::Resumed { scope, .. }, _) => {
                    for reply in self.confirming.remove(scope).unwrap_or_default() {
                        let _ = reply.send(true);
                    }
                }
                (Fact::Ended(ending), _) => {
                    if let Some(waiting) = self.waiting.remove(&ending.delivery.idempotency_key) {
                        let _ = waiting.send(ending.clone());
                    }
                }
                _ => {}
            }
        }
        self.changes.tell();
    }

    fn alert(&mut self, fact: &Fact, standing: ledger::Standing) {
        let heartbeat = fact.schedule().and_then(|id| self.agenda.schedule(id));
        let heartbeat = heartbeat.and_then(|it| it.policies.expect.heartbeat.as_deref());
        self.world.alerts.fact(fact, heartbeat);
        if standing == ledger::Standing::InMemory {
            self.ledger_is(true);
        }
    }

    fn ledger_is(&mut self, in_memory: bool) {
        if in_memory == self.ledger_in_memory {
            return;
        }
        self.ledger_in_memory = in_memory;
        self.world.alerts.sign(match in_memory {
            true => alert::bad(
                Subject::Ledger,
                "the ledger can't be written: firing goes on from memory".to_owned(),
            ),
            false => alert::good(Subject::Ledger),
        });
    }

    fn perform(&mut self, actions: Vec<Action>) {
        let mut facts = Vec::new();
        let mut calls = Vec::new();
        for action in actions {
            match action {
                Action::Record(fact) => facts.push(fact),
                Action::Attempt { delivery, .. } => calls.push(delivery),
                Action::ProbeToken { token, trigger_id } => self.probe(token, trigger_id),
                Action::AskRun(run) => self.ask(run),
                Action::LookUp { run, look_up } => self.look_up(&run, look_up),
                Action::Say(notice) => {
                    self.world.telemetry.notice(&notice);
                    self.world.alerts.notice(&notice);
                }
            }
        }
        let is_awaited = |fact: &Fact| {
            matches!(
                fact,
                Fact::WrittenAhead(_)
                    | Fact::Reopened(_)
                    | Fact::Paused { .. }
                    | Fact::Resumed { .. }
            )
        };
        if facts.iter().any(is_awaited) {
            self.record(facts);
        } else if !facts.is_empty() {
            let now = || self.world.clock.now().boot;
            self.unrecorded_since.get_or_insert_with(now);
            self.unrecorded.extend(facts);
        }
        for delivery in calls {
            self.attempt(delivery);
        }
    }

    /// Has these written, after all that was stated before.
    fn record(&mut self, facts: Vec<Fact>) {
        if self.acceptances.is_empty() {
            self.unrecorded_since = None;
        }
        self.unrecorded.extend(facts);
        if !self.unrecorded.is_empty() {
            self.world
                .ledger
                .append(std::mem::take(&mut self.unrecorded));
        }
    }

    /// As long as deliveries wait to be sent, and until the last of them is answered, since a call that
    /// was begun is not sent yet; but for no longer than recording waits.
    fn is_in_burst(&mut self, now: Moment) -> bool {
        self.in_burst =
            self.agenda.has_backlog(now) || self.in_burst && self.agenda.in_flight() > 0;
        self.in_burst
    }

    /// Unless there is a burst, and it has not waited for long. Whether more is to be recorded at once.
    fn record_what_waits(&mut self) -> bool {
        let now = self.world.clock.now();
        let has_waited = |since: Boottime| since + BACKLOG <= now.boot;
        if self.is_in_burst(now) && !self.unrecorded_since.is_some_and(has_waited) {
            return false;
        }
        self.in_burst = false;
        self.hear_acceptances(BATCH);
        self.record(Vec::new());
        !self.acceptances.is_empty()
    }

    fn hear_acceptances(&mut self, at_most: usize) {
        let now = self.world.clock.now();
        for _ in 0..at_most {
            let Some(Answered {
                key,
                sent_at,
                latency,
                answer,
            }) = self.acceptances.pop_front()
            else {
                break;
            };
            let actions = self.agenda.told(&key, sent_at, latency, answer, now);
            self.perform(actions);
        }
        self.leave();
    }

    fn next_wake(&self) -> Wake {
        let wake = self.agenda.next_wake();
        let has_waited_at = self.unrecorded_since.map(|since| since + BACKLOG);
        Wake {
            boot: wake.boot.into_iter().chain(has_waited_at).min(),
            ..wake
        }
    }

    fn attempt(&self, delivery: Arc<Delivery>) {
        let (clock, api, events) = (
            self.world.clock.clone(),
            self.world.api.clone(),
            self.events.clone(),
        );
        tokio::spawn(async move {
            let request = TriggerRequest {
                trigger_id: delivery.target.trigger_id.clone(),
                token: delivery.target.token.clone(),
                idempotency_key: delivery.idempotency_key.clone(),
                body: delivery.body.json.clone(),
            };
            let mut call = Call {
                key: delivery.idempotency_key.clone(),
                sent: clock.now(),
                answer: None,
                clock,
                events,
            };
            call.answer = Some(api.trigger(request).await);
        });
    }

    fn ask(&self, run: Arc<Run>) {
        let (api, events) = (self.world.api.clone(), self.events.clone());
        tokio::spawn(async move {
            let target = &run.target;
            let key = run.idempotency_key.clone();
            let (token, trigger_id, run_id) = (
                target.token.clone(),
                target.trigger_id.clone(),
                run.run_id.clone(),
            );
            // In a task of its own, so that a panic is an answer as well.
            let asked =
                tokio::spawn(async move { api.run_status(&token, &trigger_id, &run_id).await });
            let answer = asked.await.unwrap_or_else(|_| RunAnswer::Unknown {
                detail: "the call panicked".to_owned(),
                retry_after: None,
            });
            let _ = events.send(Event::RunAnswered { key, answer });
        });
    }

    fn look_up(&self, run: &Run, look_up: LookUp) {
        let (key, events) = (run.idempotency_key.clone(), self.events.clone());
        tokio::spawn(async move {
            let found = tokio::spawn(verify::find(look_up)).await;
            let found = found.unwrap_or_else(|_| Err("the look-up panicked".to_owned()));
            let _ = events.send(Event::LookedUp { key, found });
        });
    }

    fn probe(&self, token: TokenId, trigger_id: TriggerId) {
        let (api, events) = (self.world.api.clone(), self.events.clone());
        tokio::spawn(async move {
            let asked = token.clone();
            let probe = tokio::spawn(async move { api.probe_token(&asked, &trigger_id).await });
            let probe = probe
                .await
                .unwrap_or_else(|_| TokenProbe::Unknown(String::new()));
            let works = match probe {
                TokenProbe::Works | TokenProbe::NotAllowed(_) => Some(true),
                TokenProbe::Refused(_) => Some(false),
                TokenProbe::Unknown(_) => None,
            };
            let _ = events.send(Event::Probed { token, works });
        });
    }
}

/// A call under way. However it ends, by a panic as well, its answer is an event.
struct Call<C: Clock> {
    key: IdempotencyKey,
    sent: Moment,
    answer: Option<Answer>,
    clock: Arc<C>,
    events: mpsc::UnboundedSender<Event>,
}

impl<C: Clock> Drop for Call<C> {
    fn drop(&mut self) {
        // The engine may have stopped waiting: then the next start repeats the call.
        let _ = self.events.send(Event::Answered(Answered {
            key: self.key.clone(),
            sent_at: self.sent.wall,
            latency: self.clock.now().boot.saturating_sub(self.sent.boot),
            answer: self.answer.take().unwrap_or_else(panicked),
        }));
    }
}

enum Happened {
    Recorded(Vec<Receipt>),
    Event(Event),
}

/// Cancel-safe: both are channel receives.
async fn next(
    receipts: &mut mpsc::UnboundedReceiver<Vec<Receipt>>,
    inbox: &mut mpsc::UnboundedReceiver<Event>,
) -> Result<Happened, EngineError> {
    tokio::select! {
        biased;
        receipts = receipts.recv() => {
            receipts.map(Happened::Recorded).ok_or(EngineError::LedgerEnded)
        }
        Some(event) = inbox.recv() => Ok(Happened::Event(event)),
    }
}

fn panicked() -> Answer {
    Answer {
        outcome: Outcome::Failed {
            reached: Reached::Unknown,
            retry_after: None,
        },
        http_status: None,
        x_request_id: None,
        detail: "the call panicked".into(),
        fix: "report this with the log above",
    }
}
