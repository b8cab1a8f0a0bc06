//! What is worth a word about one occurrence. It decides nothing.

use jiff::tz::AmbiguousOffset;

use super::{Naming, Recurrence, Slot};

/// Where a clock change, or an excluded date, makes an occurrence something to look at twice.
pub fn note(recurrence: &Recurrence, slot: &Slot) -> Option<String> {
    if slot.excluded {
        return Some("excluded by `except`: does not fire".into());
    }
    let zone = &recurrence.zone.tz;
    let local = zone.to_datetime(slot.at);
    if let AmbiguousOffset::Fold { before, .. } = zone.to_ambiguous_timestamp(local).offset() {
        let pass = if zone.to_offset(slot.at) == before {
            "first"
        } else {
            "second"
        };
        return Some(format!("this time comes twice; this is the {pass} pass"));
    }
    let change = zone
        .preceding(slot.at + jiff::SignedDuration::from_nanos(1))
        .next()?;
    let before = zone.to_datetime(slot.at - jiff::SignedDuration::from_nanos(1));
    let forward = change.timestamp() == slot.at && before.duration_until(local).as_secs() > 0;
    (forward && slot.naming == Naming::WallClock)
        .then(|| "the clock goes forward here; what it skips fires now".into())
}
