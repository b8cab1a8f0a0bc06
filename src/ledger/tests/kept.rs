//! A ledger of each schema is kept in tests/files/ledgers, as the triggerd of its time wrote it:
//! today's opens it with every row, and goes on.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use rusqlite::{Connection, types::Value};

use super::*;
use crate::ledger::sqlite::KNOWN;
use crate::plan::occurrence::IdempotencyKey;
use crate::plan::pause::{Pause, Scope};

/// The rows of each table, by column.
pub(in crate::ledger) type Rows = BTreeMap<String, Vec<BTreeMap<String, String>>>;

pub(in crate::ledger) fn files_of(schema: u32) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files/ledgers");
    folder.join(format!("{schema:04}.db"))
}

pub(in crate::ledger) fn copy_into(ledger: &Path, folder: &Path) {
    fs::copy(ledger, folder.join("ledger.db")).unwrap();
}

/// All but `meta`, which says what changes with each start. Read from a copy, so that the kept one
/// stays as it is.
pub(in crate::ledger) fn rows_of(ledger: &Path) -> Rows {
    let folder = tempfile::tempdir().unwrap();
    copy_into(ledger, folder.path());
    let log = ledger.with_extension("db-wal");
    if log.exists() {
        fs::copy(log, folder.path().join("ledger.db-wal")).unwrap();
    }
    let connection = Connection::open(folder.path().join("ledger.db")).unwrap();
    let tables: Vec<String> = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'meta'")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let rows = tables.into_iter().map(|table| {
        let rows = rows_in(&connection, &table);
        (table, rows)
    });
    rows.collect()
}

fn rows_in(connection: &Connection, table: &str) -> Vec<BTreeMap<String, String>> {
    let mut all = connection
        .prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2"))
        .unwrap();
    let columns: Vec<String> = all.column_names().map(str::to_owned).collect();
    all.query_map([], |row| {
        let cells = columns.iter().enumerate().map(|(n, column)| {
            let value: Value = row.get(n)?;
            Ok((column.clone(), format!("{value:?}")))
        });
        cells.collect()
    })
    .unwrap()
    .collect::<Result<_, _>>()
    .unwrap()
}

