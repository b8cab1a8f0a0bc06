//! What is the file's alone: who may read it, what it may lack, and what is no ledger.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::ledger::store::Stated;

/// A link in the place of `-shm` keeps SQLite from making one, as a full or read-only disk does.
fn block_shm(state: &State, block: bool) {
    let shm = state.path().join("ledger.db-shm");
    if block {
        std::os::unix::fs::symlink("nowhere", shm).unwrap();
    } else {
        fs::remove_file(shm).unwrap();
    }
}

#[test]
fn a_ledger_opened_for_reading_says_why_and_is_written_once_it_can_be() {
    let state = State::in_folder();
    state.record(vec![Fact::WrittenAhead(delivery(8))]);
    block_shm(&state, true);
    let mut store = Sqlite::open(state.path()).unwrap();
    let refusal = store.record(&[]).unwrap_err();
    assert_eq!(refusal.cause, "unable to open database file");
    let refusal = store.reopen_to_write().unwrap_err();
    assert_eq!(refusal.cause, "unable to open database file");
    let nothing = HashSet::new();
    assert!(store.knows(&delivery(8).idempotency_key, &nothing));
    block_shm(&state, false);
    store.reopen_to_write().unwrap();
    let fact = Fact::WrittenAhead(delivery(9));
    store
        .record(&[Stated {
            fact: &fact,
            told: false,
        }])
        .unwrap();
    assert!(store.knows(&delivery(9).idempotency_key, &nothing));
}

#[test]
fn a_log_that_cannot_be_read_for_want_of_a_shm_has_a_way_out() {
    let state = State::in_folder();
    let (_ledger, ..) = state.open("07:00:00");
    let copy = State::in_folder();
    for name in ["ledger.db", "ledger.db-wal"] {
        fs::copy(state.path().join(name), copy.path().join(name)).unwrap();
    }
    block_shm(&copy, true);
    insta::assert_snapshot!(copy.error(), @"the ledger `STATE/ledger.db` can't be read: unable to open database file; a part of it is in `STATE/ledger.db-wal`, which can be read only where a `-shm` can be made beside it: make its folder writable, or set `state` to a copy of the folder that is");
}

#[test]
fn files_are_for_their_owner_alone() {
    let state = State::in_folder();
    let (_ledger, ..) = state.open("07:00:00");
    let mut seen = 0;
    for entry in fs::read_dir(state.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.file_name());
        seen += 1;
    }
    assert!(seen >= 2, "ledger and lock at the least");
}

#[test]
fn a_ledger_of_a_newer_version_stops_the_start() {
    let state = State::in_folder();
    state.record(vec![began()]);
    let file = rusqlite::Connection::open(state.path().join("ledger.db")).unwrap();
    file.pragma_update(None, "user_version", 99).unwrap();
    drop(file);
    insta::assert_snapshot!(state.error(), @"the ledger `STATE/ledger.db` has schema 99, written by triggerd 0.1.0, and this triggerd 0.1.0 knows up to 3; run the newer triggerd, or restore the ledger from before the update");
}

#[test]
fn what_is_no_ledger_stops_the_start() {
    let state = State::in_folder();
    fs::write(
        state.path().join("ledger.db"),
        "no database, but long enough to look at",
    )
    .unwrap();
    insta::assert_snapshot!(state.error(), @"`STATE/ledger.db` is no ledger of triggerd; move it away, or set another `state`");
}
