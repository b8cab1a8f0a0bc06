//! What the routes share: the world behind its lock, the record of each change, the tasks that move the runs. The
//! only place where the sandbox waits; it decides nothing.

use std::collections::HashSet;
use std::io;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Settings;
use super::agent::{Agent, AgentChange, Token, TokenChange};
use super::destination::{Destinations, Update};
use super::ids;
use super::journal::{Journal, Record};
use super::run::Run;
use super::world::World;

/// How far things have come, for those who wait for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Trigger calls that arrived.
    pub calls: usize,
    /// Events that were queued.
    pub effects: usize,
    /// Run statuses that were asked for.
    pub polls: usize,
    /// Updates that were written.
    pub updates: usize,
}

pub(crate) struct Server {
    state: Mutex<State>,
    pub(crate) seen: watch::Sender<Seen>,
    /// Counts the releases of held answers.
    pub(crate) released: watch::Sender<u64>,
    pub(crate) written: broadcast::Sender<Update>,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
    acceptance_delay: RangeInclusive<Duration>,
    /// Makes this start's ids differ from another's.
    seed: String,
    requests: AtomicU64,
}

struct State {
    world: World,
    journal: Journal,
    destinations: Destinations,
    /// The runs that a task moves.
    moving: HashSet<String>,
}

impl Server {
    pub(crate) fn open(settings: &Settings) -> io::Result<Arc<Self>> {
        let data = settings.data.as_deref();
        let (journal, records) = Journal::open(data)?;
        let destinations = Destinations::open(data)?;
        let mut world = World::new(settings.conduct, settings.any_trigger);
        for record in records {
            world.apply(record);
        }
        destinations.complete(&world.updates)?;

        let seen = Seen {
            calls: world.calls.len(),
            effects: world.effects.len(),
            polls: 0,
            updates: world.updates.len(),
        };
        let seed = format!(
            "{} {}",
            Timestamp::now().as_nanosecond(),
            std::process::id()
        );
        let server = Arc::new(Self {
            state: Mutex::new(State {
                world,
                journal,
                destinations,
                moving: HashSet::new(),
            }),
            seen: watch::Sender::new(seen),
            released: watch::Sender::new(0),
            written: broadcast::Sender::new(1024),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            acceptance_delay: settings.acceptance_delay.clone(),
            seed,
            requests: AtomicU64::new(0),
        });
        server.move_all();
        Ok(server)
    }

    pub(crate) fn look<T>(&self, at: impl FnOnce(&World) -> T) -> T {
        at(&self.lock().world)
    }

