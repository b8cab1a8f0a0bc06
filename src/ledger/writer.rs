//! The thread that makes facts durable: all that waits goes into one transaction, and what the disk
//! refuses waits in memory until it can be written.
//! It knows no SQL, and nothing of what a fact means beyond the key that it is about.

use std::collections::{HashSet, VecDeque};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::mpsc::UnboundedSender;

use super::cluster::{Claim, Holding, News};
use super::error::CloseError;
use super::store::{Pruned, Refusal, Stated, Store, Written};
use super::{Receipt, Standing};
use crate::plan::fact::Fact;
use crate::plan::occurrence::IdempotencyKey;
use crate::schedule::ScheduleId;

/// How often what was refused is tried again while nothing else comes.
const RETRY_EVERY: Duration = Duration::from_millis(if cfg!(test) { 20 } else { 5000 });

/// A transaction takes whole batches until it holds as many facts, so that the first of a crowd are
/// sent while the last are still being written.
const FACTS_AT_ONCE: usize = 4096;

pub(super) enum Command {
    Append(Vec<Fact>),
    Prune {
        before: Timestamp,
    },
    Hold(Vec<Holding>),
    WriteBy(Vec<(ScheduleId, Claim)>),
    #[cfg(test)]
    Hook(Hook),
}

#[cfg(test)]
pub(super) type Hook = Box<dyn FnOnce(&mut dyn Store) + Send>;

pub(super) struct Writer {
    store: Box<dyn Store>,
    receipts: UnboundedSender<Vec<Receipt>>,
    news: UnboundedSender<News>,
    /// In the order in which they were stated; empty while all goes well.
    queue: VecDeque<Batch>,
    /// Why the front of the queue could not be written, once that was said.
    trouble: Option<Trouble>,
    pruning: Option<(Timestamp, Pruned)>,
}

/// Facts that were stated together and are written together.
struct Batch {
    facts: Vec<Fact>,
    /// Their receipts have gone out, saying that they are in memory only.
    told: bool,
}

struct Trouble {
    refusal: Refusal,
    /// What was written ahead in memory.
    keys: HashSet<IdempotencyKey>,
    /// What was withdrawn in memory, and may stand in the ledger still.
    withdrawn: HashSet<IdempotencyKey>,
    facts_kept: usize,
}

impl Writer {
    pub(super) fn new(
        store: Box<dyn Store>,
        receipts: UnboundedSender<Vec<Receipt>>,
        news: UnboundedSender<News>,
    ) -> Self {
        Self {
            store,
            receipts,
            news,
            queue: VecDeque::new(),
            trouble: None,
            pruning: None,
        }
    }

    /// Until the other end of `commands` is dropped; then writes what waits.
    pub(super) fn run(mut self, commands: &Receiver<Command>) -> Result<(), CloseError> {
        while let Wake::Go(command) = self.wait(commands) {
            if let Some(command) = command {
                self.take(command);
            }
            while let Ok(command) = commands.try_recv() {
                self.take(command);
            }
            self.save();
            self.turn();
            self.prune_a_little();
        }
        self.close()
    }

    /// Sleeps for as long as nothing waits: an idle ledger makes no wake-ups.
    fn wait(&self, commands: &Receiver<Command>) -> Wake {
        if self.pruning.is_some() {
            return match commands.try_recv() {
                Ok(command) => Wake::Go(Some(command)),
                Err(TryRecvError::Empty) => Wake::Go(None),
                Err(TryRecvError::Disconnected) => Wake::Stop,
            };
        }
        let until_turn = self
            .store
            .next_turn()
            .map(|at| at.saturating_duration_since(Instant::now()));
        let at_most = match (&self.trouble, until_turn) {
            // A node is to be there again before others take over from it.
            (Some(_), Some(_)) => Some(RETRY_EVERY / 10),
            (Some(_), None) => Some(RETRY_EVERY),
            (None, until_turn) => until_turn,
        };
        if let Some(at_most) = at_most {
            return match commands.recv_timeout(at_most) {
                Ok(command) => Wake::Go(Some(command)),
                Err(RecvTimeoutError::Timeout) => Wake::Go(None),
                Err(RecvTimeoutError::Disconnected) => Wake::Stop,
            };
        }
        commands
            .recv()
            .map_or(Wake::Stop, |command| Wake::Go(Some(command)))
    }

