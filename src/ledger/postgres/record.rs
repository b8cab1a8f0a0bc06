//! Facts into the database: one transaction in one round trip, or two where one of its keys was
//! known. It knows no fact's columns.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use tokio_postgres::Row;

use super::connection::{Call, Column, Connection, call};
use super::fence::{Claims, Fence};
use super::marks::Marks;
use super::statements::{self, Writer};
use super::trouble::Trouble;
use super::waves::{Kind, waves};
use crate::failpoint;
use crate::ledger::store::{Stated, Written};
use crate::ledger::values::At;
use crate::plan::fact::Fact;
use crate::plan::occurrence::IdempotencyKey;
use crate::schedule::ScheduleId;

/// What one writer keeps between transactions.
pub(super) struct Recorder<'a> {
    pub(super) connection: &'a Connection,
    pub(super) marks: Marks,
    /// What was written ahead of this instant and never tried is to be forgotten first.
    pub(super) forget_ahead_of: Option<i64>,
    /// Among other nodes: which one it is, and by which claims it writes.
    pub(super) among: Option<(i64, &'a Claims)>,
}

/// What came of a transaction.
pub(super) struct Done {
    pub(super) written: Vec<Written>,
    pub(super) marks: Marks,
    /// Schedules that another node has taken over.
    pub(super) lost: HashSet<ScheduleId>,
}

