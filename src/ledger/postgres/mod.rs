//! The ledger in a PostgreSQL database, for what several daemons share. Below this folder is the
//! only SQL for it and the only tokio-postgres.
//! It knows no queue: each call is one transaction.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::ask::{Ask, AskError, Asked};
use super::cluster::{Claim, Holding, News, Node};
use super::store::{Pruned, Refusal, Stated, Store, Written};
use super::values::At;
use super::{LedgerError, remember};
use crate::plan::fact::{Fact, Source};
use crate::plan::occurrence::IdempotencyKey;
use crate::plan::pause::Pauses;
use crate::plan::remembered::{Delivered, Remembered};
use crate::schedule::ScheduleId;
use connection::{Connecting, Connection};
use fence::Claims;
use folder::NodeFolder;
use marks::Marks;
use member::Member;
use record::{Done, Recorder};

mod ask;
mod connection;
mod database;
mod fence;
mod folder;
mod marks;
mod member;
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
const AGAIN_AFTER: Duration = Duration::from_millis(if cfg!(test) { 20 } else { 2000 });

pub(super) struct Postgres {
    database: Arc<Database>,
    way: Way,
    /// The tables are known to be there, as this version needs them.
    is_prepared: bool,
    marks: Marks,
    /// What was written ahead of this instant is to be forgotten with the next thing that is written.
    forget_ahead_of: Option<Timestamp>,
    /// `None` for a writer that looks after no schedule.
    among: Option<Among>,
}

/// What makes it one of several nodes.
struct Among {
    member: Member,
    claims: Claims,
    folder: NodeFolder,
}

/// How the database is reached.
enum Way {
    There(Connection),
    /// Being made, and why it has to be.
    Connecting(Connecting, Refusal),
    /// To be tried again from this instant on.
    Lost(Instant, Refusal),
}

/// What a node finds when it begins.
pub(super) struct Begun {
    pub(super) pauses: Pauses,
    /// What the daemon before it had loaded, by the last good versions.
    pub(super) sources: Vec<(ScheduleId, Source)>,
}

impl Postgres {
    /// Connects, and brings the tables up to date or makes them.
    pub(super) fn open(database: &Arc<Database>) -> Result<Self, LedgerError> {
        let failed = |trouble: Trouble| schema::unreadable(database, &trouble);
        let connection = Connection::open(database).map_err(failed)?;
        schema::migrate(&connection, database)?;
        let marks = marks_in(&connection).map_err(failed)?;
        Ok(Self {
            database: database.clone(),
            way: Way::There(connection),
            is_prepared: true,
            marks,
            forget_ahead_of: None,
            among: None,
        })
    }

    /// What the ledger has of one schedule.
    pub(super) fn remember_one(
        &self,
        schedule: &ScheduleId,
        now: Timestamp,
    ) -> Result<Remembered, LedgerError> {
        self.look(|asking| Ok(remember::of(asking, &[schedule], now)?.remove(schedule)))
            .map(Option::unwrap_or_default)
    }

