//! Places where a test can have the process die as by `kill -9`, or the thread hang. Only in debug builds, and
//! only where `TRIGGERD_FAILPOINT` names the place: it knows nothing of what happens there.

/// Before the facts of a transaction are committed: the intent is not written.
pub(crate) const BEFORE_COMMIT: &str = "before_commit";
/// After they are on the disk, before anyone acts on it: nothing is sent.
pub(crate) const AFTER_COMMIT: &str = "after_commit";
/// After an answer was read, before it is stated: the acceptance is not recorded.
pub(crate) const AFTER_ANSWER: &str = "after_answer";
/// In the middle of bringing the ledger's schema up to date.
pub(crate) const MIGRATION: &str = "migration";

/// Dies here, if this is the place that the test has named; hangs for ever, if `:hang` follows the name.
#[cfg(debug_assertions)]
pub(crate) fn pass(place: &str) {
    let named = std::env::var("TRIGGERD_FAILPOINT").unwrap_or_default();
    match named.strip_prefix(place) {
        Some("") => {
            let this = rustix::process::getpid();
            let _ = rustix::process::kill_process(this, rustix::process::Signal::KILL);
        }
        Some(":hang") => loop {
            std::thread::park();
        },
        _ => {}
    }
}

#[cfg(not(debug_assertions))]
pub(crate) fn pass(_place: &str) {}
