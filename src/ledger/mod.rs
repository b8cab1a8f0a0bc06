//! The durable record: the agenda states facts, the ledger writes them down in their order and hands
//! each back as a receipt, and only then are they acted on.
//! It decides nothing, and knows neither what is due nor how anything is sent.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;

use jiff::Timestamp;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::plan::fact::{Fact, Source};
use crate::plan::pause::Pauses;
use crate::plan::remembered::{Delivered, Remembered};
use crate::schedule::ScheduleId;

mod ask;
pub mod cluster;
mod error;
pub mod history;
mod lock;
mod overview;
mod postgres;
mod reader;
mod remember;
mod rows;
mod sqlite;
mod store;
mod values;
mod writer;

pub use error::{CloseError, LedgerError};
pub use lock::StateLock;
pub use postgres::{BadAddress, Database, Password};
pub use reader::Reader;

use cluster::{Claim, Holding, News, Node};
use postgres::Postgres;
use sqlite::Sqlite;
use store::Store;
use writer::{Command, Writer};

/// Where facts are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The state folder.
    Folder(PathBuf),
    /// A database that several daemons share; each has a state folder of its own.
    Postgres(Arc<Database>, PathBuf),
    /// Nowhere, for a dry run.
    Memory,
}

impl Place {
    /// The state folder.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Place::Folder(folder) | Place::Postgres(_, folder) => Some(folder),
            Place::Memory => None,
        }
    }
}

/// What became of a fact.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    pub fact: Fact,
    pub standing: Standing,
    /// With a step back of the clock: what ended of what lies ahead by now.
    pub delivered: Vec<Delivered>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Durable,
    /// The disk refused: kept in memory, and written when it can be. Or the ledger refused the fact
    /// for what it says, and never has it.
    InMemory,
    /// The ledger can't hold this fact for what it says, and goes on without it.
    Refused,
    /// The occurrence has a delivery already: nothing was written, neither for this fact nor for
    /// later ones of the same batch about it.
    AlreadyKnown,
    /// Another node looks after the schedule by now, and the fact is left out.
    Fenced,
}

/// What a node begins with.
pub struct Joined {
    pub ledger: Ledger,
    pub pauses: Pauses,
    /// What the daemon before had loaded, by the last good versions.
    pub sources: Vec<(ScheduleId, Source)>,
    pub receipts: Receipts,
    pub news: UnboundedReceiver<News>,
}

/// What has been taken, in the order in which it was stated.
pub type Receipts = UnboundedReceiver<Vec<Receipt>>;

/// Takes facts down for the engine and hands each back as a receipt. A simulation's own keeps what it was
/// handed for as long as it likes.
pub trait Recorder: Send + 'static {
    /// Never blocks. Facts are written in the order in which they are appended, those of one call
    /// together.
    fn append(&self, facts: Vec<Fact>);

    /// Drops what ended before this instant, a little at a time between other writes. What is open
    /// stays, and what the windows still need, and since when each schedule is in force.
    fn prune(&self, before: Timestamp);

    /// Where nodes share the ledger: what this one has loaded is, or is no more, there to be looked
    /// after.
    fn hold(&self, holdings: Vec<Holding>);

    /// What is appended from here on of these schedules is written by these claims.
    fn write_by(&self, claims: Vec<(ScheduleId, Claim)>);

    /// Writes what waits, and ends the receipts. It blocks.
    ///
    /// # Errors
    /// If something could not be written.
    fn close(self) -> Result<(), CloseError>;
}

/// A handle to the thread that writes. Dropping it waits until that has written what waits.
pub struct Ledger {
    /// `None` once closed.
    writer: Option<WriterThread>,
}

type WriterThread = (Sender<Command>, JoinHandle<Result<(), CloseError>>);