    /// For what is not recorded: faults.
    pub(crate) fn touch<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        change(&mut self.lock().world)
    }

    /// Decides under the lock, and records before it applies: what could not be recorded did not happen.
    pub(crate) fn change<T>(
        &self,
        decide: impl FnOnce(&mut World) -> (Vec<Record>, T),
    ) -> io::Result<T> {
        let mut state = self.lock();
        let (records, result) = decide(&mut state.world);
        state.journal.append(&records)?;
        for record in records {
            match &record {
                Record::Update(update) => self.write(&state.destinations, update),
                Record::Call(call) => call.log(),
                _ => {}
            }
            state.world.apply(record);
            self.seen.send_modify(|seen| {
                seen.calls = state.world.calls.len();
                seen.effects = state.world.effects.len();
                seen.updates = state.world.updates.len();
            });
        }
        Ok(result)
    }

    fn write(&self, destinations: &Destinations, update: &Update) {
        let (destination, request_id) = (&update.destination, &update.request_id);
        match destinations.append(update) {
            Ok(()) => tracing::info!(destination, request_id, "update written"),
            Err(error) => tracing::error!(destination, request_id, %error, "update not written"),
        }
        // Nobody may be listening.
        let _ = self.written.send(update.clone());
    }

    pub(crate) fn release(&self) {
        self.released.send_modify(|releases| *releases += 1);
    }

    /// Lets another sandbox have the data folder.
    pub(crate) fn give_up_data(&self) -> io::Result<()> {
        self.lock().journal.unlock()
    }

    pub(crate) fn polled(&self) {
        self.seen.send_modify(|seen| seen.polls += 1);
    }

    pub(crate) fn set_agent(self: &Arc<Self>, change: AgentChange) -> io::Result<Agent> {
        let agent = self.change(|world| {
            let before = world.agent_or_new(change.trigger_id.as_deref());
            let agent = change.applied(before);
            (vec![Record::Agent(agent.clone())], agent)
        })?;
        self.move_all();
        Ok(agent)
    }

    pub(crate) fn set_token(&self, change: TokenChange) -> io::Result<Token> {
        self.change(|world| {
            let before = world.token(&change.token).cloned();
            let token = change.applied(before);
            (vec![Record::Token(token.clone())], token)
        })
    }

    /// `None` unless the run is suspended.
    pub(crate) fn approve(self: &Arc<Self>, run_id: &str) -> io::Result<Option<Run>> {
        let approved = self.change(|world| {
            let run = world.run(run_id).cloned().and_then(Run::approved);
            (run.clone().map(Record::Run).into_iter().collect(), run)
        })?;
        if approved.is_some() {
            self.move_run(run_id);
        }
        Ok(approved)
    }

    /// Lets a run go its way, unless its conversation is busy; it comes back to this when that has ended.
    pub(crate) fn move_run(self: &Arc<Self>, run_id: &str) {
        let mut state = self.lock();
        let free = state
            .world
            .run(run_id)
            .is_some_and(|run| state.world.may_move(run));
        if free && state.moving.insert(run_id.to_owned()) {
            let (server, run_id) = (self.clone(), run_id.to_owned());
            self.tasks.spawn(async move { server.live(&run_id).await });
        }
    }

    fn move_all(self: &Arc<Self>) {
        for run_id in self.look(World::movable) {
            self.move_run(&run_id);
        }
    }

    async fn live(self: Arc<Self>, run_id: &str) {
        while let Some(step) = self.next_step(run_id) {
            if self.wait(step.after).await == Waited::Stopped {
                return;
            }
            let now = Timestamp::now();
            let recorded = self.change(|world| (world.advance(run_id, &step.to, now), ()));
            if let Err(error) = recorded {
                tracing::error!(run_id, %error, "the run's progress can't be recorded: it stays as it is");
                return;
            }
        }
        let next = self.look(|world| {
            let run = world.run(run_id)?;
            let head = world.head(&run.conversation_url)?;
            (head.id != run_id).then(|| head.id.clone())
        });
        if let Some(next) = next {
            self.move_run(&next);
        }
    }

    /// Gives the run up in the same moment as finding that nothing comes next, so that an approval finds either
    /// a task that goes on or none.
    fn next_step(&self, run_id: &str) -> Option<super::run::Step> {
        let mut state = self.lock();
        let step = state.world.next_step(run_id);
        if step.is_none() {
            state.moving.remove(run_id);
        }
        step
    }

    pub(crate) async fn wait(&self, delay: Duration) -> Waited {
        tokio::select! {
            () = self.stop.cancelled() => Waited::Stopped,
            () = tokio::time::sleep(delay) => Waited::Out,
        }
    }

    /// How long the 202 of the n-th call takes: spread over the range, and the same for the same call.
    pub(crate) fn acceptance_delay(&self, n: u64) -> Duration {
        let (shortest, longest) = (self.acceptance_delay.start(), self.acceptance_delay.end());
        // The golden ratio's fraction: successive calls fall far apart.
        let part = (n as f64 * 0.618_033_988_749_895).fract();
        *shortest + longest.saturating_sub(*shortest).mul_f64(part)
    }

    pub(crate) fn new_request_id(&self) -> String {
        let n = self.requests.fetch_add(1, Ordering::Relaxed);
        ids::id("req_", &[&self.seed, &n.to_string()])
    }

    pub(crate) fn new_run_id(&self, effect: u64) -> String {
        ids::id("apirun_", &[&self.seed, &effect.to_string()])
    }

    /// Stable for a conversation key of an agent; without a key, the effect's own.
    pub(crate) fn conversation_url(&self, trigger_id: &str, key: Option<&str>, n: u64) -> String {
        match key {
            Some(key) => ids::conversation_url(&[trigger_id, key]),
            None => ids::conversation_url(&[&self.seed, &n.to_string()]),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("no decision panics under the lock")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    Out,
    Stopped,
}
