//! One node among those that share the database: its lease, what it holds, what it claims and what
//! it hears of the others. Who should look after what is `plan::ownership`'s concern.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tokio_postgres::Row;

use super::connection::{Connection, call};
use super::database::Database;
use super::{Trouble, ask};
use crate::ledger::ask::{Ask, AskError, Row as AnyRow};
use crate::ledger::cluster::{Claim, Holding, LEASE, LiveNode, News, Node, Nodes, Taken};
use crate::ledger::remember;
use crate::ledger::values::At;
use crate::plan::ownership::{Incarnation, Roster, Version};
use crate::plan::pause::Pauses;
use crate::schedule::ScheduleId;

/// How often a node says that it is there, and looks who else is.
const EVERY: Duration = Duration::from_millis(if cfg!(test) { 50 } else { 1000 });

/// How often it is looked for what nobody holds while nothing changes.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// So many schedules are claimed and read at a time, so that facts are written in between.
const AT_ONCE: usize = 512;

pub(super) struct Member {
    node: Node,
    /// Of its state folder.
    name: String,
    /// `None` before it has joined.
    incarnation: Option<Incarnation>,
    next: Instant,
    /// Leases of others count as lapsed from here on: after a cut that met all, they come back first.
    others_from: Instant,
    roster: Roster,
    /// The others' holdings were read up to here.
    changes_read: i64,
    /// Its own holdings that the database has not been told.
    untold: BTreeMap<ScheduleId, Option<Version>>,
    /// What it should look after, as of now.
    wanted: HashSet<ScheduleId>,
    /// What the database says it looks after, and by which claim.
    owned: HashMap<ScheduleId, Claim>,
    /// What it owns by the database is to be read again: an answer may have been lost.
    is_unsure: bool,
    /// Of those, which the engine was asked to leave.
    leaving: HashSet<ScheduleId>,
    /// Claimed and not handed over yet.
    claimed: VecDeque<Claimed>,
    /// When it looks again for what nobody holds.
    sweep_at: Instant,
    pauses: Option<Pauses>,
    nodes: Nodes,
    news: Vec<News>,
}

#[derive(Clone)]
struct Claimed {
    id: ScheduleId,
    claim: Claim,
    settled_until: Timestamp,
    /// Its file is gone from every node.
    is_gone: bool,
}

impl Member {
    pub(super) fn new(node: Node, name: String) -> Self {
        Self {
            node,
            name,
            incarnation: None,
            next: Instant::now(),
            others_from: Instant::now() + LEASE,
            roster: Roster::default(),
            changes_read: 0,
            untold: BTreeMap::new(),
            wanted: HashSet::new(),
            owned: HashMap::new(),
            is_unsure: false,
            leaving: HashSet::new(),
            claimed: VecDeque::new(),
            sweep_at: Instant::now(),
            pauses: None,
            nodes: Nodes::default(),
            news: Vec::new(),
        }
    }

    pub(super) fn incarnation(&self) -> Option<i64> {
        self.incarnation.map(|it| it.0)
    }

    pub(super) fn hold(&mut self, holdings: Vec<Holding>) {
        for (schedule, version) in holdings {
            self.roster.i_hold(schedule.clone(), version);
            self.untold.insert(schedule, version);
        }
        self.next = Instant::now();
    }

