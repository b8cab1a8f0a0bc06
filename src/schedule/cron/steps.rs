//! Counts what a search does, so that its cost can be bounded without a clock. In debug builds alone:
//! it costs nothing elsewhere, and counts nothing.

use std::cell::Cell;

thread_local! {
    static STEPS: Cell<u64> = const { Cell::new(0) };
}

/// One month or one stretch of a zone was looked at.
pub(super) fn count() {
    if cfg!(debug_assertions) {
        STEPS.set(STEPS.get() + 1);
    }
}

/// The steps of this thread's searches since this was asked before.
pub fn taken() -> u64 {
    STEPS.take()
}
