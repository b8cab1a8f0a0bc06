//! The small fixed delay that spreads schedules which share a minute: a pure function of the
//! occurrence's key, so that `next` prints the truth. It knows no random number.

use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::plan::delivery::later;
use crate::plan::occurrence::{IdempotencyKey, Namespace, Occurrence, Origin};
use crate::schedule::Schedule;
use crate::schedule::recurrence::Slot;

/// When `slot` is due: its scheduled time and its jitter.
pub fn due_at(schedule: &Schedule, namespace: &Namespace, slot: &Slot) -> Timestamp {
    if schedule.jitter.is_zero() {
        return slot.at;
    }
    let occurrence = Occurrence::scheduled(&schedule.id, &schedule.recurrence, slot);
    let key = occurrence.idempotency_key(namespace, &schedule.target.trigger_id);
    occurrence_due_at(schedule, &occurrence, &key)
}

/// The same, for an occurrence whose key is known. Cut so that it stays before the next occurrence
/// (SEMANTICS.md 16); a manual trigger has no jitter.
pub fn occurrence_due_at(
    schedule: &Schedule,
    occurrence: &Occurrence,
    key: &IdempotencyKey,
) -> Timestamp {
    let at = occurrence.scheduled_at;
    if occurrence.origin == Origin::Manual || schedule.jitter.is_zero() {
        return at;
    }
    let jittered = later(at, delay(key, schedule.jitter));
    match schedule.recurrence.next_after(at) {
        Some(next) if jittered >= next.at => earlier_by_one_millisecond(next.at).max(at),
        _ => jittered,
    }
}

/// Whole milliseconds below `length`, by the first 8 bytes of the key's SHA-256.
fn delay(key: &IdempotencyKey, length: Duration) -> Duration {
    let digest = Sha256::digest(key.as_str());
    let hash = u64::from_be_bytes(digest[..8].try_into().expect("8 of 32 bytes"));
    let milliseconds = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(hash % milliseconds.max(1))
}

fn earlier_by_one_millisecond(at: Timestamp) -> Timestamp {
    crate::plan::delivery::earlier(at, Duration::from_millis(1))
}