    /// When there is something to do again.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    pub(super) fn news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    pub(super) fn tell(&mut self, news: News) {
        self.news.push(news);
    }

    /// There is a new connection.
    pub(super) fn connected(&mut self) {
        self.others_from = Instant::now() + LEASE;
        self.next = Instant::now();
        self.is_unsure = true;
    }

    /// What it asked for may have been done all the same.
    pub(super) fn missed_an_answer(&mut self) {
        self.is_unsure = true;
    }

    /// The database has these as given up.
    pub(super) fn gave_up<'a>(&mut self, schedules: impl Iterator<Item = &'a ScheduleId>) {
        for schedule in schedules {
            self.owned.remove(schedule);
            self.leaving.remove(schedule);
        }
    }

    /// By which claim it looks after the schedule.
    pub(super) fn claim_of(&self, schedule: &ScheduleId) -> Option<&Claim> {
        self.owned.get(schedule)
    }

    /// Another node has these by now.
    pub(super) fn lost(&mut self, schedules: Vec<ScheduleId>) {
        let lost = schedules.into_iter();
        let lost: Vec<_> = lost.filter(|it| self.owned.remove(it).is_some()).collect();
        if lost.is_empty() {
            return;
        }
        for schedule in &lost {
            self.leaving.remove(schedule);
        }
        self.claimed.retain(|it| !lost.contains(&it.id));
        tracing::warn!(
            schedules = lost.len(),
            "the lease had lapsed, and other nodes have taken over; nothing is sent here for what they have"
        );
        self.news.push(News::Lost(lost));
        self.next = Instant::now();
    }

    /// Says that it is there, looks who else is, and claims what should be its own.
    pub(super) fn turn(
        &mut self,
        connection: &Connection,
        database: &Database,
    ) -> Result<(), AskError> {
        self.next = Instant::now() + EVERY;
        let me = match self.incarnation {
            Some(me) => me,
            None => self.join(connection)?,
        };
        let mut changed = self.renew(me, connection, database)?;
        changed |= self.tell_holdings(me, connection)?;
        if changed {
            self.wanted = self.roster.wanted();
            self.sweep_at = Instant::now();
        }
        self.claim(me, connection)?;
        self.leave();
        self.sweep(me, connection)?;
        self.hand_over(me, connection, database)
    }

    pub(super) fn join(&mut self, connection: &Connection) -> Result<Incarnation, Trouble> {
        let rows = connection.query(
            "INSERT INTO nodes (name, host, version, lease_until)
             VALUES ($1, $2, $3, clock_timestamp() + make_interval(secs => $4))
             RETURNING incarnation",
            &[
                &self.name,
                &self.node.host,
                &env!("CARGO_PKG_VERSION"),
                &LEASE.as_secs_f64(),
            ],
        )?;
        let me = Incarnation(rows[0].get("incarnation"));
        self.incarnation = Some(me);
        self.roster.joined(me);
        // All of it is to be told anew.
        let mine = self
            .roster
            .mine()
            .map(|(schedule, version)| (schedule.clone(), Some(*version)));
        self.untold = mine.collect();
        self.owned.clear();
        self.leaving.clear();
        self.claimed.clear();
        self.news.push(News::Joined);
        tracing::info!(node = me.0, "joined the nodes that share the ledger");
        Ok(me)
    }

    /// Also takes what a person asked another node for. Whether something came of it that changes who
    /// should look after what.
    fn renew(
        &mut self,
        me: Incarnation,
        connection: &Connection,
        database: &Database,
    ) -> Result<bool, AskError> {
        let now = At((self.node.wall)()).number();
        let rows = connection.pipeline(&[
            call(
                "WITH before AS (SELECT lease_until < clock_timestamp() AS lapsed FROM nodes WHERE incarnation = $1)
                 UPDATE nodes SET lease_until = clock_timestamp() + make_interval(secs => $2),
                     clock_offset = $3 - (extract(epoch FROM clock_timestamp()) * 1000000000)::bigint,
                     schedules = $4
                 WHERE incarnation = $1 RETURNING (SELECT lapsed FROM before) AS lapsed",
                vec![
                    Box::new(me.0),
                    Box::new(LEASE.as_secs_f64()),
                    Box::new(now),
                    Box::new(self.owned.len() as i64),
                ],
            ),
            call(
                "SELECT * FROM nodes WHERE lease_until > clock_timestamp() ORDER BY incarnation",
                vec![],
            ),
            call(
                "SELECT incarnation, schedule, version, changed FROM holdings
                 WHERE changed > $1 AND incarnation <> $2",
                vec![Box::new(self.changes_read), Box::new(me.0)],
            ),
            call(
                ASKED_FOR,
                vec![Box::new(me.0), Box::new(self.is_unsure)],
            ),
        ])?;
        let asked_for = rows[3]
            .iter()
            .map(|row| remember::open(&AnyRow::Postgres(row)));
        let asked_for = asked_for.collect::<Result<Vec<_>, _>>()?;
        if !asked_for.is_empty() {
            self.news.push(News::AskedFor(asked_for));
        }
        let Some(renewed) = rows[0].first() else {
            // So long away that it was forgotten.
            self.lost(self.owned.keys().cloned().collect());
            self.incarnation = None;
            self.next = Instant::now();
            return Ok(false);
        };
        if self.is_unsure || renewed.get("lapsed") {
            self.look_at_owned(me, connection)?;
            self.is_unsure = false;
        }
        let live: BTreeMap<_, _> = rows[1]
            .iter()
            .map(|row| (Incarnation(row.get("incarnation")), row.get("name")))
            .collect();
        let mut changed = self.roster.live(live);
        for row in &rows[2] {
            self.read_holding(row);
            changed = true;
        }
        let asking = ask::Asking {
            connection,
            database,
        };
        let pauses = remember::pauses(&asking)?;
        if self.pauses.as_ref() != Some(&pauses) {
            self.news.push(News::Pauses(pauses.clone()));
            self.pauses = Some(pauses);
        }
        let nodes = Nodes {
            me,
            live: rows[1].iter().map(live_node).collect(),
            disagreed: match changed {
                true => self.roster.disagreed().into_iter().cloned().collect(),
                false => std::mem::take(&mut self.nodes.disagreed),
            },
        };
        if changed && !nodes.disagreed.is_empty() {
            tracing::warn!(
                schedules = nodes.disagreed.len(),
                first = %nodes.disagreed[0],
                "nodes have different versions of the same files; each occurrence takes effect once, by the version of the node that looks after it"
            );
        }
        if nodes != self.nodes {
            self.news.push(News::Nodes(nodes.clone()));
        }
        self.nodes = nodes;
        Ok(changed)
    }

    fn read_holding(&mut self, row: &Row) {
        let changed: i64 = row.get("changed");
        self.changes_read = self.changes_read.max(changed);
        // Another version of triggerd may allow other names.
        if let Ok(schedule) = ScheduleId::parse(row.get("schedule")) {
            let version: Option<&[u8]> = row.get("version");
            let version = version.and_then(|it| it.try_into().ok());
            let node = Incarnation(row.get("incarnation"));
            self.roster.holds(node, schedule, version);
        }
    }

    /// The lease had lapsed, and whatever it looked after another may have taken; or the answer to a
    /// claim was lost, and it looks after more than it knows.
    fn look_at_owned(&mut self, me: Incarnation, connection: &Connection) -> Result<(), Trouble> {
        let now = At((self.node.wall)()).number();
        let rows = connection.query(
            "SELECT schedule, fence, coalesce(settled_until, $2) AS settled_until
             FROM owners WHERE incarnation = $1",
            &[&me.0, &now],
        )?;
        let held: HashSet<&str> = rows.iter().map(|row| row.get("schedule")).collect();
        let unknown = |row: &&Row| {
            let schedule: &str = row.get("schedule");
            !self.owned.contains_key(schedule)
        };
        let unknown: Vec<_> = rows.iter().filter(unknown).collect();
        for row in unknown {
            self.claimed(row, false);
        }
        let lost = self.owned.keys().filter(|it| !held.contains(it.as_str()));
        self.lost(lost.cloned().collect());
        Ok(())
    }

    /// One node at a time tells what it holds, so that what is read up to a number is all up to there.
    fn tell_holdings(&mut self, me: Incarnation, connection: &Connection) -> Result<bool, Trouble> {
        if self.untold.is_empty() {
            return Ok(false);
        }
        let schedules: Vec<&str> = self.untold.keys().map(ScheduleId::as_str).collect();
        let versions: Vec<Option<&[u8]>> = self
            .untold
            .values()
            .map(|version| version.as_ref().map(|it| &it[..]))
            .collect();
        connection.pipeline(&[
            call("BEGIN", vec![]),
            call("LOCK TABLE holdings IN SHARE ROW EXCLUSIVE MODE", vec![]),
            call(
                "INSERT INTO holdings
                 SELECT $1, t.schedule, t.version, nextval('changes')
                 FROM unnest($2::text[], $3::bytea[]) AS t(schedule, version)
                 ON CONFLICT (incarnation, schedule) DO UPDATE
                     SET version = excluded.version, changed = excluded.changed",
                vec![
                    Box::new(me.0),
                    Box::new(schedules.clone()),
                    Box::new(versions.clone()),
                ],
            ),
            call(
                "UPDATE owners o SET version = t.version
                 FROM unnest($2::text[], $3::bytea[]) AS t(schedule, version)
                 WHERE o.schedule = t.schedule AND o.incarnation = $1",
                vec![Box::new(me.0), Box::new(schedules), Box::new(versions)],
            ),
            // What its predecessors held is told by this one now.
            call(
                "DELETE FROM holdings h USING nodes n
                 WHERE h.incarnation = n.incarnation AND n.name = $1 AND n.incarnation < $2",
                vec![Box::new(self.name.clone()), Box::new(me.0)],
            ),
            call(
                "DELETE FROM nodes n
                 WHERE (name = $1 OR lease_until < clock_timestamp() - interval '7 days')
                     AND incarnation < $2
                     AND NOT EXISTS (SELECT FROM owners o WHERE o.incarnation = n.incarnation)",
                vec![Box::new(self.name.clone()), Box::new(me.0)],
            ),
            call("COMMIT", vec![]),
        ])?;
        self.untold.clear();
        Ok(true)
    }

    fn claim(&mut self, me: Incarnation, connection: &Connection) -> Result<(), Trouble> {
        let unclaimed = self
            .wanted
            .iter()
            .filter(|it| !self.owned.contains_key(*it));
        let mut unclaimed: Vec<_> = unclaimed.cloned().collect();
        if unclaimed.is_empty() {
            return Ok(());
        }
        unclaimed.sort_unstable();
        for some in unclaimed.chunks(AT_ONCE) {
            self.claim_some(some, false, me, connection)?;
        }
        Ok(())
    }

    fn claim_some(
        &mut self,
        some: &[ScheduleId],
        is_gone: bool,
        me: Incarnation,
        connection: &Connection,
    ) -> Result<(), Trouble> {
        let others_too = Instant::now() >= self.others_from;
        let now = (self.node.wall)();
        let schedules: Vec<&str> = some.iter().map(ScheduleId::as_str).collect();
        let versions: Vec<Option<&[u8]>> = some
            .iter()
            .map(|it| self.roster.my_version(it).map(|it| &it[..]))
            .collect();
        let rows = connection.query(
            CLAIM,
            &[
                &schedules,
                &versions,
                &me.0,
                &self.name,
                &others_too,
                &At(now).number(),
            ],
        )?;
        for row in &rows {
            self.claimed(row, is_gone);
        }
        Ok(())
    }

    fn claimed(&mut self, row: &Row, is_gone: bool) {
        let settled_until: i64 = row.get("settled_until");
        let settled_until = Timestamp::from_nanosecond(settled_until.into());
        if let (Ok(id), Ok(settled_until)) = (ScheduleId::parse(row.get("schedule")), settled_until)
        {
            let claim = Claim(row.get("fence"));
            self.owned.insert(id.clone(), claim);
            self.claimed.push_back(Claimed {
                id,
                claim,
                settled_until,
                is_gone,
            });
        }
    }

    /// What should be another's. The engine is asked to leave what it has been given.
    fn leave(&mut self) {
        self.leaving.retain(|it| !self.wanted.contains(it));
        let not_given: HashSet<_> = self.claimed.iter().map(|it| &it.id).collect();
        let unwanted = self.owned.keys().filter(|it| {
            !self.wanted.contains(*it) && !self.leaving.contains(*it) && !not_given.contains(it)
        });
        let unwanted: Vec<_> = unwanted.cloned().collect();
        if !unwanted.is_empty() {
            self.leaving.extend(unwanted.iter().cloned());
            self.news.push(News::Unwanted(unwanted));
        }
    }

    /// Claims what is in force and whose file is gone from every node, so that it ends. One node
    /// looks for all.
    fn sweep(&mut self, me: Incarnation, connection: &Connection) -> Result<(), Trouble> {
        if self.roster.share().0 != 0 || self.sweep_at > Instant::now() {
            return Ok(());
        }
        let others_too = Instant::now() >= self.others_from;
        let rows = connection.query(
            "SELECT o.schedule FROM owners o JOIN schedules s ON s.name = o.schedule
                 LEFT JOIN nodes n ON n.incarnation = o.incarnation
             WHERE s.in_force
                 AND (o.incarnation IS NULL
                     OR ($1 AND (n.incarnation IS NULL OR n.lease_until < clock_timestamp())))
                 AND NOT EXISTS (
                     SELECT FROM holdings h WHERE h.schedule = o.schedule AND h.version IS NOT NULL)
             LIMIT $2",
            &[&others_too, &(AT_ONCE as i64)],
        )?;
        let gone = rows
            .iter()
            .map(|row| ScheduleId::parse(row.get("schedule")));
        let gone: Vec<_> = gone.filter_map(Result::ok).collect();
        if gone.is_empty() {
            self.sweep_at = Instant::now() + SWEEP_EVERY;
            return Ok(());
        }
        self.claim_some(&gone, true, me, connection)
    }

    /// Reads what the ledger has of what was claimed.
    fn hand_over(
        &mut self,
        me: Incarnation,
        connection: &Connection,
        database: &Database,
    ) -> Result<(), AskError> {
        let some = self.claimed.len().min(AT_ONCE);
        if some == 0 {
            return Ok(());
        }
        let asking = ask::Asking {
            connection,
            database,
        };
        let claimed: Vec<_> = self.claimed.iter().take(some).cloned().collect();
        let ids: Vec<_> = claimed.iter().map(|it| &it.id).collect();
        // What a person asks for from here on is found with the next turn.
        let names: Vec<&str> = ids.iter().map(|it| it.as_str()).collect();
        connection.query(
            "UPDATE deliveries SET sender = $2
             WHERE verdict IS NULL AND (origin = 'manual' OR reopened) AND schedule = ANY($1::text[])",
            &[&names, &me.0],
        )?;
        asking.begin_view()?;
        let remembered = remember::of(&asking, &ids, (self.node.wall)());
        asking.end_view();
        let mut remembered = remembered?;
        let taken = claimed.into_iter().map(|it| {
            let mut remembered = remembered.remove(&it.id).unwrap_or_default();
            remembered.settled_until = Some(it.settled_until);
            Taken {
                id: it.id,
                claim: it.claim,
                remembered,
                is_gone: it.is_gone,
            }
        });
        self.news.push(News::Taken(taken.collect()));
        self.claimed.drain(..some);
        if !self.claimed.is_empty() {
            self.next = Instant::now();
        }
        Ok(())
    }
}