impl Recorder<'_> {
    /// All of it, or nothing.
    pub(super) fn record(&self, facts: &[Stated<'_>]) -> Result<Done, Trouble> {
        let mut written = vec![Written::Yes; facts.len()];
        let mut fence = Fence::new(self.among.map(|(_, claims)| claims));
        let marks = loop {
            fence.leave_out(facts, &mut written);
            match self.try_record(facts, &written, &fence) {
                Ok(Tried::Committed(marks)) => break marks,
                Ok(Tried::Known(places)) => mark_known(facts, &places, &mut written),
                Ok(Tried::CommittedButKnown(places, marks)) => {
                    mark_known(facts, &places, &mut written);
                    break marks;
                }
                Err(trouble) if trouble.is_fenced() => fence.find_lost(facts, self.connection)?,
                Err(trouble) => return Err(trouble),
            }
        };
        Ok(Done {
            written,
            marks,
            lost: fence.into_lost(),
        })
    }

    fn try_record(
        &self,
        facts: &[Stated<'_>],
        written: &[Written],
        fence: &Fence<'_>,
    ) -> Result<Tried, Trouble> {
        let left = facts.iter().map(|stated| stated.fact).enumerate();
        let left: Vec<_> = left
            .filter(|(place, _)| written[*place] == Written::Yes)
            .collect();
        let mut marks = self.marks;
        let strange = |schedule: &ScheduleId| fence.is_strange(schedule);
        let writer = |newest| Writer {
            incarnation: self.among.map(|(me, _)| me),
            strange: &strange,
            newest,
        };

        let mut calls = vec![call("BEGIN", vec![])];
        calls.extend(fence.check(&left));
        calls.extend(self.forget_ahead_of.map(forget_ahead_of));
        calls.extend(statements::bring_along(&left, &writer(marks.newest)));
        // Where the keys of what was written come back, and which facts were stated there.
        let mut keys = Vec::new();
        for wave in waves(left.iter().copied()) {
            for (kind, places) in wave.kinds {
                let of_kind: Vec<&Fact> = places.iter().map(|place| facts[*place].fact).collect();
                if matches!(kind, Kind::WrittenAhead | Kind::Reopened) {
                    keys.push((calls.len(), places));
                }
                calls.extend(statements::of(kind, &of_kind, &writer(marks.newest)));
                of_kind.iter().for_each(|fact| marks.take(fact));
            }
        }
        // Without a fact it is a try whether anything can be written.
        if marks != self.marks || facts.is_empty() {
            calls.push(self.note(marks));
        }
        failpoint::pass(failpoint::BEFORE_COMMIT);
        // What would have to be taken back is committed only once that is known not to be so.
        let at_once = !has_dependents(facts, keys.iter().flat_map(|(_, places)| places));
        if at_once {
            calls.push(call("COMMIT", vec![]));
        }
        let rows = match self.connection.pipeline(&calls) {
            Ok(rows) => rows,
            Err(trouble) => {
                // It may be that the connection is no more.
                let _ = self.connection.batch("ROLLBACK");
                return Err(trouble);
            }
        };
        let unwritten = keys.iter().flat_map(|(call, places)| {
            let written = |row: &Row| row.get::<_, &str>(0).to_owned();
            let written: HashSet<_> = rows[*call].iter().map(written).collect();
            places.iter().copied().filter(move |place| {
                let key = facts[*place].fact.key().map(IdempotencyKey::as_str);
                !facts[*place].told && !key.is_some_and(|key| written.contains(key))
            })
        });
        let known: Vec<_> = unwritten.collect();
        if at_once {
            return Ok(match known.is_empty() {
                true => Tried::Committed(marks),
                false => Tried::CommittedButKnown(known, marks),
            });
        }
        if known.is_empty() {
            self.connection.batch("COMMIT")?;
            return Ok(Tried::Committed(marks));
        }
        self.connection.batch("ROLLBACK")?;
        Ok(Tried::Known(known))
    }

    /// As `record`, but a fact that is refused for what it says spoils nothing else: one that came
    /// back each time would keep all that comes after it from the disk.
    pub(super) fn record_apart(&self, facts: &[Stated<'_>]) -> Result<Done, Trouble> {
        let mut written = vec![Written::Yes; facts.len()];
        let mut fence = Fence::new(self.among.map(|(_, claims)| claims));
        fence.find_lost(facts, self.connection)?;
        fence.leave_out(facts, &mut written);
        let mut marks = self.marks;
        let left = facts.iter().map(|stated| stated.fact).enumerate();
        let left: Vec<_> = left
            .filter(|(place, _)| written[*place] == Written::Yes)
            .collect();
        self.connection.batch("BEGIN")?;
        let first = fence.check(&left).into_iter();
        let first: Vec<_> = first
            .chain(self.forget_ahead_of.map(forget_ahead_of))
            .collect();
        self.connection.pipeline(&first)?;
        for place in 0..facts.len() {
            if written[place] == Written::Yes {
                let recorded = self.record_one(facts, place, &fence, marks.newest)?;
                match recorded {
                    Written::Yes => marks.take(facts[place].fact),
                    Written::KeyIsKnown => mark_known(facts, &[place], &mut written),
                    Written::Refused { .. } | Written::Fenced => written[place] = recorded,
                }
            }
        }
        self.connection.pipeline(&[self.note(marks)])?;
        self.connection.batch("COMMIT")?;
        Ok(Done {
            written,
            marks,
            lost: fence.into_lost(),
        })
    }

    fn record_one(
        &self,
        facts: &[Stated<'_>],
        place: usize,
        fence: &Fence<'_>,
        newest: Option<Timestamp>,
    ) -> Result<Written, Trouble> {
        let Stated { fact, told } = facts[place];
        let strange = |schedule: &ScheduleId| fence.is_strange(schedule);
        let writer = Writer {
            incarnation: self.among.map(|(me, _)| me),
            strange: &strange,
            newest,
        };
        self.connection.batch("SAVEPOINT apart")?;
        for wave in waves([(place, fact)].into_iter()) {
            for (kind, _) in wave.kinds {
                let rows = match self
                    .connection
                    .pipeline(&statements::of(kind, &[fact], &writer))
                {
                    Ok(rows) => rows,
                    Err(trouble) if trouble.is_for_content() => {
                        self.connection.batch("ROLLBACK TO apart")?;
                        return Ok(Written::Refused {
                            cause: trouble.to_string(),
                        });
                    }
                    Err(trouble) => return Err(trouble),
                };
                let gives_keys = matches!(kind, Kind::WrittenAhead | Kind::Reopened);
                if gives_keys && rows[0].is_empty() && !told {
                    return Ok(Written::KeyIsKnown);
                }
            }
        }
        self.connection.batch("RELEASE apart")?;
        Ok(Written::Yes)
    }

    fn note(&self, marks: Marks) -> Call<'static> {
        let number = |at: Option<Timestamp>| at.map(|at| At(at).number());
        let of = match self.among {
            None => "marks SET settled_until = $1, newest = $2".to_owned(),
            Some((me, _)) => {
                format!("nodes SET settled_until = $1, newest = $2 WHERE incarnation = {me}")
            }
        };
        let sql = format!("UPDATE {of}");
        let columns: Vec<Column<'static>> = vec![
            Box::new(number(marks.settled_until)),
            Box::new(number(marks.newest)),
        ];
        call(sql, columns)
    }
}

enum Tried {
    Committed(Marks),
    /// Committed; these found their key known, and nothing else was stated about it.
    CommittedButKnown(Vec<usize>, Marks),
    /// Taken back: these found their key known, and more was stated about it.
    Known(Vec<usize>),
}

/// The key of the fact at each place is known: the same is said of all further facts about it.
fn mark_known(facts: &[Stated<'_>], places: &[usize], written: &mut [Written]) {
    let mut first = HashMap::<&IdempotencyKey, usize>::new();
    for &place in places {
        if let Some(key) = facts[place].fact.key() {
            let known = first.entry(key).or_insert(place);
            *known = place.min(*known);
        }
    }
    for (place, Stated { fact, told }) in facts.iter().enumerate() {
        let known = fact.key().and_then(|key| first.get(key));
        if known.is_some_and(|known| *known <= place) && !told {
            written[place] = Written::KeyIsKnown;
        }
    }
}

/// Whether more is stated about what is written ahead at one of these places.
fn has_dependents<'a>(facts: &[Stated<'_>], places: impl Iterator<Item = &'a usize>) -> bool {
    let keys = places.filter_map(|place| facts[*place].fact.key());
    let mut stated = HashMap::<&IdempotencyKey, usize>::new();
    for key in facts.iter().filter_map(|stated| stated.fact.key()) {
        *stated.entry(key).or_default() += 1;
    }
    keys.into_iter().any(|key| stated[key] > 1)
}

/// What was written ahead and never tried is, before its time comes, written ahead again: by this
/// process, unless nodes look after the schedule.
fn forget_ahead_of<'a>(instant: i64) -> Call<'a> {
    call(
        "DELETE FROM deliveries d
         WHERE verdict IS NULL AND scheduled_at > $1 AND attempts = 0 AND NOT outcome_unknown
             AND NOT EXISTS (SELECT FROM owners o WHERE o.schedule = d.schedule)",
        vec![Box::new(instant)],
    )
}