impl Ledger {
    /// Opens the ledger at `place`, and makes it if there is none: what it remembers, and where
    /// receipts arrive, one vector per transaction. They end without `close` if the writer panicked.
    ///
    /// # Errors
    /// If another daemon has the folder, or the ledger can't be read by this version, or there is
    /// none and none can be made. One that can be read but not written opens.
    pub fn open(
        place: &Place,
        now: Timestamp,
    ) -> Result<(Self, Remembered, Receipts), LedgerError> {
        let (lock, mut store): (_, Box<dyn Store>) = match place {
            Place::Folder(folder) => {
                let lock = StateLock::acquire(folder)?;
                (Some(lock), Box::new(Sqlite::open(folder)?))
            }
            Place::Postgres(database, folder) => {
                let lock = StateLock::acquire(folder)?;
                (Some(lock), Box::new(Postgres::open(database)?))
            }
            Place::Memory => (None, Box::new(Sqlite::in_memory())),
        };
        let remembered = store.remember(now)?;
        let (ledger, receipts, _) = Self::begin(lock, store);
        Ok((ledger, remembered, receipts))
    }

    /// Joins the nodes that share a database: what is paused, what the daemon before had loaded, and
    /// where receipts and news arrive. A database that can't be reached is told of by the news.
    ///
    /// # Errors
    /// If another daemon has the state folder, or the database is none that this version can use.
    pub fn join(
        database: &Arc<Database>,
        folder: &Path,
        node: Node,
    ) -> Result<Joined, LedgerError> {
        let lock = StateLock::acquire(folder)?;
        let (store, begun) = Postgres::join(database, folder, node)?;
        let (ledger, receipts, news) = Self::begin(Some(lock), Box::new(store));
        Ok(Joined {
            ledger,
            pauses: begun.pauses,
            sources: begun.sources,
            receipts,
            news,
        })
    }

    /// Of a database that nodes share, to write down what a person asks for beside them: with what it
    /// remembers of one schedule, and of no other.
    ///
    /// # Errors
    /// If it can't be reached.
    pub fn beside(
        database: &Arc<Database>,
        schedule: &ScheduleId,
        now: Timestamp,
    ) -> Result<(Self, Remembered, Receipts), LedgerError> {
        let store = Postgres::open(database)?;
        let remembered = store.remember_one(schedule, now)?;
        let (ledger, receipts, _) = Self::begin(None, Box::new(store));
        Ok((ledger, remembered, receipts))
    }

    fn begin(
        lock: Option<StateLock>,
        mut store: Box<dyn Store>,
    ) -> (
        Self,
        UnboundedReceiver<Vec<Receipt>>,
        UnboundedReceiver<News>,
    ) {
        let first_write = store.record(&[]);
        let (receipts, arriving) = unbounded_channel();
        let (news, heard) = unbounded_channel();
        let mut writer = Writer::new(store, receipts, news);
        if let Err(refusal) = first_write {
            writer.keep(refusal);
        }
        let (sender, commands) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || {
                let _held_until_closed = lock;
                writer.run(&commands)
            })
            .expect("a thread can be started");
        let ledger = Self {
            writer: Some((sender, thread)),
        };
        (ledger, arriving, heard)
    }

    fn command(&self, command: Command) {
        if let Some((commands, _)) = &self.writer {
            // A writer that is gone has closed the receipts, and that is how it is noticed.
            let _ = commands.send(command);
        }
    }

    fn end(&mut self) -> Result<(), CloseError> {
        match self.writer.take() {
            Some((commands, thread)) => {
                drop(commands);
                thread.join().unwrap_or(Err(CloseError::Panicked))
            }
            None => Ok(()),
        }
    }
}

impl Recorder for Ledger {
    fn append(&self, facts: Vec<Fact>) {
        self.command(Command::Append(facts));
    }

    fn prune(&self, before: Timestamp) {
        self.command(Command::Prune { before });
    }

    fn hold(&self, holdings: Vec<Holding>) {
        self.command(Command::Hold(holdings));
    }

    fn write_by(&self, claims: Vec<(ScheduleId, Claim)>) {
        self.command(Command::WriteBy(claims));
    }

    fn close(mut self) -> Result<(), CloseError> {
        self.end()
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::error!("{error}");
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