    /// As one of several nodes, with a state folder of its own. A database that can't be reached, or
    /// written, is no reason not to begin.
    pub(super) fn join(
        database: &Arc<Database>,
        folder: &Path,
        node: Node,
    ) -> Result<(Self, Begun), LedgerError> {
        let folder = NodeFolder::new(folder);
        let name = folder.name(&node.host)?;
        let mut member = Member::new(node, name.clone());
        let (way, begun) = match Connection::open(database) {
            Ok(connection) => {
                schema::migrate(&connection, database)?;
                let asking = ask::Asking {
                    connection: &connection,
                    database,
                };
                let begun = remember::pauses(&asking).and_then(|pauses| {
                    let sources = remember::sources_of_node(&asking, &name)?;
                    Ok(Begun { pauses, sources })
                });
                let begun = begun.map_err(|error| asking.unreadable(&error))?;
                let way = match member.join(&connection) {
                    Ok(_) => Way::There(connection),
                    Err(trouble) if trouble.is_away() || trouble.is_read_only() => {
                        member.tell(News::Alone);
                        Way::Lost(Instant::now(), trouble.refusal())
                    }
                    Err(trouble) => return Err(schema::unreadable(database, &trouble)),
                };
                (way, begun)
            }
            Err(trouble) if trouble.is_away() => {
                member.tell(News::Alone);
                let begun = Begun {
                    pauses: folder.pauses(),
                    sources: Vec::new(),
                };
                (Way::Lost(Instant::now(), trouble.refusal()), begun)
            }
            Err(trouble) => return Err(schema::unreadable(database, &trouble)),
        };
        let store = Self {
            database: database.clone(),
            is_prepared: matches!(way, Way::There(_)),
            way,
            marks: Marks::default(),
            forget_ahead_of: None,
            among: Some(Among {
                member,
                claims: Claims::new(),
                folder,
            }),
        };
        Ok((store, begun))
    }

