//! What to do with the occurrences that have passed: deliver those that are on time, and of the
//! missed ones what the policy says (SEMANTICS.md 7 and 8). It knows no delivery and no ledger.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use crate::plan::delivery::{Skip, earlier};
use crate::schedule::recurrence::{Recurrence, Slot};
use crate::schedule::{CatchUp, Missed};

/// Up to this long after it was due an occurrence is late and fires, whatever the policy;
/// then it is missed.
pub const LATE: Duration = Duration::from_secs(30);

/// The decision over all occurrences of one schedule in a stretch of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settlement {
    pub skipped: Vec<Stretch>,
    /// Missed occurrences that are caught up, oldest first.
    pub caught_up: Vec<Slot>,
    /// Occurrences that are on time or late, oldest first.
    pub on_time: Vec<Slot>,
}

impl Settlement {
    /// Where this slot alone has passed, and is on time.
    pub fn on_time(slot: Slot) -> Self {
        let mut settlement = Self::default();
        match slot.excluded {
            true => settlement.skipped.push(Stretch::of(Skip::Excluded, &slot)),
            false => settlement.on_time.push(slot),
        }
        settlement
    }
}

/// Whether what was due then is not missed.
pub fn is_on_time(due_at: Timestamp, now: Timestamp) -> bool {
    due_at >= earlier(now, LATE)
}

/// Consecutive occurrences that are skipped for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    pub why: Skip,
    pub first: Timestamp,
    pub last: Timestamp,
    pub count: u64,
}

/// Settles what `recurrence` owes in `(after, now]`. `due_at` adds an occurrence's jitter, which is
/// shorter than `jitter` and never reaches the next occurrence.
///
/// The work does not grow with the length of the stretch but for its excluded days, so that a clock
/// that leaps by ten years costs no more than one that leaps by an hour.
pub fn settle(
    recurrence: &Recurrence,
    policy: Missed,
    jitter: Duration,
    due_at: impl Fn(&Slot) -> Timestamp,
    after: Timestamp,
    now: Timestamp,
) -> Settlement {
    let late_since = just_before(earlier(earlier(now, LATE), jitter)).max(after);
    let mut on_time: Vec<Slot> = slots(recurrence, late_since, now)
        .skip_while(|slot| !is_on_time(due_at(slot), now))
        .collect();
    let missed_until = on_time.first().map_or(now, |slot| just_before(slot.at));

    let mut settlement = Settlement::default();
    if slots(recurrence, after, missed_until).next().is_some() {
        settle_missed(
            &mut settlement,
            recurrence,
            policy,
            after,
            missed_until,
            now,
        );
    }
    for slot in on_time.extract_if(.., |slot| slot.excluded) {
        settlement.skipped.push(Stretch::of(Skip::Excluded, &slot));
    }
    settlement.on_time = on_time;
    settlement
}

fn settle_missed(
    settlement: &mut Settlement,
    recurrence: &Recurrence,
    policy: Missed,
    after: Timestamp,
    missed_until: Timestamp,
    now: Timestamp,
) {
    let too_old_until = just_before(earlier(now, policy.within)).clamp(after, missed_until);
    let mut skip = |why, after, until| {
        settlement
            .skipped
            .extend(stretch(recurrence, why, after, until));
    };
    match policy.catch_up {
        CatchUp::None => skip(Skip::Missed, after, missed_until),
        CatchUp::Latest | CatchUp::All { .. } => {
            skip(Skip::Missed, after, too_old_until);
            let at_most = match policy.catch_up {
                CatchUp::All { at_most, .. } => at_most as usize,
                _ => 1,
            };
            settlement.caught_up = recurrence.newest(at_most, too_old_until, missed_until);
            if let Some(oldest) = settlement.caught_up.first() {
                skip(Skip::Superseded, too_old_until, just_before(oldest.at));
            }
        }
    }
    settlement
        .skipped
        .extend(excluded(recurrence, after, missed_until));
}

/// Skips everything in `(after, until]` for one reason, but what is excluded.
pub fn skip_all(
    recurrence: &Recurrence,
    why: Skip,
    after: Timestamp,
    until: Timestamp,
) -> Vec<Stretch> {
    let mut skipped = excluded(recurrence, after, until);
    skipped.extend(stretch(recurrence, why, after, until));
    skipped.sort_by_key(|stretch| stretch.first);
    skipped
}

/// All occurrences in `(after, until]` but the excluded ones, as one stretch.
fn stretch(
    recurrence: &Recurrence,
    why: Skip,
    after: Timestamp,
    until: Timestamp,
) -> Option<Stretch> {
    let last = recurrence.newest(1, after, until).pop()?;
    let first = slots(recurrence, after, until).find(|slot| !slot.excluded)?;
    Some(Stretch {
        why,
        first: first.at,
        last: last.at,
        count: recurrence.count(after, until),
    })
}

/// The excluded occurrences in `(after, until]`, a stretch for each run of excluded days.
fn excluded(recurrence: &Recurrence, after: Timestamp, until: Timestamp) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    for &date in &recurrence.except {
        let Ok(day) = date.to_zoned_datetime(recurrence.zone.tz.clone()) else {
            continue;
        };
        let from = just_before(day.timestamp()).max(after);
        let on_that_day = slots(recurrence, from, until).take_while(|slot| slot.excluded);
        for slot in on_that_day.filter(|slot| is_on(slot, date, recurrence)) {
            match stretches.last_mut() {
                Some(stretch) if is_on_date(stretch.last, date, recurrence) => {
                    stretch.last = slot.at;
                    stretch.count += 1;
                }
                _ => stretches.push(Stretch::of(Skip::Excluded, &slot)),
            }
        }
    }
    stretches
}

fn is_on(slot: &Slot, date: jiff::civil::Date, recurrence: &Recurrence) -> bool {
    is_on_date(slot.at, date, recurrence)
}

fn is_on_date(at: Timestamp, date: jiff::civil::Date, recurrence: &Recurrence) -> bool {
    recurrence.zone.tz.to_datetime(at).date() == date
}

impl Stretch {
    pub fn of(why: Skip, slot: &Slot) -> Self {
        Self {
            why,
            first: slot.at,
            last: slot.at,
            count: 1,
        }
    }

    /// What is left of it without these instants inside it: the parts between them.
    pub fn without(&self, recurrence: &Recurrence, taken: &BTreeSet<Timestamp>) -> Vec<Stretch> {
        let mut parts = Vec::new();
        let mut after = just_before(self.first);
        let ends = taken.iter().map(|at| (just_before(*at), *at));
        for (until, next) in ends.chain([(self.last, self.last)]) {
            match self.why {
                Skip::Excluded => parts.extend(excluded(recurrence, after, until)),
                why => parts.extend(stretch(recurrence, why, after, until)),
            }
            after = next;
        }
        parts
    }
}

fn slots(
    recurrence: &Recurrence,
    after: Timestamp,
    until: Timestamp,
) -> impl Iterator<Item = Slot> {
    std::iter::successors(recurrence.next_after(after), |slot| {
        recurrence.next_after(slot.at)
    })
    .take_while(move |slot| slot.at <= until)
}

/// Occurrences fall on whole seconds, so that `(after, just_before(t)]` ends before `t`.
pub fn just_before(at: Timestamp) -> Timestamp {
    earlier(at, Duration::from_nanos(1))
}