/// Takes what nobody looks after: never taken, given up, of a predecessor of this node, or (`$5`) of
/// a node whose lease has lapsed. That a row has no node beside it says nothing where another has
/// taken it while this waited: it is then looked at anew, but beside the node of before.
const CLAIM: &str = "
    WITH wanted AS (SELECT * FROM unnest($1::text[], $2::bytea[]) AS t(schedule, version)),
    free AS (
        SELECT o.schedule, n.settled_until
        FROM owners o JOIN wanted USING (schedule) LEFT JOIN nodes n ON n.incarnation = o.incarnation
        WHERE NOT EXISTS (SELECT FROM nodes m WHERE m.incarnation = o.incarnation)
            OR (n.name = $4 AND n.incarnation < $3)
            OR ($5 AND n.lease_until < clock_timestamp())
        FOR UPDATE OF o SKIP LOCKED),
    taken AS (
        UPDATE owners o SET incarnation = $3, fence = nextval('fences'), version = w.version,
            settled_until = coalesce(o.settled_until, f.settled_until, $6)
        FROM free f JOIN wanted w USING (schedule)
        WHERE o.schedule = f.schedule
        RETURNING o.schedule, o.fence, o.settled_until),
    made AS (
        INSERT INTO owners
        SELECT w.schedule, $3, nextval('fences'), w.version, $6 FROM wanted w
        WHERE NOT EXISTS (SELECT FROM owners o WHERE o.schedule = w.schedule)
        ON CONFLICT (schedule) DO NOTHING
        RETURNING schedule, fence, settled_until)
    SELECT * FROM taken UNION ALL SELECT * FROM made";