    pub(super) fn take(&mut self, command: Command) {
        match command {
            Command::Append(facts) => self.queue.push_back(Batch { facts, told: false }),
            Command::Hold(holdings) => self.store.hold(holdings),
            Command::WriteBy(claims) => {
                // What was stated before is written by the claims of before.
                self.save();
                self.store.write_by(claims);
            }
            Command::Prune { before } => self.pruning = Some((before, Pruned::NOTHING)),
            #[cfg(test)]
            Command::Hook(hook) => hook(self.store.as_mut()),
        }
    }

    /// Writes all that waits, or keeps it.
    pub(super) fn save(&mut self) {
        if let Err(refusal) = self.try_save() {
            self.keep(refusal);
        }
    }

    fn try_save(&mut self) -> Result<(), Refusal> {
        if self.trouble.is_some() {
            self.store.reopen_to_write()?;
            // Alone, so that a ledger that mends says so even while nothing waits.
            if self.queue.is_empty() {
                self.store.record(&[])?;
            }
        }
        while !self.queue.is_empty() {
            let front = write_front(self.store.as_mut(), &self.queue)?;
            for refused in &front.refused {
                refused.tell();
            }
            let receipts = self
                .queue
                .drain(..front.batches)
                .filter(|batch| !batch.told)
                .flat_map(|batch| batch.facts)
                .zip(front.standings)
                .map(|(fact, standing)| receipt(self.store.as_mut(), fact, standing))
                .collect();
            self.send(receipts);
        }
        if let Some(mended) = self.trouble.take() {
            tracing::info!(
                facts_kept = mended.facts_kept,
                "the ledger can be written again, and what was kept in memory is in it"
            );
            // Nothing but that: whoever listens knows by it that the ledger is well.
            let _ = self.receipts.send(Vec::new());
        }
        Ok(())
    }

    /// Says at once that what was refused is in memory only, and loudly that this is so.
    pub(super) fn keep(&mut self, refusal: Refusal) {
        if self.trouble.is_none() {
            tracing::error!(
                cause = refusal.cause,
                "the ledger can't be written, triggers go on from memory: {}",
                refusal.way_out
            );
        }
        let trouble = self.trouble.get_or_insert_with(|| Trouble {
            refusal: refusal.clone(),
            keys: HashSet::new(),
            withdrawn: HashSet::new(),
            facts_kept: 0,
        });
        trouble.refusal = refusal;
        let mut receipts = Vec::new();
        let mut known = HashSet::new();
        for batch in self.queue.iter_mut().filter(|batch| !batch.told) {
            batch.told = true;
            batch.facts.retain(|fact| {
                let standing = trouble.standing(fact, self.store.as_mut(), &mut known);
                receipts.push(receipt(self.store.as_mut(), fact.clone(), standing));
                standing == Standing::InMemory
            });
            trouble.facts_kept += batch.facts.len();
        }
        self.queue.retain(|batch| !batch.facts.is_empty());
        self.send(receipts);
    }

    fn send(&self, receipts: Vec<Receipt>) {
        if !receipts.is_empty() {
            // Whoever has gone needs none.
            let _ = self.receipts.send(receipts);
        }
    }

    /// As one of several nodes, if it is time.
    fn turn(&mut self) {
        let is_time = self
            .store
            .next_turn()
            .is_some_and(|at| at <= Instant::now());
        if !is_time {
            return;
        }
        match self.store.turn() {
            Ok(news) => {
                for news in news {
                    // Whoever has gone needs none.
                    let _ = self.news.send(news);
                }
            }
            Err(refusal) => self.keep(refusal),
        }
    }

