//! Whether each row of skipped occurrences counts those that were owed in its stretch and have no
//! delivery. It knows nothing of why they were skipped.

use std::collections::{BTreeMap, HashSet};

use triggerd::ledger::history::Entry;
use triggerd::plan::delivery::Skip;

use super::{Charge, Trial};
use crate::simulation::reign;
use crate::simulation::script::{Nanos, SECOND};
use crate::simulation::world::{nanos, timestamp};

impl Trial<'_> {
    pub(super) fn count_the_skipped(&mut self) {
        let journal = self.journal;
        let delivered: HashSet<(&str, Nanos)> = journal
            .entries
            .iter()
            .filter_map(|entry| match entry {
                Entry::Delivery(it) => Some((
                    it.occurrence.schedule.as_str(),
                    nanos(it.occurrence.scheduled_at),
                )),
                Entry::Skip(_) => None,
            })
            .collect();
        // By schedule and instant: several versions may name one.
        let mut owed: BTreeMap<(&str, Nanos), Vec<usize>> = BTreeMap::new();
        for (index, case) in self.cases.iter().enumerate() {
            let place = (case.name.as_str(), case.scheduled());
            owed.entry(place).or_default().push(index);
        }
        let rewinds = reign::rewinds(journal);
        let mut lies = Vec::new();
        for entry in &journal.entries {
            let Entry::Skip(row) = entry else { continue };
            let row = &row.skipped;
            let name = row.schedule.as_str();
            let (first, last) = (nanos(row.first), nanos(row.last));
            let excluded = row.why == Skip::Excluded;
            let (mut least, mut most) = (0, 0);
            let mut of_version: BTreeMap<u32, u64> = BTreeMap::new();
            let mut repassed = false;
            for (place, cases) in owed.range((name, first)..=(name, last)) {
                let cases = || cases.iter().map(|&it| &self.cases[it]);
                if cases().all(|case| case.instance().excluded != excluded)
                    || delivered.contains(place)
                {
                    continue;
                }
                most += 1;
                repassed |= cases().any(|case| case.repassed);
                let is_sure =
                    |case: &&super::Case| case.sure && case.instance().excluded == excluded;
                least += u64::from(cases().any(|case| is_sure(&case)));
                for case in cases().filter(is_sure) {
                    *of_version.entry(case.sketch.version).or_default() += 1;
                }
            }
            // Over a stretch that the clock went over twice, an edit may have come in between.
            if repassed && let Some(fewest) = of_version.values().min() {
                least = *fewest;
            }
            // What a step back takes from the middle of a row is reckoned by its share.
            let is_cut = rewinds
                .iter()
                .any(|to| (first..=last + SECOND).contains(to));
            if !(least..=most).contains(&row.count) && !is_cut {
                let detail = format!(
                    "{} skipped from {} to {}, {least} to {most} were owed there",
                    row.count, row.first, row.last
                );
                lies.push((name.to_owned(), first, detail));
            }
        }
        for (name, first, detail) in lies {
            let request_id = format!("{name} from {}", timestamp(first));
            let at = journal.when(first, journal.starts);
            self.charge(Charge::Lie, &name, &request_id, at, detail);
        }
        let mut told: HashSet<&str> = HashSet::new();
        for key in &journal.told {
            if !told.insert(key) {
                let name = self.by_key.get(key).map(|indices| &self.cases[indices[0]]);
                let name = name.map(|case| case.name.clone()).unwrap_or_default();
                let at = self.accepted.get(key).copied().unwrap_or_default();
                let detail = "its acceptance was told twice".to_owned();
                self.charge(Charge::Lie, &name, key, at, detail);
            }
        }
    }
}