/// What a person asked for of the schedules that node `$1` looks after, where another node wrote it
/// down or began with it; with `$2` its own as well, since an answer may have been lost.
const ASKED_FOR: &str = "
    UPDATE deliveries d SET sender = $1, outcome_unknown = d.outcome_unknown OR d.sender IS NOT NULL
    FROM owners o
    WHERE d.verdict IS NULL AND (d.origin = 'manual' OR d.reopened)
        AND o.schedule = d.schedule AND o.incarnation = $1 AND (d.sender IS DISTINCT FROM $1 OR $2)
    RETURNING d.*";

fn live_node(row: &Row) -> LiveNode {
    // To the hundredth of a second: less is the way to the database.
    let offset: i64 = row.get("clock_offset");
    LiveNode {
        incarnation: Incarnation(row.get("incarnation")),
        host: row.get("host"),
        version: row.get("version"),
        clock_offset: SignedDuration::from_millis(offset / 10_000_000 * 10),
        schedules: row.get::<_, i64>("schedules").unsigned_abs(),
    }
}

/// With the server that TRIGGERD_TEST_POSTGRES names, as `tests/postgres/run` sets it.
#[cfg(test)]
mod tests {
    use super::super::schema;
    use super::*;
    use crate::ledger::tests::in_new_schema;