/// Something in every table and every column.
fn everything() -> Vec<Fact> {
    let failed = |delivery: &Arc<Delivery>, reached, next| {
        let outcome = Outcome::Failed {
            reached,
            retry_after: None,
        };
        Fact::Attempted(attempt(delivery, outcome, next))
    };
    let ended = |delivery: &Arc<Delivery>, verdict, detail: Option<&str>| {
        Fact::Ended(Arc::new(Ending {
            delivery: delivery.clone(),
            verdict,
            at: at("12:00:00"),
            attempts: 1,
            last: None,
            outcome_unknown: verdict == Verdict::Expired,
            detail: detail.map(str::to_owned),
            covered_until: None,
        }))
    };
    let manual = Arc::new(Delivery {
        occurrence: Occurrence::manual(&id("a"), at("10:20:30.456")),
        idempotency_key: IdempotencyKey::recorded("a-manual-20261123T102030456Z-0123456789abcdef"),
        keep_body: true,
        conversation_key: None,
        ..(*delivery(10)).clone()
    });
    let run = |delivery: &Arc<Delivery>, progress| {
        let acceptance = Acceptance {
            conversation_url: None,
            run_id: Some("apirun_1".into()),
        };
        let run = Run::of(delivery, &acceptance, at("10:30:00")).unwrap();
        Fact::Run(Arc::new(RunReport {
            run: Arc::new(run),
            progress,
            at: at("10:31:00"),
        }))
    };
    let suspended = Progress::Status(RunStatus::from("suspended".to_owned()));
    let found = Progress::Ended(RunEnd::Completed(Some(Finding::Missing)));
    let [attempted, accepted_8] = accepted(&delivery(8));
    let [attempted_by_hand, accepted_by_hand] = accepted(&manual);
    let refused = Fact::Attempted(attempt(&delivery(9), Outcome::Rejected, Next::End));
    vec![
        began(),
        Fact::InForce {
            schedule: id("a"),
            source: Arc::new(Source {
                toml: "cron = \"0 * * * *\"\ninput_file = \"a.md\"\n".into(),
                input: Some("secret plans".into()),
            }),
        },
        Fact::Began {
            schedule: id("gone"),
            at: at("07:30:00"),
            covered_until: at("07:00:00"),
        },
        Fact::Ceased {
            schedule: id("gone"),
            at: at("08:30:00"),
        },
        Fact::WrittenAhead(delivery(8)),
        attempted,
        accepted_8,
        run(&delivery(8), suspended),
        Fact::WrittenAhead(delivery(9)),
        refused,
        ended(&delivery(9), Verdict::Rejected, Some("no such field")),
        Fact::Reopened(delivery(9)),
        ended(&delivery(9), Verdict::Rejected, Some("no such field")),
        Fact::WrittenAhead(manual.clone()),
        attempted_by_hand,
        accepted_by_hand,
        run(&manual, found),
        Fact::WrittenAhead(delivery(11)),
        failed(&delivery(11), Reached::Unknown, Next::Held),
        ended(&delivery(11), Verdict::Expired, None),
        Fact::WrittenAhead(delivery(12)),
        ended(&delivery(12), Verdict::Skipped(Skip::Superseded), None),
        skip_at(13, Skip::Paused),
        skip_at(14, Skip::Paused),
        skip_at(15, Skip::Limit),
        Fact::WrittenAhead(delivery(16)),
        failed(
            &delivery(16),
            Reached::Unknown,
            Next::RetryAt(at("16:00:09.5")),
        ),
        Fact::WrittenAhead(delivery(17)),
        Fact::Paused {
            scope: Scope::Schedule(id("a")),
            pause: Pause {
                since: at("16:30:00"),
                until: Some(at("18:00:00")),
                reason: Some("the agent is being changed".into()),
            },
        },
        Fact::SettledUntil(at("17:00:00")),
    ]
}

/// Whoever appends a migration keeps a ledger of its schema: this makes it, to be committed.
#[test]
fn a_ledger_of_this_schema_is_kept() {
    let kept = files_of(KNOWN);
    if kept.exists() {
        return;
    }
    let state = State::in_folder();
    state.record(everything());
    fs::copy(state.path().join("ledger.db"), &kept).unwrap();
    panic!("there was none, and now there is `{}`", kept.display());
}

#[test]
fn a_ledger_of_each_schema_opens_with_every_row_and_goes_on() {
    for schema in 1..=KNOWN {
        let before = rows_of(&files_of(schema));
        assert!(before.values().all(|rows| !rows.is_empty()), "{before:#?}");
        let state = State::in_folder();
        copy_into(&files_of(schema), state.path());
        let remembered = state.remembered("22:00:00");
        let after = rows_of(&state.path().join("ledger.db"));
        for (table, rows) in &before {
            assert_eq!(rows.len(), after[table].len(), "{table} of schema {schema}");
            for (before, after) in rows.iter().zip(&after[table]) {
                for (column, value) in before.iter().filter(|(it, _)| after.contains_key(*it)) {
                    assert_eq!(value, &after[column], "{table}.{column} of schema {schema}");
                }
            }
        }
        assert_eq!(remembered.schedules.len(), 2);
        let open: Vec<_> = remembered.open.iter().map(|it| &it.delivery).collect();
        assert_eq!(open, [&delivery(16), &delivery(17)], "of schema {schema}");

        let standings = state.record(vec![
            Fact::WrittenAhead(delivery(8)),
            Fact::WrittenAhead(delivery(18)),
            skip_at(19, Skip::Limit),
        ]);
        let durable = Standing::Durable;
        assert_eq!(standings, [Standing::AlreadyKnown, durable, durable]);
        let everything = Filter {
            schedule: None,
            limit: 100,
        };
        let history = state.reader().history(&everything).unwrap();
        assert_eq!(history.len(), 11, "{history:#?}");
    }
}
