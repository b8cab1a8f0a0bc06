//! The ledger in a PostgreSQL database, for what several daemons share. Below this folder is the
//! only SQL for it and the only tokio-postgres.
//! It knows no queue: each call is one transaction.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::ask::{Ask, AskError};
use super::store::{Pruned, Refusal, Stated, Store, Written};
use super::values::At;
use super::{LedgerError, remember};
use crate::plan::occurrence::IdempotencyKey;
use crate::plan::remembered::{Delivered, Remembered};
use connection::{Connecting, Connection};
use marks::Marks;
use record::Recorder;

mod ask;
mod connection;
mod database;
mod marks;
mod prune;
mod record;
mod schema;
mod statements;
mod tls;
mod trouble;
mod waves;

pub(super) use ask::{View, value};
pub use database::{BadAddress, Database, Password};
pub(super) use trouble::Trouble;

/// How long after a try to connect the next one is made.
const AGAIN_AFTER: Duration = Duration::from_millis(if cfg!(test) { 20 } else { 3000 });

pub(super) struct Postgres {
    database: Database,
    way: Way,
    marks: Marks,
    /// What was written ahead of this instant is to be forgotten with the next thing that is written.
    forget_ahead_of: Option<Timestamp>,
}

/// How the database is reached.
enum Way {
    There(Connection),
    /// Being made, and why it has to be.
    Connecting(Connecting, Refusal),
    /// To be tried again from this instant on.
    Lost(Instant, Refusal),
}

impl Postgres {
    /// Connects, and brings the tables up to date or makes them.
    pub(super) fn open(database: &Database) -> Result<Self, LedgerError> {
        let connection =
            Connection::open(database).map_err(|trouble| schema::unreadable(database, &trouble))?;
        schema::migrate(&connection, database)?;
        let marks = marks_in(&connection).map_err(|error| schema::unreadable(database, &error))?;
        Ok(Self {
            database: database.clone(),
            way: Way::There(connection),
            marks,
            forget_ahead_of: None,
        })
    }

    fn connection(&self) -> Result<&Connection, Refusal> {
        match &self.way {
            Way::There(connection) => Ok(connection),
            Way::Connecting(_, refusal) | Way::Lost(_, refusal) => Err(refusal.clone()),
        }
    }

    /// A connection that is no more, or gives no answer, is made anew.
    fn refused(&mut self, trouble: &Trouble) -> Refusal {
        let refusal = trouble.refusal();
        let is_gone = match &self.way {
            Way::There(connection) => trouble.is_away() || connection.is_closed(),
            Way::Connecting(..) | Way::Lost(..) => false,
        };
        if is_gone {
            self.way = Way::Lost(Instant::now(), refusal.clone());
        }
        refusal
    }

    fn try_record(
        &mut self,
        facts: &[Stated<'_>],
    ) -> Result<Result<Vec<Written>, Trouble>, Refusal> {
        let recorder = Recorder {
            connection: self.connection()?,
            marks: self.marks,
            forget_ahead_of: self.forget_ahead_of.map(|at| At(at).number()),
        };
        let recorded = match recorder.record(facts) {
            Err(trouble) if trouble.is_for_content() => recorder.record_apart(facts),
            recorded => recorded,
        };
        Ok(recorded.map(|(written, marks)| {
            self.marks = marks;
            self.forget_ahead_of = None;
            written
        }))
    }
}

impl Store for Postgres {
    fn remember(&mut self, now: Timestamp) -> Result<Remembered, LedgerError> {
        // Where the clock stands before what was seen, whatever is ahead of it may have been sent.
        let is_behind = self.marks.newest.is_some_and(|newest| newest > now);
        let forget_ahead_of = if is_behind { Timestamp::MAX } else { now };
        self.forget_ahead_of = Some(forget_ahead_of);
        let until = remember::Until {
            settled: self.marks.settled_until,
            newest: self.marks.newest,
        };
        let away = |refusal: Refusal| LedgerError::Unreadable {
            path: self.database.path(),
            cause: refusal.cause,
            way_out: refusal.way_out,
        };
        let asking = ask::Asking {
            connection: self.connection().map_err(away)?,
            database: &self.database,
        };
        let unreadable = |error: &AskError| asking.unreadable(error);
        asking.begin_view().map_err(|error| unreadable(&error))?;
        let remembered = remember::all(&asking, until, now, forget_ahead_of);
        asking.end_view();
        remembered.map_err(|error| unreadable(&error))
    }

    fn record(&mut self, facts: &[Stated<'_>]) -> Result<Vec<Written>, Refusal> {
        self.try_record(facts)?
            .map_err(|trouble| self.refused(&trouble))
    }

    fn prune(&mut self, before: Timestamp, pruned: Pruned) -> Result<Option<Pruned>, Refusal> {
        prune::step(self.connection()?, before, pruned).map_err(|trouble| self.refused(&trouble))
    }

    /// Never waits for the database: a connection is made beside whatever else is done.
    fn reopen_to_write(&mut self) -> Result<(), Refusal> {
        match &mut self.way {
            Way::There(_) => Ok(()),
            Way::Lost(from, refusal) => {
                let refusal = refusal.clone();
                if *from <= Instant::now() {
                    let connecting = Connection::begin(&self.database);
                    self.way = Way::Connecting(connecting, refusal.clone());
                }
                Err(refusal)
            }
            Way::Connecting(connecting, refusal) => match connection::made(connecting) {
                None => Err(refusal.clone()),
                Some(Ok(connection)) => {
                    self.way = Way::There(connection);
                    Ok(())
                }
                Some(Err(trouble)) => {
                    let refusal = trouble.refusal();
                    self.way = Way::Lost(Instant::now() + AGAIN_AFTER, refusal.clone());
                    Err(refusal)
                }
            },
        }
    }

    fn knows(&mut self, key: &IdempotencyKey, withdrawn: &HashSet<IdempotencyKey>) -> bool {
        let forgotten_after = if withdrawn.contains(key) {
            Timestamp::MIN
        } else {
            self.forget_ahead_of.unwrap_or(Timestamp::MAX)
        };
        let Ok(connection) = self.connection() else {
            return false;
        };
        if connection.is_closed() {
            return false;
        }
        let known = connection.query(
            "SELECT FROM deliveries WHERE idempotency_key = $1
             AND NOT (verdict IS NULL AND scheduled_at > $2 AND attempts = 0 AND NOT outcome_unknown)",
            &[&key.as_str(), &At(forgotten_after).number()],
        );
        known.is_ok_and(|rows| !rows.is_empty())
    }

    fn delivered_after(&mut self, at: Timestamp) -> Vec<Delivered> {
        let Ok(connection) = self.connection() else {
            return Vec::new();
        };
        let asking = ask::Asking {
            connection,
            database: &self.database,
        };
        remember::delivered_after(&asking, at).unwrap_or_default()
    }

    fn close(&mut self) {}

    #[cfg(test)]
    fn refuse_growth(&mut self, refuse: bool) {
        let connection = self.connection().expect("it is there");
        let set = format!("SET default_transaction_read_only = {refuse}");
        connection.batch(&set).expect("a session can be changed");
    }
}

fn marks_in(connection: &Connection) -> Result<Marks, Trouble> {
    let rows = connection.query("SELECT settled_until, newest FROM marks", &[])?;
    let mark = |column| {
        let number: Option<i64> = rows.first()?.get(column);
        Timestamp::from_nanosecond(number?.into()).ok()
    };
    Ok(Marks {
        settled_until: mark("settled_until"),
        newest: mark("newest"),
    })
}