    const NODES: &str = "
        INSERT INTO nodes (incarnation, name, host, version, lease_until) VALUES
            (1000, 'one', 'h', '0', clock_timestamp() - interval '1 second'),
            (1001, 'one', 'h', '0', clock_timestamp() + interval '1 hour'),
            (1002, 'two', 'h', '0', clock_timestamp() + interval '1 hour'),
            (1003, 'old', 'h', '0', clock_timestamp() - interval '1 second')";

    fn tables() -> Option<(Database, Connection)> {
        let database = in_new_schema(&std::env::var("TRIGGERD_TEST_POSTGRES").ok()?);
        let connection = Connection::open(&database).unwrap();
        schema::migrate(&connection, &database).unwrap();
        connection.batch(NODES).unwrap();
        Some((database, connection))
    }

    /// How many node 1001 takes of `a`.
    fn claim(sql: &str, connection: &Connection, others_too: bool) -> usize {
        let (names, versions) = (vec!["a"], vec![None::<&[u8]>]);
        let rows = connection.query(
            sql,
            &[&names, &versions, &1001_i64, &"one", &others_too, &0_i64],
        );
        rows.unwrap().len()
    }

    #[test]
    fn a_claim_takes_what_is_nobodys_and_nothing_of_a_live_node() {
        let Some((_, connection)) = tables() else {
            return;
        };
        let check = |owner: &str, others_too, expected| {
            let set = format!(
                "DELETE FROM owners; INSERT INTO owners VALUES ('a', {owner}, nextval('fences'), NULL, 0)"
            );
            connection.batch(&set).unwrap();
            let taken = claim(CLAIM, &connection, others_too);
            assert_eq!(taken, expected, "{owner} {others_too}");
        };
        check("NULL", false, 1);
        // A node that was forgotten, its own predecessor, and itself.
        check("999", false, 1);
        check("1000", false, 1);
        check("1001", true, 0);
        // One that lives, and one whose lease has lapsed, which may come back first.
        check("1002", true, 0);
        check("1003", false, 0);
        check("1003", true, 1);
    }

