//! Whether the accepted windows of each schedule leave a hole (SEMANTICS.md 13): what a skipped or
//! refused occurrence did not cover, the next one does. It knows nothing of what was owed.

use std::collections::HashMap;

use triggerd::ledger::history::Entry;

use super::{Charge, Trial};
use crate::simulation::script::Nanos;
use crate::simulation::world::{nanos, timestamp};

/// An accepted window.
#[derive(Clone, Copy)]
struct Covered {
    start: Nanos,
    end: Nanos,
    frozen_at: Nanos,
    /// The earliest start among this and those that end later, and the last freezing.
    least_start: Nanos,
    last_frozen: Nanos,
}

impl Trial<'_> {
    /// What a skipped or refused occurrence did not cover, the next one does.
    pub(super) fn look_for_holes(&mut self) {
        let mut windows: HashMap<&str, Vec<Covered>> = HashMap::new();
        for entry in &self.journal.entries {
            if let Entry::Delivery(delivery) = entry
                && self
                    .accepted
                    .contains_key(delivery.idempotency_key.as_str())
                && let Some(frozen_at) = self.journal.stated.get(delivery.idempotency_key.as_str())
            {
                windows
                    .entry(delivery.occurrence.schedule.as_str())
                    .or_default()
                    .push(Covered {
                        start: nanos(delivery.window.start),
                        end: nanos(delivery.window.end),
                        frozen_at: *frozen_at,
                        least_start: nanos(delivery.window.start),
                        last_frozen: *frozen_at,
                    });
            }
        }
        for of_name in windows.values_mut() {
            of_name.sort_by_key(|window| window.end);
            for place in (1..of_name.len()).rev() {
                let next = of_name[place];
                let it = &mut of_name[place - 1];
                it.least_start = it.least_start.min(next.least_start);
                it.last_frozen = it.last_frozen.max(next.last_frozen);
            }
        }
        let mut holes = Vec::new();
        for entry in &self.journal.entries {
            let (name, first, last, stated) = match entry {
                Entry::Skip(it) => {
                    let it = &it.skipped;
                    let first = nanos(it.first);
                    (
                        it.schedule.as_str(),
                        first,
                        nanos(it.last),
                        format!("{} {first}", it.schedule),
                    )
                }
                Entry::Delivery(delivery) if delivery.ending.is_none() => continue,
                Entry::Delivery(delivery)
                    if self
                        .accepted
                        .contains_key(delivery.idempotency_key.as_str()) =>
                {
                    continue;
                }
                Entry::Delivery(delivery) => {
                    let at = nanos(delivery.window.end);
                    let key = &delivery.idempotency_key;
                    (
                        delivery.occurrence.schedule.as_str(),
                        at,
                        at,
                        format!("{key} ended"),
                    )
                }
            };
            let Some(stated_at) = self.journal.stated.get(&stated) else {
                continue;
            };
            let of_name = windows.get(name).map(Vec::as_slice).unwrap_or_default();
            let first_loaded = self.journal.edits_of(name).first();
            let owed_since = first_loaded.map_or(Nanos::MAX, |edit| self.journal.wall(edit.at));
            for at in [first, last].into_iter().filter(|at| *at > owed_since) {
                let after = of_name.partition_point(|window| window.end < at);
                let is_covered = of_name.get(after).is_some_and(|it| it.least_start < at);
                let later = of_name[after..]
                    .iter()
                    .take_while(|it| it.last_frozen > *stated_at)
                    .find(|it| it.end > at && it.frozen_at > *stated_at);
                if !is_covered && let Some(window) = later {
                    holes.push((name.to_owned(), at, window.start, window.end));
                }
            }
        }
        for (name, at, start, end) in holes {
            let case = self
                .cases
                .iter()
                .find(|case| case.name == name && case.scheduled() == end);
            let Some(case) = case.filter(|case| case.sure && !case.repassed) else {
                continue;
            };
            let (request_id, seen_at) = (case.instance().request_id.clone(), case.seen_at);
            let detail = format!(
                "its window starts at {}, and {} is covered by none",
                timestamp(start),
                timestamp(at)
            );
            self.charge(Charge::Wrong, &name, &request_id, seen_at, detail);
        }
    }
}
