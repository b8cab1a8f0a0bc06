//! The disk of a run: the real ledger on a file, and between it and the agenda what is handed over and
//! not yet committed, which a crash loses. It knows no agenda and no schedule.

use std::path::Path;

use jiff::Timestamp;
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::mpsc::error::TryRecvError;
use triggerd::ledger::history::{Entry, Filter};
use triggerd::ledger::{Ledger, Place, Reader, Receipt, Recorder, Standing};
use triggerd::plan::delivery::Verdict;
use triggerd::plan::fact::Fact;
use triggerd::plan::remembered::Remembered;
use triggerd::schedule::ScheduleId;

use crate::support::open_ledger;

pub(super) struct Disk {
    folder: TempDir,
    ledger: Option<(Ledger, UnboundedReceiver<Vec<Receipt>>)>,
    handed_over: Vec<Fact>,
    /// What the ledger keeps in memory, for as long as it can't write.
    in_memory: Vec<Fact>,
    refuses: bool,
}

impl Disk {
    pub(super) fn new() -> Self {
        // In memory where there is such a folder: the crash is the process's, never the machine's.
        let shm = Path::new("/dev/shm");
        let folder = match shm.is_dir() {
            true => tempfile::tempdir_in(shm),
            false => tempfile::tempdir(),
        };
        Self {
            folder: folder.expect("a temporary folder"),
            ledger: None,
            handed_over: Vec::new(),
            in_memory: Vec::new(),
            refuses: false,
        }
    }

    /// A process starts: what it finds.
    pub(super) fn open(&mut self, now: Timestamp) -> Remembered {
        let place = self.place();
        let (ledger, remembered, receipts) = open_ledger(&place, now);
        self.ledger = Some((ledger, receipts));
        remembered
    }

    /// The newest delivery of the schedule that was given up, as a person finds it.
    pub(super) fn given_up(&self, name: &str) -> Option<String> {
        let filter = Filter {
            schedule: Some(ScheduleId::parse(name).expect("valid")),
            limit: 50,
        };
        let reader = Reader::open(&self.place()).ok()?;
        let entries = reader.history(&filter).expect("it can be read");
        let given_up = |entry: Entry| match entry {
            Entry::Delivery(it) => {
                let verdict = it.ending.as_ref()?.verdict;
                let is_given_up = matches!(verdict, Verdict::Rejected | Verdict::Expired);
                is_given_up.then(|| (it.due_at, it.request_id.to_string()))
            }
            Entry::Skip(_) => None,
        };
        let newest = entries.into_iter().filter_map(given_up).max();
        newest.map(|(_, request_id)| request_id)
    }

    pub(super) fn place(&self) -> Place {
        Place::Folder(self.folder.path().to_owned())
    }

    /// Facts are handed over; they are nowhere yet.
    pub(super) fn append(&mut self, facts: Vec<Fact>) {
        self.handed_over.extend(facts);
    }

    /// Everything that was handed over is written, and what waited in memory before it.
    pub(super) fn commit(&mut self) -> Vec<Vec<Receipt>> {
        self.refuse(false);
        let receipts = self.write();
        self.in_memory.clear();
        for receipt in receipts.iter().flatten() {
            assert_ne!(receipt.standing, Standing::InMemory, "it was refused");
        }
        receipts
    }

    /// The disk refuses: it stands in memory until the next commit.
    pub(super) fn fail(&mut self) -> Vec<Vec<Receipt>> {
        self.refuse(true);
        let receipts = self.write();
        let kept = receipts
            .iter()
            .flatten()
            .filter(|it| it.standing == Standing::InMemory);
        self.in_memory.extend(kept.map(|it| it.fact.clone()));
        receipts
    }

    /// The process is killed: what was lost with it.
    pub(super) fn crash(&mut self) -> Vec<Fact> {
        let mut lost = std::mem::take(&mut self.in_memory);
        // Dropped, it tries to write what waits: that is in vain while the disk refuses.
        self.ledger = None;
        lost.append(&mut self.handed_over);
        lost
    }

    /// The process ends by itself.
    pub(super) fn close(&mut self) {
        if self.ledger.is_some() {
            self.commit();
            self.ledger = None;
        }
    }

    /// What a person would read there.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let all = Filter {
            schedule: None,
            limit: usize::MAX >> 1,
        };
        let reader = Reader::open(&self.place()).expect("there is a ledger");
        reader.history(&all).expect("it can be read")
    }

    fn write(&mut self) -> Vec<Vec<Receipt>> {
        let facts = std::mem::take(&mut self.handed_over);
        let mut expected = facts.len();
        // What waited in memory is written with them, of which an empty vector tells.
        let mends = !self.refuses && !self.in_memory.is_empty();
        let (ledger, arriving) = self.ledger.as_mut().expect("a process is there");
        ledger.append(facts);
        let mut all: Vec<Vec<Receipt>> = Vec::new();
        while expected > 0 || (mends && all.last().is_none_or(|last| !last.is_empty())) {
            let receipts = match arriving.try_recv() {
                Ok(receipts) => receipts,
                // It takes less time than to be woken.
                Err(TryRecvError::Empty) => {
                    std::thread::yield_now();
                    continue;
                }
                Err(TryRecvError::Disconnected) => panic!("the writer lives"),
            };
            expected -= receipts.len();
            all.push(receipts);
        }
        all
    }

    /// Another connection puts a trigger before each change, so that SQLite itself refuses it.
    fn refuse(&mut self, refuse: bool) {
        if self.refuses == refuse {
            return;
        }
        self.refuses = refuse;
        let path = self.folder.path().join("ledger.db");
        let connection = Connection::open(path).expect("the ledger can be opened");
        let mut tables = connection
            .prepare(
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'",
            )
            .expect("it has tables");
        let tables = tables.query_map([], |row| row.get::<_, String>(0));
        let mut text = String::new();
        for table in tables.expect("their names").map(|it| it.expect("a name")) {
            for change in ["INSERT", "UPDATE", "DELETE"] {
                let name = format!("refuse_{change}_{table}");
                text += &match refuse {
                    true => format!(
                        "CREATE TRIGGER {name} BEFORE {change} ON {table}
                         BEGIN SELECT RAISE(ABORT, 'no space'); END;"
                    ),
                    false => format!("DROP TRIGGER {name};"),
                };
            }
        }
        connection
            .execute_batch(&format!("BEGIN; {text} COMMIT;"))
            .expect("a trigger can be made");
    }
}