    #[test]
    fn a_claim_that_waited_takes_nothing_that_a_live_node_has_by_now() {
        let Some((database, other)) = tables() else {
            return;
        };
        other
            .batch("INSERT INTO owners VALUES ('a', NULL, nextval('fences'), NULL, 0)")
            .unwrap();
        // It waits after it has seen that `a` is nobody's, and before it locks the row.
        let slow = CLAIM.replacen(
            "SELECT * FROM unnest",
            "SELECT t.* FROM (SELECT pg_advisory_xact_lock_shared(7)) AS held, unnest",
            1,
        );
        assert_ne!(slow, CLAIM);
        other.batch("SELECT pg_advisory_lock(7)").unwrap();
        let claiming = std::thread::spawn(move || {
            let connection = Connection::open(&database).unwrap();
            claim(&slow, &connection, true)
        });
        let waits =
            "SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 7 AND NOT granted";
        while other.query(waits, &[]).unwrap().is_empty() {
            std::thread::yield_now();
        }
        other
            .batch("UPDATE owners SET incarnation = 1002, fence = nextval('fences')")
            .unwrap();
        other.batch("SELECT pg_advisory_unlock(7)").unwrap();
        assert_eq!(claiming.join().unwrap(), 0);
        let owner = other.query("SELECT incarnation FROM owners", &[]).unwrap();
        assert_eq!(owner[0].get::<_, i64>("incarnation"), 1002);
    }

    #[test]
    fn what_was_not_given_yet_is_not_asked_back() {
        let node = Node {
            host: "h".to_owned(),
            wall: Box::new(Timestamp::now),
        };
        let mut member = Member::new(node, "one".to_owned());
        let id = ScheduleId::parse("a").unwrap();
        member.owned.insert(id.clone(), Claim(1));
        member.claimed.push_back(Claimed {
            id: id.clone(),
            claim: Claim(1),
            settled_until: Timestamp::UNIX_EPOCH,
            is_gone: false,
        });
        member.leave();
        assert!(member.news().is_empty());
        member.claimed.clear();
        member.leave();
        let news = member.news();
        assert!(matches!(&news[..], [News::Unwanted(ids)] if *ids == [id]));
    }
}