    /// All that is asked belongs together.
    fn look<T>(
        &self,
        question: impl FnOnce(&ask::Asking<'_>) -> Asked<T>,
    ) -> Result<T, LedgerError> {
        let away = |refusal: Refusal| LedgerError::Unreadable {
            path: self.database.path(),
            cause: refusal.cause,
            way_out: refusal.way_out,
        };
        let asking = ask::Asking {
            connection: self.connection().map_err(away)?,
            database: &self.database,
        };
        let answer = asking.begin_view().and_then(|()| question(&asking));
        asking.end_view();
        answer.map_err(|error| asking.unreadable(&error))
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

    fn try_record(&self, facts: &[Stated<'_>]) -> Result<Result<Done, Trouble>, Refusal> {
        let connection = self.connection()?;
        let among = self.among.as_ref();
        let recorder = Recorder {
            connection,
            marks: self.marks,
            forget_ahead_of: self.forget_ahead_of.map(|at| At(at).number()),
            among: among.and_then(|it| Some((it.member.incarnation()?, &it.claims))),
        };
        if among.is_some() && recorder.among.is_none() {
            // It has to join first.
            return match facts.is_empty() {
                true => Ok(Ok(Done {
                    written: Vec::new(),
                    marks: self.marks,
                    lost: HashSet::new(),
                })),
                false => Err(Trouble::NotConnected.refusal()),
            };
        }
        Ok(match recorder.record(facts) {
            Err(trouble) if trouble.is_for_content() => recorder.record_apart(facts),
            recorded => recorded,
        })
    }

    /// What was written of this node's own part.
    fn take_note(&mut self, facts: &[Stated<'_>], done: &mut Done) {
        let Some(Among { member, claims, .. }) = &mut self.among else {
            return;
        };
        let fenced = done.written.iter().filter(|it| **it == Written::Fenced);
        let fenced = fenced.count();
        if fenced > 0 {
            tracing::warn!(
                facts = fenced,
                schedules = done.lost.len(),
                "facts of schedules that are not this node's, or not any more, are left out of the ledger"
            );
        }
        // What a claim of before was refused is no loss of what is held by a later one.
        let lost = std::mem::take(&mut done.lost).into_iter();
        let lost = lost.filter(|it| member.claim_of(it) == claims.get(it));
        let lost: Vec<_> = lost.collect();
        member.lost(lost);
        let given_up = facts.iter().filter_map(|stated| match stated.fact {
            Fact::GivenUp { schedule, .. } => Some(schedule),
            _ => None,
        });
        let given_up: Vec<_> = given_up.collect();
        for schedule in &given_up {
            claims.remove(*schedule);
        }
        member.gave_up(given_up.into_iter());
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
        self.look(|asking| remember::all(asking, until, now, forget_ahead_of))
    }

    fn record(&mut self, facts: &[Stated<'_>]) -> Result<Vec<Written>, Refusal> {
        let mut done = self
            .try_record(facts)?
            .map_err(|trouble| self.refused(&trouble))?;
        self.take_note(facts, &mut done);
        self.marks = done.marks;
        self.forget_ahead_of = None;
        Ok(done.written)
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
                Some(Ok(connection)) => self.connected(connection),
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
        let me = self.among.as_ref();
        let me = me.and_then(|among| among.member.incarnation());
        let delivered = asking
            .begin_view()
            .and_then(|()| remember::delivered_after(&asking, at, me));
        asking.end_view();
        delivered.unwrap_or_default()
    }

    /// A node that ends in order is not waited for by the others.
    fn close(&mut self) {
        let me = self.among.as_ref();
        if let (Some(me), Ok(connection)) = (
            me.and_then(|among| among.member.incarnation()),
            self.connection(),
        ) {
            let ended = format!(
                "UPDATE owners o SET incarnation = NULL, fence = nextval('fences'),
                     settled_until = coalesce(o.settled_until, n.settled_until)
                 FROM nodes n WHERE n.incarnation = {me} AND o.incarnation = {me};
                 UPDATE nodes SET lease_until = clock_timestamp() WHERE incarnation = {me}"
            );
            // If it fails, the lease lapses by itself.
            let _ = connection.batch(&ended);
        }
    }

    fn next_turn(&self) -> Option<Instant> {
        self.among.as_ref().map(|among| among.member.next())
    }

    fn turn(&mut self) -> Result<Vec<News>, Refusal> {
        let Some(Among { member, folder, .. }) = &mut self.among else {
            return Ok(Vec::new());
        };
        let turned = match &self.way {
            Way::There(connection) => member.turn(connection, &self.database),
            Way::Connecting(..) | Way::Lost(..) => Ok(()),
        };
        let news = member.news();
        for pauses in news.iter().filter_map(|it| match it {
            News::Pauses(pauses) => Some(pauses),
            _ => None,
        }) {
            folder.keep_pauses(pauses);
        }
        match turned {
            Ok(()) => Ok(news),
            Err(error) => {
                // What it had to tell already is told with the next turn.
                news.into_iter().for_each(|it| member.tell(it));
                member.missed_an_answer();
                Err(match error {
                    AskError::Postgres(trouble) => self.refused(&trouble),
                    error => Refusal {
                        cause: error.to_string(),
                        way_out: "look at the database's log".to_owned(),
                    },
                })
            }
        }
    }

    fn hold(&mut self, holdings: Vec<Holding>) {
        if let Some(among) = &mut self.among {
            among.member.hold(holdings);
        }
    }

    fn write_by(&mut self, claims: Vec<(ScheduleId, Claim)>) {
        if let Some(among) = &mut self.among {
            among.claims.extend(claims);
        }
    }

    #[cfg(test)]
    fn refuse_growth(&mut self, refuse: bool) {
        let connection = self.connection().expect("it is there");
        let set = format!("SET default_transaction_read_only = {refuse}");
        connection.batch(&set).expect("a session can be changed");
    }
}

impl Postgres {
    /// A node has to be there again before it can write.
    fn connected(&mut self, connection: Connection) -> Result<(), Refusal> {
        if !self.is_prepared {
            schema::migrate(&connection, &self.database).map_err(|error| {
                let refusal = Refusal {
                    cause: error.to_string(),
                    way_out: "no schedule is taken up until then".to_owned(),
                };
                self.way = Way::Lost(Instant::now() + AGAIN_AFTER, refusal.clone());
                refusal
            })?;
            self.is_prepared = true;
        }
        if let Some(Among { member, .. }) = &mut self.among {
            member.connected();
            if member.incarnation().is_none()
                && let Err(trouble) = member.join(&connection)
            {
                let refusal = trouble.refusal();
                self.way = Way::Lost(Instant::now() + AGAIN_AFTER, refusal.clone());
                return Err(refusal);
            }
        }
        self.way = Way::There(connection);
        Ok(())
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