    fn prune_a_little(&mut self) {
        let Some((before, pruned)) = self.pruning else {
            return;
        };
        self.pruning = match self.store.prune(before, pruned) {
            Ok(Some(further)) => Some((before, further)),
            Ok(None) => {
                tracing::info!(
                    deliveries = pruned.deliveries,
                    skips = pruned.skips,
                    %before,
                    "ledger pruned"
                );
                None
            }
            Err(refusal) => {
                tracing::warn!(
                    cause = refusal.cause,
                    "the ledger was not pruned: {}",
                    refusal.way_out
                );
                None
            }
        };
    }

    pub(super) fn close(mut self) -> Result<(), CloseError> {
        self.save();
        self.store.close();
        let facts = self.queue.iter().map(|batch| batch.facts.len()).sum();
        match self.trouble {
            Some(Trouble { refusal, .. }) if facts > 0 => Err(CloseError::Unsaved {
                facts,
                cause: refusal.cause,
                way_out: refusal.way_out,
            }),
            _ => Ok(()),
        }
    }
}

fn receipt(store: &mut dyn Store, fact: Fact, standing: Standing) -> Receipt {
    let delivered = match fact {
        Fact::Rewound { to } => store.delivered_after(to),
        _ => Vec::new(),
    };
    Receipt {
        fact,
        standing,
        delivered,
    }
}

enum Wake {
    Go(Option<Command>),
    Stop,
}

/// What was written from the front of the queue in one transaction.
#[derive(Default)]
struct Front {
    batches: usize,
    /// Of each fact whose receipt has not gone out.
    standings: Vec<Standing>,
    refused: Vec<RefusedFact>,
}

/// Left out of the ledger, so that the rest goes on.
struct RefusedFact {
    what: &'static str,
    key: Option<IdempotencyKey>,
    cause: String,
}

impl RefusedFact {
    fn tell(&self) {
        tracing::error!(
            fact = self.what,
            idempotency_key = self.key.as_ref().map(tracing::field::display),
            cause = self.cause,
            "the ledger refuses a fact for what it says and goes on without it: report it as a defect of triggerd"
        );
    }
}

fn write_front(store: &mut dyn Store, queue: &VecDeque<Batch>) -> Result<Front, Refusal> {
    let mut front = Front::default();
    let mut facts = Vec::new();
    for Batch { facts: of, told } in queue {
        facts.extend(of.iter().map(|fact| Stated { fact, told: *told }));
        front.batches += 1;
        if facts.len() >= FACTS_AT_ONCE {
            break;
        }
    }
    for (Stated { fact, told }, written) in facts.iter().zip(store.record(&facts)?) {
        let standing = match written {
            Written::Yes => Standing::Durable,
            Written::KeyIsKnown => Standing::AlreadyKnown,
            Written::Fenced => Standing::Fenced,
            Written::Refused { cause } => {
                front.refused.push(RefusedFact {
                    what: fact.word(),
                    key: fact.key().cloned(),
                    cause,
                });
                Standing::Refused
            }
        };
        if !told {
            front.standings.push(standing);
        }
    }
    Ok(front)
}

impl Trouble {
    /// What can be said of a fact without writing it. `known`: keys that were refused already.
    fn standing(
        &mut self,
        fact: &Fact,
        store: &mut dyn Store,
        known: &mut HashSet<IdempotencyKey>,
    ) -> Standing {
        let Some(key) = fact.key() else {
            return Standing::InMemory;
        };
        match fact {
            Fact::WrittenAhead(_)
                if store.knows(key, &self.withdrawn) || !self.keys.insert(key.clone()) =>
            {
                known.insert(key.clone());
            }
            Fact::Withdrawn(_) if !known.contains(key) => {
                self.keys.remove(key);
                self.withdrawn.insert(key.clone());
            }
            _ => {}
        }
        if known.contains(key) {
            Standing::AlreadyKnown
        } else {
            Standing::InMemory
        }
    }
}
